"""Our side of "the same function": as `values_torch`, through the real training step.

Call it with JAX's x64 on: `with jax.enable_x64(True)`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks.probes import RATE, SHAPE, Values, draw_batch
from vnet_jax.models.weights import from_state_dict, to_state_dict
from vnet_jax.training.state import TrainState, adam
from vnet_jax.training.step import train_step

#: The level of each of MONAI's stages: level 1 has an eighth of the voxels of level 0.
LEVELS = {"in_tr": 0, "down_tr32": 1, "down_tr64": 2, "down_tr128": 3, "down_tr256": 4}
LEVELS |= {"up_tr256": 3, "up_tr128": 2, "up_tr64": 1, "up_tr32": 0, "out_tr": 0}


def forward(module: nn.Module, state: Values, channels: int, jit=jax.jit):
    """Logits of each stage on batch 0 in eval mode, (N, D, H, W, classes)."""
    x, _ = draw_batch(0, (*SHAPE, channels))
    logits = jit(module.apply)(_variables(state), jnp.asarray(x, module.dtype))
    return [np.asarray(stage) for stage in logits]


def train(
    module: nn.Module,
    state: Values,
    channels: int,
    stops: tuple[int, ...],
    jit=jax.jit,
) -> dict:
    """Trains with Adam at 1e-4, batch i in step i.

    Args:
        module: without dropout.
        state: the weights to start from, by MONAI's names.
        channels: of the input.
        stops: steps after which to keep the weights.
        jit: `jax.jit`, or one that spends less on compiling.

    Returns:
        {"loss", "grads"} of the first step, and {"after": {steps: state dict}}; the
        gradients have MONAI's names, too, and the running variances are PyTorch's.
    """
    optimiser = adam(lambda count: RATE, 0.9, 0.999, 1e-8)
    variables = _variables(state)
    now = TrainState(
        step=jnp.zeros((), jnp.int32),
        opt_state=optimiser.init(variables["params"]),
        average={},
        **variables,
    )
    step = jit(
        functools.partial(
            train_step,
            module=module,
            optimiser=optimiser,
            stage_weights=(1.0, 1.0),
            seed=0,
        )
    )
    found: dict = {"after": {}}
    for count in range(max(stops)):
        now, metrics = step(now, _batch(count, channels))
        if count == 0:
            found["loss"] = float(metrics["loss"])
            found["grads"] = _gradients(now)
        if count + 1 in stops:
            after = to_state_dict(jax.device_get(now.variables))
            found["after"][count + 1] = _unbiased(state, after, count + 1)
    return found


def _gradients(state: TrainState) -> Values:
    """Of the first step: Adam's first moment is then a tenth of them."""
    moments = jax.tree.map(lambda m: m / (1 - 0.9), state.opt_state[0].mu)
    named = to_state_dict(
        jax.device_get({"params": moments, "batch_stats": state.batch_stats})
    )
    return {k: v for k, v in named.items() if not _is_statistic(k)}


def _unbiased(before: Values, after: Values, steps: int) -> Values:
    """Running variances as PyTorch keeps them: each batch's times n / (n - 1).

    Both forget a tenth a step, so what is left of the start is 0.9 ** steps of it.
    """
    changed = dict(after)
    for name in (n for n in after if n.endswith("running_var")):
        stage = next(part for part in name.split(".") if part in LEVELS)
        n = np.prod(SHAPE) // 8 ** LEVELS[stage]
        start = 0.9**steps * before[name]
        changed[name] = start + (after[name] - start) * n / (n - 1)
    return changed


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _variables(state: Values) -> dict:
    return jax.tree.map(jnp.asarray, from_state_dict(state))


def _batch(index: int, channels: int) -> dict:
    x, labels = draw_batch(index, (*SHAPE, channels))
    return {
        "image": jnp.asarray(x)[None],
        "label": jnp.asarray(labels, jnp.uint8)[None],
    }
