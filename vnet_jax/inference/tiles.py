"""Windows over a volume, and their predictions put together again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from vnet_jax import memory

#: Standard deviation of the Gaussian, as a share of the window's length. With 1/8 the
#: rim of a 64-voxel window weighs 3e-4 of its centre: where windows overlap, each
#: voxel is decided by the window that sees it best.
SIGMA = 1 / 8


def tile_starts(length: int, tile: int, overlap: float = 0.5) -> list[int]:
    """First voxels of the windows that cover one axis.

    Steps of `tile * (1 - overlap)`; the last window is moved back to end with the axis.
    100 voxels under windows of 64 with half overlap: 0, 32, 36. An axis shorter than
    the window gets one window with the padding on both sides: 50 under 64 starts at -7.

    Args:
        length: voxels of the axis.
        tile: voxels of a window.
        overlap: share of a window that its neighbour covers too, in [0, 1).

    Returns:
        Starts in ascending order; negative only where the axis is shorter than `tile`.

    Raises:
        ValueError: a length or tile below 1, or an overlap outside [0, 1).
    """
    if length < 1 or tile < 1 or not 0 <= overlap < 1:
        raise ValueError(
            f"need length >= 1, tile >= 1 and 0 <= overlap < 1; "
            f"got {length}, {tile}, {overlap}"
        )
    if length <= tile:
        return [-((tile - length) // 2)]
    step = max(1, round(tile * (1 - overlap)))
    count = math.ceil((length - tile) / step) + 1
    return [min(i * step, length - tile) for i in range(count)]


def gaussian_weights(shape: Sequence[int]) -> np.ndarray:
    """Weights of a window's voxels: a Gaussian around its centre, 1 at the peak.

    Args:
        shape: voxels of a window along each axis.

    Returns:
        `shape` float32, all > 0, the same from either end of each axis.
    """
    weights = np.ones(tuple(shape))
    for axis, length in enumerate(shape):
        at = (np.arange(length) - (length - 1) / 2) / (SIGMA * length)
        line = np.exp(-0.5 * at**2)
        weights *= line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return (weights / weights.max()).astype(np.float32)


class Stitch:
    """The weighted mean of overlapping windows, kept as one running sum.

    Windows may reach beyond the box; what does is dropped, so padding is never
    predicted. Windows of several models added to one Stitch give their mean.

    Attributes:
        start: first voxel of the box in the volume.
        shape: voxels of the box.
    """

    def __init__(self, start: Sequence[int], shape: Sequence[int]):
        self.start = tuple(int(s) for s in start)
        self.shape = tuple(int(n) for n in shape)
        self._sum: np.ndarray | None = None  # (D, H, W, C), once C is known
        self._weight = np.zeros(self.shape, np.float32)

    def add(self, tile: np.ndarray, start: Sequence[int], weights: np.ndarray) -> None:
        """Adds one window.

        Args:
            tile: (d, h, w, C) float32.
            start: the window's first voxel in the volume, not in the box.
            weights: (d, h, w) float32.

        Raises:
            MemoryError: a box for which there is none.
        """
        if self._sum is None:
            classes = tile.shape[-1]
            most = 4 * math.prod(self.shape) * (classes + 1)  # and the weights
            memory.check_room(most, f"{classes} classes of {self.shape} voxels")
            self._sum = np.zeros((*self.shape, classes), np.float32)
        there, here = [], []
        for first, length, begin, size in zip(
            start, tile.shape, self.start, self.shape, strict=False
        ):
            low, high = max(first, begin), min(first + length, begin + size)
            if low >= high:
                return
            there.append(slice(low - begin, high - begin))
            here.append(slice(low - first, high - first))
        there, here = tuple(there), tuple(here)
        self._weight[there] += weights[here]
        for c in range(tile.shape[-1]):  # class by class: a third of the temporaries
            self._sum[(*there, c)] += tile[(*here, c)] * weights[here]

    def mean(self) -> np.ndarray:
        """The weighted mean; the Stitch is spent afterwards.

        Returns:
            (D, H, W, C) float32.

        Raises:
            ValueError: a voxel of the box that no window covered.
        """
        if self._sum is None or not self._weight.all():
            raise ValueError(f"windows leave a part of the box {self.shape} uncovered")
        total, self._sum = self._sum, None
        total /= self._weight[..., None]
        return total


def window_starts(
    start: Sequence[int], shape: Sequence[int], tile: Sequence[int], overlap: float
) -> list[tuple[int, int, int]]:
    """First voxels of the windows that cover a box, in the volume's voxels.

    Args:
        start: first voxel of the box.
        shape: voxels of the box.
        tile: voxels of a window.
        overlap: share of a window that its neighbour covers too.

    Returns:
        One (z, y, x) start a window; the last axis runs fastest.
    """
    axes = [
        [begin + at for at in tile_starts(length, size, overlap)]
        for begin, length, size in zip(start, shape, tile, strict=True)
    ]
    return list(itertools.product(*axes))
