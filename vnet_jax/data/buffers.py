"""Memory for batches, used again when nobody looks at it any more.

A batch of 4 regions of interest is 148 MB. Fresh memory of that size comes from the
kernel page by page, each filled with zeros first, which costs as much as filling it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np


class Buffers:
    """Lends arrays; the memory of one comes back when the last view of it is gone.

    JAX may keep an array without copying it (on a CPU it does): the array then lives as
    long as JAX's, and so does the loan. Safe to use from several threads.
    """

    def __init__(self, kept: int):
        """Keeps at most `kept` blocks of a size for later."""
        self._kept = kept
        self._free: dict[int, deque] = {}

    def empty(self, shape: Sequence[int], dtype) -> np.ndarray:
        """An array of any values, as `np.empty` gives one."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        free = self._free.setdefault(size, deque(maxlen=self._kept))
        try:
            block = free.pop()
        except IndexError:
            block = np.empty(size, np.uint8)
        return np.asarray(_Loan(block, free)).view(dtype).reshape(shape)


class _Loan:
    """What NumPy keeps as the base of a lent array and of all its views.

    It is no array itself: NumPy would take an array's own base in its place.
    """

    def __init__(self, block: np.ndarray, free: deque):
        self._block, self._free = block, free
        self.__array_interface__ = block.__array_interface__

    def __del__(self):
        self._free.append(self._block)
