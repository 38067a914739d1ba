"""Random weights, batches and short fingerprints that PyTorch and JAX share.

NumPy alone: what is drawn depends on a name and a shape, so both sides draw the same,
and a stored fingerprint can be compared where the other side is not installed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SHAPE = (2, 16, 16, 32)  # N, D, H, W: four values a channel at the deepest level
WIDTH = 4
RATE = 1e-4


@dataclass(frozen=True)
class Case:
    """A network without dropout, and the Adam steps after which to compare."""

    cascade: bool
    activation: str
    width: int
    channels: int
    stops: tuple[int, ...]


#: What is stored for tests without PyTorch: small, so that 20 steps take seconds.
CASES = {
    "vnet_elu": Case(False, "elu", 2, 1, (1, 20)),
    "vnet_prelu": Case(False, "prelu", 4, 4, (1,)),
    "cascade": Case(True, "elu", 4, 1, (1,)),
}

Values = dict[str, np.ndarray]


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on the name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def draw_state(shapes: Mapping[str, tuple[int, ...]]) -> Values:
    """A state dict of MONAI's names with every value drawn, so that none is neutral.

    Args:
        shapes: shape by key.

    Returns:
        float64 arrays by key; int64 zeros for the batch norms' counters.
    """
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items()}


def _draw(name, shape):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = generator(name).standard_normal(shape)
    if len(shape) == 5:  # a convolution's; the up convolution's first axis is its input
        inputs = shape[0] if ".up_conv." in name else np.prod(shape[1:])
        return values / np.sqrt(inputs)
    if name.endswith("running_var") or ".N.weight" in name or ".bn1.weight" in name:
        return 0.5 + np.abs(values)
    if "act_function" in name:
        return 0.25 + 0.1 * values
    return values


def draw_batch(index: int, shape: tuple[int, ...], classes: int = 3):
    """Batch `index`: images (N, D, H, W, C) float64 in [-1, 1], labels (N, D, H, W)."""
    rng = generator(f"batch {index}")
    return rng.uniform(-1, 1, shape), rng.integers(classes, size=shape[:-1])


def fingerprint(name: str, array: np.ndarray) -> float:
    """The projection of an array on a random direction of its name.

    An error that is a share e of the array's norm, wherever it sits, moves it by about
    e times the norm.
    """
    array = np.asarray(array, np.float64)
    direction = generator(f"direction {name}").standard_normal(array.shape)
    return float((array * direction).sum())


def fingerprints(values: Values) -> list[float]:
    """Of each array but PyTorch's counters, in order, 12 digits: short to store."""
    named = values.items()
    kept = {k: v for k, v in named if not k.endswith("num_batches_tracked")}
    return [float(f"{fingerprint(k, v):.12g}") for k, v in kept.items()]
