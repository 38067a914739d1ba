"""The training losses.

Logits are (B, D, H, W, C) float32, labels (B, D, H, W) of any integer dtype with values
0 to C - 1. Nothing the size of C label volumes is held: the comparisons with the
classes stay inside the sums that XLA fuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over the voxels of -ln p(label) (paper, equation 1, which has the sum).

    Args:
        logits: (B, D, H, W, C), computed in float32 or, if they are, in float64.
        labels: (B, D, H, W) integer.

    Returns:
        A float32 scalar, nats a voxel; ln C for equal logits.
    """
    logits = _wide(logits)
    of_label = jnp.sum(jnp.where(_is_class(logits, labels), logits, 0), -1)
    return jnp.mean(jax.nn.logsumexp(logits, -1) - of_label)


def dice_loss(logits: jax.Array, labels: jax.Array, smooth: float = 1e-5) -> jax.Array:
    """1 - soft Dice, the V-Net's own loss (Milletari et al. 2016, section 3).

    With p the softmax and g the truth (0 or 1) of a class in a sample, Dice is
    (2 sum(p g) + smooth) / (sum(p p) + sum(g g) + smooth): 1 where both are empty.

    Args:
        logits: (B, D, H, W, C), computed in float32 or, if they are, in float64.
        labels: (B, D, H, W) integer.
        smooth: voxels, keeps an empty class from dividing 0 by 0.

    Returns:
        A float32 scalar in [0, 1], the mean over samples and over classes but 0, the
        background.
    """
    p = jax.nn.softmax(_wide(logits))
    hit = _is_class(logits, labels)
    space = (1, 2, 3)
    shared = jnp.sum(jnp.where(hit, p, 0), space)  # (B, C)
    both = jnp.sum(p * p, space) + jnp.sum(hit, space, dtype=p.dtype)  # (B, C)
    dice = (2 * shared + smooth) / (both + smooth)
    return 1 - jnp.mean(dice[:, 1:])


def cross_entropy_dice(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The plain sum of `cross_entropy` and `dice_loss`."""
    return cross_entropy(logits, labels) + dice_loss(logits, labels)


#: By the name that a config uses.
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "dice": dice_loss,
    "cross_entropy_dice": cross_entropy_dice,
}


def staged(
    stages: Sequence[jax.Array],
    labels: jax.Array,
    weights: Sequence[float] = (1.0, 1.0),
    loss: Loss = cross_entropy,
) -> jax.Array:
    """The weighted sum of the stages' losses.

    Args:
        stages: what a network returns: logits of each stage.
        labels: (B, D, H, W) integer, the same for all.
        weights: one a stage; those beyond the last stage are not used, so that one
            config field serves both phases.
        loss: of one stage.

    Raises:
        ValueError: fewer weights than stages.
    """
    if len(weights) < len(stages):
        raise ValueError(f"{len(weights)} weights for {len(stages)} stages")
    return sum(w * loss(s, labels) for s, w in zip(stages, weights, strict=False))


def _wide(logits: jax.Array) -> jax.Array:
    """At least float32: a softmax over bfloat16 loses what training needs."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _is_class(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return labels[..., None] == jnp.arange(logits.shape[-1], dtype=labels.dtype)
