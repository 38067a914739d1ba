"""What both sides learn in the race: solid and hollow ellipsoids in noise.

Both kinds have the same surface, so a voxel's class shows only in what lies around it.
NumPy alone, no files, and the same batch for the same number on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHAPE = (32, 48, 48)
SOLID, HOLLOW = 1, 2
BRIGHT, CORE, NOISE = 0.6, -0.4, 0.4
RIM = 0.6  # share of the radius from which a hollow one is bright
EACH = 2  # ellipsoids of each kind in a volume


def volume(rng: np.random.Generator, shape: Sequence[int] = SHAPE):
    """One volume: image (D, H, W) float32, label (D, H, W) uint8."""
    image = rng.normal(0, NOISE, shape).astype(np.float32)
    label = np.zeros(shape, np.uint8)
    for kind in (SOLID, HOLLOW) * EACH:
        radius = _radius(rng, shape)
        inside = (radius < 1) & (label == 0)
        hollow = kind == HOLLOW
        image[inside] += np.where(hollow & (radius[inside] < RIM), CORE, BRIGHT)
        label[inside] = kind
    return image, label


def _radius(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """(D, H, W) distance from an ellipsoid's middle, 1 on its surface."""
    half = rng.uniform(0.14, 0.26, 3) * shape
    middle = rng.uniform(half, np.subtract(shape, half))
    axes = [
        ((np.arange(n) - m) / h) ** 2
        for n, m, h in zip(shape, middle, half, strict=True)
    ]
    return np.sqrt(axes[0][:, None, None] + axes[1][:, None] + axes[2])


def batch(step: int, count: int):
    """The batch of a step, from 0: image (B, D, H, W), label (B, D, H, W)."""
    return _batch([1, step], count)


def validation(count: int = 4):
    """The fixed volumes that are never trained on, shaped as a batch."""
    return _batch([0], count)


def _batch(seed: Sequence[int], count: int):
    rng = np.random.default_rng(seed)
    images, labels = zip(*(volume(rng) for _ in range(count)), strict=True)
    return np.stack(images), np.stack(labels)


def foreground_dice(predicted: np.ndarray, label: np.ndarray) -> float:
    """The mean of the Dice of both kinds over all voxels given."""
    scores = []
    for kind in (SOLID, HOLLOW):
        a, b = predicted == kind, label == kind
        scores.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    return float(np.mean(scores))
