"""From Hounsfield units to the networks' input (paper, section 2.2)."""

from __future__ import annotations

import numpy as np


def scale(hu: np.ndarray, clip_hu: tuple[float, float] = (-250.0, 250.0)) -> np.ndarray:
    """Clip to `clip_hu` and map it linearly to [-1, 1].

    With the paper's [-250, 250]: the clipped HU divided by 250. -1000 gives -1, 125
    gives 0.5.

    Args:
        hu: any shape and real dtype, HU.
        clip_hu: lowest and highest value, HU.

    Returns:
        The same shape, float32.

    Raises:
        ValueError: when `clip_hu` is no range.
    """
    low, high = clip_hu
    if not low < high:
        raise ValueError(f"clip_hu needs low < high, not {clip_hu}")
    out = np.subtract(hu, np.float32((low + high) / 2), dtype=np.float32)
    out /= np.float32((high - low) / 2)
    return np.clip(out, -1, 1, out=out)
