"""From Hounsfield units to the networks' input (paper, section 2.2)."""

from __future__ import annotations

import math

import numpy as np

AT_ONCE = 1 << 18  # values, one megabyte


def scale(
    hu: np.ndarray,
    clip_hu: tuple[float, float] = (-250.0, 250.0),
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Clip to `clip_hu` and map it linearly to [-1, 1].

    With the paper's [-250, 250]: the clipped HU divided by 250. -1000 gives -1, 125
    gives 0.5.

    Args:
        hu: any shape and real dtype, HU.
        clip_hu: lowest and highest value, HU.
        out: float32 of the same shape to write to; a new one by default.

    Returns:
        The same shape, float32.

    Raises:
        ValueError: when `clip_hu` is no range.
    """
    low, high = clip_hu
    if not low < high:
        raise ValueError(f"clip_hu needs low < high, not {clip_hu}")
    hu = np.asarray(hu)  # slices of a memmap cost much more than of an array
    middle, half = np.float32((low + high) / 2), np.float32((high - low) / 2)
    out = np.empty(hu.shape, np.float32) if out is None else out
    if out.ndim == 0:
        return np.clip((hu - middle) / half, -1, 1, out=out)
    # Some rows at a time: the second and the third pass find them in the cache.
    rows = max(1, AT_ONCE // max(1, math.prod(out.shape[1:])))
    for first in range(0, len(out), rows):
        scaled = out[first : first + rows]
        np.subtract(hu[first : first + rows], middle, out=scaled, dtype=np.float32)
        scaled /= half
        np.clip(scaled, -1, 1, out=scaled)
    return out
