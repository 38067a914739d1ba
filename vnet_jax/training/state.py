"""What training changes: one pytree of arrays, and the optimiser that changes it."""

from __future__ import annotations

import functools

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from vnet_jax.models import smallest_volume


@flax.struct.dataclass
class TrainState:
    """Everything that a resumed run needs to go on bit for bit.

    The model and the optimiser are not in it: steps close over them.

    Attributes:
        step: () int32, optimiser steps done.
        params: float32 parameters of the network.
        batch_stats: running averages of batch norm; {} for a network without.
        opt_state: the optimiser's memory.
        average: moving average of the parameters, float32; {} where none is kept.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState
    average: dict

    @property
    def variables(self) -> dict:
        """What `module.apply` takes to predict: the average, where one is kept."""
        params = self.average or self.params
        return {"params": params, "batch_stats": self.batch_stats}

    @property
    def rest(self) -> dict:
        """What training needs beside `step` and `variables` to go on."""
        rest = {"opt_state": self.opt_state}
        return rest | {"params": self.params} if self.average else rest

    def restored(self, step: jax.Array, variables: dict, rest: dict) -> TrainState:
        """The state of the same structure whose parts these are."""
        average = variables["params"] if self.average else {}
        return self.replace(step=step, average=average, **(variables | rest))


def moving_average(average: dict, params: dict, step: jax.Array, decay: float) -> dict:
    """The exponential moving average of the parameters after a step.

    Args:
        average: before the step; {} stays {}.
        params: after the step.
        step: () int32, steps done before it. The decay starts at 0.1 and rises as
            (1 + step) / (10 + step), so that the initial values are soon forgotten.
        decay: its final value: 0.99 averages over the last hundred steps or so.
    """
    if not average:
        return average
    keep = jnp.minimum(decay, (1 + step) / (10 + step)).astype(jnp.float32)
    return jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)


@functools.cache
def learning_rate(
    initial: float, decay: float, decay_epochs: tuple[int, ...], steps_per_epoch: int
) -> optax.Schedule:
    """The learning rate by step: multiplied by `decay` at each of `decay_epochs`.

    1e-4, 0.5 and epochs 200 and 400 (paper, section 4) with 42 steps an epoch: 1e-4 in
    the first 8400 steps, 5e-5 in the next 8400, then 2.5e-5.

    Args:
        initial: the rate at the start.
        decay: the factor.
        decay_epochs: whole epochs after which it applies.
        steps_per_epoch: optimiser steps an epoch.

    Returns:
        A function of the number of steps done, for Python's numbers and JAX's; for
        equal arguments the same one.
    """
    boundaries = [int(epoch) * steps_per_epoch for epoch in decay_epochs]

    def rate(step):
        return initial * decay ** sum((step >= boundary) * 1 for boundary in boundaries)

    return rate


def adam(
    rate: optax.Schedule, b1: float, b2: float, eps: float
) -> optax.GradientTransformation:
    """Adam with a scheduled rate (paper, section 4: 0.9, 0.999, 1e-8)."""
    return optax.adam(rate, b1=b1, b2=b2, eps=eps)


def init_state(
    key: jax.Array,
    module: nn.Module,
    optimiser: optax.GradientTransformation,
    ema: float = 0.0,
) -> TrainState:
    """The state before the first step; pure, so that it can be born on its devices.

    Args:
        key: of the parameters' initial values.
        module: the network, for one input channel.
        optimiser: its memory is in the state.
        ema: decay of the parameters' moving average; 0 keeps none.

    Returns:
        The state at step 0.
    """
    x = jnp.zeros((1, *smallest_volume(module), 1), jnp.float32)
    variables = module.init(key, x, train=False)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimiser.init(variables["params"]),
        average=jax.tree.map(jnp.copy, variables["params"]) if ema else {},
    )
