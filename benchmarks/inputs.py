"""What both sides compute on: the same voxels, drawn anew from the seed by each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PROBES = 64  # voxels whose logits are compared


def draw(shape: Sequence[int], batch: int, seed: int = 0):
    """A batch with the range of a scaled CT, and labels.

    Args:
        shape: voxels (D, H, W).
        batch: samples.
        seed: of the draw.

    Returns:
        image (B, D, H, W) float32 in [-1, 1]; label (B, D, H, W) uint8, 0 to 2.
    """
    rng = np.random.default_rng(seed)
    image = rng.random((batch, *shape), np.float32) * 2 - 1
    return image, rng.integers(0, 3, (batch, *shape), np.uint8)


def probe_places(voxels: int) -> np.ndarray:
    """(PROBES,) places, evenly spread over so many voxels."""
    return np.linspace(0, voxels - 1, PROBES).astype(int)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference of two lists, as a share of the largest value."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.abs(a - b).max() / np.abs(b).max())
