"""Label maps: values to classes, and the order of their voxels in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

SIDE = 64  # voxels of a block that is turned at once: it fits in a core's cache


def to_classes(array: np.ndarray, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """The classes of a label map; a value without a pair is background.

    Args:
        array: (D, H, W) label values, in any order of memory. Files come with the first
            axis fastest, and a result in another order would cost ten times the time.
        pairs: (value, class), the class from 0 to 255.

    Returns:
        uint8 of the same shape and order of memory.
    """
    classes = np.zeros_like(array, np.uint8)
    for value, cls in pairs:
        if cls:
            classes[array == value] = cls
    return classes


def in_order_of(array: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A map with its voxels in memory as another's, so that both are read in one go.

    Args:
        array: of any shape.
        other: its first or its last axis runs fastest.

    Returns:
        `array` itself where its order is right or it is not (D, H, W); else a copy.
    """
    if array.ndim != 3 or other.ndim != 3:
        return array
    order = "F" if abs(other.strides[0]) < abs(other.strides[2]) else "C"
    if array.flags[f"{order}_CONTIGUOUS"]:
        return array
    out = np.empty(array.shape, array.dtype, order)
    for z in range(0, array.shape[0], SIDE):
        for x in range(0, array.shape[2], SIDE):
            block = slice(z, z + SIDE), slice(None), slice(x, x + SIDE)
            out[block] = array[block]
    return out
