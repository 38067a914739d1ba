"""One optimiser step: pure, without jit; `vnet_jax.training.fit` compiles it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from vnet_jax.models.losses import Loss, cross_entropy
from vnet_jax.training.state import TrainState, moving_average

Batch = Mapping[str, jax.Array]


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    module: nn.Module,
    optimiser: optax.GradientTransformation,
    stage_weights: Sequence[float],
    seed: int,
    loss: Loss = cross_entropy,
    ema: float = 0.0,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of gradient descent over a global batch.

    The batch comes as K micro-batches of M samples, K M the global batch. Their
    gradients are averaged before the one update; the running averages of batch norm
    follow the micro-batches in their order, each normalised by its own statistics.

    Dropout is a function of (seed, step, index in the global batch): neither the number
    of devices nor of micro-batches changes it.

    Args:
        state: before the step; donated by the caller.
        batch: image (K, M, D, H, W, 1) float32, label (K, M, D, H, W) uint8.
        module: the network.
        optimiser: as in `init_state`.
        stage_weights: of the stages' losses; those beyond the last stage are not used.
        seed: of dropout.
        loss: of one stage; the paper's is cross entropy (section 3.4).
        ema: decay of the parameters' moving average, as in `init_state`.

    Returns:
        The state after the step, and float32 scalars: loss, loss_stage1 (and
        loss_stage2), grad_norm.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)

    def loss_of(params, batch_stats, micro):
        logits, updated = module.apply(
            {"params": params, "batch_stats": batch_stats},
            micro["image"],
            train=True,
            index=micro["index"],
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        stages = jnp.stack([loss(x, micro["label"]) for x in logits])  # (S,)
        weights = jnp.asarray(stage_weights[: len(logits)], jnp.float32)
        return jnp.dot(stages, weights), (updated.get("batch_stats", {}), stages)

    grads, batch_stats, mean_loss, stages = accumulate(loss_of, state, _indexed(batch))
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    metrics = {"loss": mean_loss, "grad_norm": optax.tree.norm(grads)}
    metrics |= {f"loss_stage{i + 1}": stages[i] for i in range(len(stages))}
    params = optax.apply_updates(state.params, updates)
    state = TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        average=moving_average(state.average, params, state.step, ema),
    )
    return state, metrics


def accumulate(loss_of, state: TrainState, batch: Batch):
    """Gradients of the mean loss over micro-batches, one micro-batch in memory.

    Args:
        loss_of: (params, batch_stats, micro-batch) -> loss, (batch_stats, stages).
        state: the parameters and running averages to start from.
        batch: arrays (K, M, ...).

    Returns:
        The mean over K of the gradients; the last running averages; the mean loss; the
        mean stages' losses.
    """
    gradient = jax.value_and_grad(loss_of, has_aux=True)

    def one(carry, micro):
        batch_stats, total = carry
        (loss, (batch_stats, stages)), grads = gradient(
            state.params, batch_stats, micro
        )
        total = jax.tree.map(jnp.add, total, grads)
        return (batch_stats, total), (loss, stages)

    count = len(batch["index"])
    start = (state.batch_stats, jax.tree.map(jnp.zeros_like, state.params))
    # A loop of one turn is unrolled by XLA: one micro-batch costs nothing extra.
    (batch_stats, total), (losses, stages) = jax.lax.scan(one, start, dict(batch))
    grads = jax.tree.map(lambda g: g / count, total)
    return grads, batch_stats, losses.mean(), stages.mean(axis=0)


def _indexed(batch: Batch) -> Batch:
    """Adds each sample's index in the global batch, (K, M) int32."""
    count, size = batch["label"].shape[:2]
    index = jnp.arange(count * size, dtype=jnp.int32).reshape(count, size)
    return {**batch, "index": index}
