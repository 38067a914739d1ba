"""How a transform stretches space: the determinant of its Jacobian, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SLICES = 16  # worked on at a time


def voxel_mm(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """(D, H, W, 3) float32 mm: where the voxels of a grid are."""
    index = np.stack(np.indices(tuple(shape), np.float32), axis=-1)
    affine = affine.astype(np.float32)
    return index @ affine[:3, :3].T + affine[:3, 3]


def determinant(positions: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """The determinant of the Jacobian by central differences.

    1 keeps a volume; 2 where the floating image shrinks to half of its volume; 0 or
    less where space folds.

    Args:
        positions: (D, H, W, 3) mm, where each voxel comes from; at least 2 voxels along
            each axis.
        spacing_mm: of the voxels along the first three axes, which are the frame's.

    Returns:
        (D, H, W) float32.
    """
    depth = positions.shape[0]
    out = np.empty(positions.shape[:3], np.float32)
    for start in range(0, depth, SLICES):
        stop = min(start + SLICES, depth)
        low, high = max(start - 1, 0), min(stop + 1, depth)
        if high - low < 2:
            low = high - 2
        part = np.gradient(positions[low:high], *spacing_mm, axis=(0, 1, 2))
        inner = slice(start - low, stop - low)
        # Rows are derivatives along an axis of the grid: the transpose has the same
        # determinant.
        out[start:stop] = _determinant(*(rows[inner] for rows in part))
    return out


def _determinant(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of the matrices with rows a, b, c, (..., 3) each."""
    return np.einsum("...i,...i", a, np.cross(b, c))
