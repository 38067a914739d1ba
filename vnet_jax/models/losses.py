"""The training losses, and their sums.

`build` makes of a config's `loss` the function that training minimises.

Logits are (B, D, H, W, C) float32, labels (B, D, H, W) of any integer dtype with values
0 to C - 1. Nothing the size of C label volumes is held: the comparisons with the
classes stay inside the sums that XLA fuses.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from vnet_jax.models import own

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(
    logits: jax.Array, labels: jax.Array, class_weights: Sequence[float] = ()
) -> jax.Array:
    """Mean over the voxels of -ln p(label) (paper, equation 1, which has the sum).

    Args:
        logits: (B, D, H, W, C), computed in float32 or, if they are, in float64.
        labels: (B, D, H, W) integer.
        class_weights: (C,), each voxel's term times that of its label; none for 1. The
            mean is over the voxels, not over the weights: a micro-batch counts as much
            as any other.

    Returns:
        A float32 scalar, nats a voxel; ln C for equal logits.
    """
    logits = _wide(logits)
    hit = _is_class(logits, labels)
    return jnp.mean(_surprise(logits, hit) * _weight(hit, class_weights))


def focal_loss(
    logits: jax.Array,
    labels: jax.Array,
    gamma: float = 2.0,
    class_weights: Sequence[float] = (),
) -> jax.Array:
    """Mean over the voxels of (1 - p)^gamma (-ln p) at the label's p.

    Lin et al. 2017, equation 5, with a softmax in the place of the sigmoid; gamma 2 is
    theirs, gamma 0 is the cross entropy.

    Args:
        logits: (B, D, H, W, C), computed in float32 or, if they are, in float64.
        labels: (B, D, H, W) integer.
        gamma: how little what is right already counts.
        class_weights: (C,), the paper's alpha; none for 1.

    Returns:
        A float32 scalar, nats a voxel.
    """
    logits = _wide(logits)
    hit = _is_class(logits, labels)
    surprise = _surprise(logits, hit)
    # Of p near 1, 1 - p by its own digits; not 0, where a root has no finite slope.
    missed = jnp.maximum(-jnp.expm1(-surprise), 1e-12)
    gamma = int(gamma) if gamma == int(gamma) else gamma  # products, not exp and ln
    return jnp.mean(missed**gamma * surprise * _weight(hit, class_weights))


def dice_loss(
    logits: jax.Array,
    labels: jax.Array,
    smooth: float = 1e-5,
    class_weights: Sequence[float] = (),
) -> jax.Array:
    """1 - soft Dice, the V-Net's own loss (Milletari et al. 2016, section 3).

    With p the softmax and g the truth (0 or 1) of a class in a sample, Dice is
    (2 sum(p g) + smooth) / (sum(p p) + sum(g g) + smooth): 1 where both are empty.

    Args:
        logits: (B, D, H, W, C), computed in float32 or, if they are, in float64.
        labels: (B, D, H, W) integer.
        smooth: voxels, keeps an empty class from dividing 0 by 0.
        class_weights: (C,), of the mean over the classes; none for equal ones. The
            background's is not used.

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
    if not class_weights:
        return 1 - jnp.mean(dice[:, 1:])
    share = jnp.asarray(class_weights[1:], dice.dtype) / sum(
        class_weights[1:]
    )  # (C-1,)
    return 1 - jnp.mean(dice[:, 1:] @ share)


def cross_entropy_dice(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The plain sum of `cross_entropy` and `dice_loss`."""
    return cross_entropy(logits, labels) + dice_loss(logits, labels)


#: By the name that a config uses; sums of them are written "cross_entropy+0.5*dice".
TERMS: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "dice": dice_loss,
    "focal": focal_loss,
}
#: A name from before there were sums.
OLDER = {"cross_entropy_dice": "cross_entropy+dice"}


def build(
    *,
    name: str = "cross_entropy",
    factory: str = "",
    kwargs: Mapping | None = None,
    class_weights: Sequence[float] = (),
    focal_gamma: float = 2.0,
    classes: int = 3,
) -> Loss:
    """The loss that a config's `loss` describes.

    Args:
        name: of `TERMS`, or a sum of them: "focal+dice", "cross_entropy+0.5*dice".
        factory: "package.module:name" of a loss of the user's own, in the place of
            `name`: see `vnet_jax.models.own`.
        kwargs: handed to the factory.
        class_weights: one a class; none for 1.
        focal_gamma: the focal loss's exponent.
        classes: channels of the logits.

    Returns:
        (logits, labels) -> scalar; for equal arguments the same function.

    Raises:
        ValueError: an unknown name, weights that fit no classes, or a factory that
            cannot be imported or gives no loss.
    """
    if factory:
        return own.loss(factory, own.as_text(kwargs), classes)
    weights = tuple(float(weight) for weight in class_weights)
    if weights and (len(weights) != classes or not 0 <= min(weights) < math.inf):
        raise ValueError(f"class_weights {weights}: not one from 0 on for each class")
    if weights and "dice" in name and not sum(weights[1:]) > 0:
        raise ValueError(f"class_weights {weights}: dice weighs the foreground, all 0")
    if not 0 <= focal_gamma < math.inf:
        raise ValueError(f"focal_gamma is {focal_gamma}, not from 0 on")
    return _summed(_terms(name), weights, float(focal_gamma))


@functools.cache
def _summed(terms: tuple, class_weights: tuple, gamma: float) -> Loss:
    made = []
    for factor, name in terms:
        more = {"class_weights": class_weights} if class_weights else {}
        more |= {"gamma": gamma} if name == "focal" else {}
        made.append((factor, functools.partial(TERMS[name], **more)))

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return sum(factor * term(logits, labels) for factor, term in made)

    return loss


def _terms(text: str) -> tuple[tuple[float, str], ...]:
    """The factors and names of a sum: "focal+0.5*dice" has (1, focal), (0.5, dice)."""
    terms = []
    for part in OLDER.get(text, text).split("+"):
        factor, _, name = part.replace(" ", "").rpartition("*")
        try:
            number = float(factor or 1)
        except ValueError:
            number = math.nan
        if name not in TERMS or not 0 < number < math.inf:
            known = ", ".join([*TERMS, *OLDER])
            raise ValueError(
                f"name is {text!r}, not one of {known}, nor a sum such as "
                "'cross_entropy+0.5*dice'"
            )
        terms.append((number, name))
    return tuple(terms)


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


def _surprise(logits: jax.Array, hit: jax.Array) -> jax.Array:
    """-ln p(label) of each voxel, (B, D, H, W); at least 0 and never infinite."""
    of_label = jnp.sum(jnp.where(hit, logits, 0), -1)
    return jax.nn.logsumexp(logits, -1) - of_label


def _weight(hit: jax.Array, class_weights: Sequence[float]) -> jax.Array | float:
    """Each voxel's weight by its label."""
    if not class_weights:
        return 1.0
    return jnp.sum(jnp.where(hit, jnp.asarray(class_weights, jnp.float32), 0), -1)


def _wide(logits: jax.Array) -> jax.Array:
    """At least float32: a softmax over bfloat16 loses what training needs."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _is_class(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return labels[..., None] == jnp.arange(logits.shape[-1], dtype=labels.dtype)
