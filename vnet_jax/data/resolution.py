"""A sample as a scanner of less sharpness, or one with larger voxels, would show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def blurred(
    image: np.ndarray, sigma_mm: float, spacing_mm: Sequence[float]
) -> np.ndarray:
    """The image under a Gaussian, the same in millimetres along each axis.

    Args:
        image: (d, h, w, 1) float32.
        sigma_mm: the Gaussian's standard deviation; it is cut off at three of them.
        spacing_mm: (z, y, x).

    Returns:
        The same shape and dtype. Beyond the sample its edge goes on.
    """
    sigma_vox = sigma_mm / np.asarray(spacing_mm)
    smooth = ndimage.gaussian_filter(
        image[..., 0], sigma_vox, mode="nearest", truncate=3
    )
    return smooth[..., None]


def coarsened(image: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """The image read at fewer voxels and brought back to its own grid.

    Each larger voxel takes the nearest old one; between larger voxels it is linear.

    Args:
        image: (d, h, w, 1) float32.
        factors: (z, y, x), how many times larger a voxel becomes; 1 leaves an axis as
            it is. 2.5 makes of 80 slices 32.

    Returns:
        The same shape and dtype.
    """
    for axis, factor in enumerate(factors):
        n = image.shape[axis]
        fewer = max(round(n / factor), 1)
        if fewer < n:
            image = _coarse(image, axis, fewer)
    return image


def _coarse(image: np.ndarray, axis: int, fewer: int) -> np.ndarray:
    """`fewer` voxels along an axis, and back."""
    n = image.shape[axis]
    step = n / fewer
    kept = image.take(((np.arange(fewer) + 0.5) * step).astype(int), axis)
    # Voxel i lies at (i + 0.5) / step - 0.5 of the larger voxels.
    place = np.clip((np.arange(n) + 0.5) / step - 0.5, 0, fewer - 1)
    low = np.minimum(place.astype(int), max(fewer - 2, 0))
    along = [1] * image.ndim
    along[axis] = n
    part = (place - low).astype(np.float32).reshape(along)
    first = kept.take(low, axis)
    return first + (kept.take(np.minimum(low + 1, fewer - 1), axis) - first) * part
