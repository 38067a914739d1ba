"""Reading an array at the voxel centres of another grid, box by box.

Along straight axes linear interpolation is separable: one pass of two reads an axis in
place of the eight reads a voxel of a general transform, and equal to it (the tests
compare with scipy's). Oblique grids go through scipy.ndimage.
"""

from __future__ import annotations

from typing import Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import Grid

Order = Literal["linear", "nearest"]


def facing(array, grid: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The array turned to the target's axis order, and target index -> its index.

    Returns:
        A view (D, H, W, ...) and a (3, 4) float64 transform, its first three columns
        diagonal where both grids are straight.
    """
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(grid.affine), nib.io_orientation(target.affine)
    )
    order = [int(axis) for axis in np.argsort(turn[:, 0])]
    flips = tuple(slice(None, None, int(turn[axis, 1])) for axis in order)
    view = array.transpose(*order, *range(3, array.ndim))[flips]
    affine = grid.affine @ nib.orientations.inv_ornt_aff(turn, grid.shape)
    transform = (np.linalg.inv(affine) @ target.affine)[:3]
    linear = transform[:, :3]
    # Rounding alone leaves 1e-16 off the diagonal; over 1e4 voxels 1e-6 is 0.01 voxel.
    linear[np.abs(linear) < 1e-6] = 0
    return view, transform


def _is_diagonal(transform: np.ndarray) -> bool:
    return not (transform[:, :3] - np.diag(np.diag(transform[:, :3]))).any()


def _positions(transform, box, axis: int) -> np.ndarray:
    """Source positions along `axis`, broadcastable over the box's (D, H, W)."""
    position = transform[axis, 3]
    for other, indices in enumerate(box):
        if transform[axis, other]:
            shape = [-1 if other == a else 1 for a in range(3)]
            steps = transform[axis, other] * np.asarray(indices, np.float64)
            position = position + steps.reshape(shape)
    return np.asarray(position)


def inside(shape, transform, box) -> np.ndarray:
    """(D, H, W) bool: whether a voxel's centre lies in the source's extent."""
    inside = np.ones([len(r) for r in box], bool)
    for axis in range(3):
        position = _positions(transform, box, axis)
        # 1e-6 so that a centre on the outer face is in, however it was rounded.
        inside &= np.abs(position - (shape[axis] - 1) / 2) <= shape[axis] / 2 + 1e-6
    return inside


def sample(array, transform, box, order: Order) -> np.ndarray:
    """The array (D, H, W) at the target indices of `box`, its edge values beyond."""
    if not _is_diagonal(transform):
        start = np.array([r.start for r in box], np.float64)
        return ndimage.affine_transform(
            array,
            transform[:, :3],
            transform[:, :3] @ start + transform[:, 3],
            output_shape=tuple(len(r) for r in box),
            output=np.float32 if order == "linear" else array.dtype,
            order=1 if order == "linear" else 0,
            mode="nearest",
            prefilter=False,
        )
    # The axis that shrinks most goes first: the passes after it have less to do.
    for axis in np.argsort([len(r) / n for r, n in zip(box, array.shape, strict=True)]):
        position = transform[axis, axis] * np.asarray(box[axis]) + transform[axis, 3]
        array = _along(array, int(axis), position, order)
    return array


def _along(array, axis: int, position: np.ndarray, order: Order) -> np.ndarray:
    """The array read at fractional indices along one axis, its edges repeated."""
    last = array.shape[axis] - 1
    position = np.clip(position, 0, last)
    whole = np.floor(position + 0.5)
    if order == "nearest":
        return _take(array, whole, axis)
    if np.abs(position - whole).max() < 1e-6:
        return _take(array, whole, axis).astype(np.float32, copy=False)
    below = np.minimum(np.floor(position), max(last - 1, 0))
    shape = [-1 if axis == a else 1 for a in range(array.ndim)]
    weight = (position - below).astype(np.float32).reshape(shape)
    out = _take(array, below, axis).astype(np.float32, copy=False)
    step = _take(array, np.minimum(below + 1, last), axis).astype(
        np.float32, copy=False
    )
    step -= out
    step *= weight
    out += step
    return out


def _take(array, indices, axis: int) -> np.ndarray:
    """`array.take` that keeps the memory order: KiTS's first axis is the fastest.

    Read across its memory order, a whole CT takes seven times as long.
    """
    if abs(array.strides[0]) < abs(array.strides[-1]):
        return _take(array.T, indices, array.ndim - 1 - axis).T
    return array.take(indices.astype(np.intp), axis)
