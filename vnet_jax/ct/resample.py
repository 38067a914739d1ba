"""Volumes on other grids: voxel centres aligned, spacing exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from vnet_jax import memory
from vnet_jax.ct.geometry import Grid, Volume, around, is_oblique, paste, to_canonical
from vnet_jax.ct.interpolate import Order, facing, inside, sample

AIR_HU = -1024.0
ALIGNED_VOX = 1e-3  # closer to whole voxels than this is the same grid, shifted
SLAB_VOXELS = 4_000_000  # worked on at a time: 16 MB of float32 a class


def to_spacing(volume: Volume, spacing_mm: Sequence[float], order: Order) -> Volume:
    """The volume with axes I, P, L at exactly `spacing_mm`.

    An oblique volume comes onto the world's axes, in the box around it; there, what the
    scan has not seen is air (-1024, linear) or background (0, nearest).

    Args:
        volume: HU or labels, any axis order.
        spacing_mm: (z, y, x); 0 keeps the volume's own along that axis.
        order: "linear" for a CT, "nearest" for labels.

    Returns:
        float32 for "linear", the input's dtype for "nearest". Where the spacing already
        is that to 1e-4 and the axes are straight, the voxels themselves (a view unless
        the dtype changes).
    """
    outside = AIR_HU if order == "linear" else 0
    own = to_canonical(volume).grid.spacing_mm
    spacing_mm = [asked or there for asked, there in zip(spacing_mm, own, strict=True)]
    if is_oblique(volume.grid):
        return on_grid(volume, around(volume.grid, spacing_mm), order, outside)
    source = to_canonical(volume)
    grid = source.grid.resampled(spacing_mm)
    if grid is source.grid:
        return Volume(source.array.astype(_dtype(volume, order), copy=False), grid)
    return on_grid(source, grid, order, outside)


def on_grid(volume: Volume, grid: Grid, order: Order, outside: float) -> Volume:
    """The volume sampled at the voxel centres of `grid`.

    Up to half a voxel outside the outermost centres, so inside the volume's extent, the
    edge value counts; beyond that, `outside`.

    Args:
        volume: HU or labels.
        grid: any axis order, oblique or not.
        order: "linear" or "nearest".
        outside: value beyond the volume's extent.

    Returns:
        On `grid`; float32 for "linear", the input's dtype for "nearest".

    Raises:
        MemoryError: more voxels than there is memory for.
    """
    if order not in ("linear", "nearest"):
        raise ValueError(f"order is 'linear' or 'nearest', not {order!r}")
    array, transform = facing(volume.array, volume.grid, grid)
    reverse = abs(array.strides[0]) < abs(array.strides[2])
    dtype = _dtype(volume, order)
    spacing = " x ".join(f"{s:.3g}" for s in grid.spacing_mm)
    what = f"{grid.shape} voxels of {spacing} mm"
    memory.check_room(math.prod(grid.shape) * dtype.itemsize, what)
    out = np.empty(grid.shape, dtype, "F" if reverse else "C")
    for box in _slabs([range(n) for n in grid.shape], 2 if reverse else 0):
        values = sample(array, transform, box, order)
        values[~inside(array.shape, transform, box)] = outside
        out[_slices(box)] = values
    return Volume(out, grid)


def block_mean(volume: Volume, factor: Sequence[int]) -> Volume:
    """Means of blocks of `factor` voxels, the edge repeated to whole blocks.

    Args:
        volume: HU, any real dtype.
        factor: voxels of a block along each axis.

    Returns:
        float32, on `volume.grid.downsample(factor)`.

    Raises:
        MemoryError: more voxels than there is memory for.
    """
    # The last axis is summed first, and what that gives is the largest.
    most = math.prod(volume.array.shape) * 4 // int(factor[2])
    memory.check_room(most, f"means of {volume.array.shape} voxels")
    total = _block_sum(volume.array, factor, np.float32)
    total /= np.float32(np.prod(factor))
    return Volume(total, volume.grid.downsample(factor))


def block_majority(volume: Volume, factor: Sequence[int], classes: int) -> Volume:
    """The commonest class of each block; of two equally common ones each in its turn.

    Half a block is what an edge often leaves. Were it always background, a kidney in
    blocks of 2 x 2 x 2 would lose 4 % of its volume; so the higher class takes every
    other block, in the pattern of a checkerboard.

    Args:
        volume: labels 0 to `classes` - 1, any integer dtype.
        factor: voxels of a block along each axis; the edge is repeated to whole blocks.
        classes: how many there are.

    Returns:
        uint8, on `volume.grid.downsample(factor)`.

    Raises:
        ValueError: for a label outside the classes.
    """
    grid = volume.grid.downsample(factor)
    z, y, x = np.indices(grid.shape, sparse=True)
    dark = (z + y + x) % 2 == 1
    best = np.zeros(grid.shape, np.uint8)
    most = np.zeros(grid.shape, np.uint16)
    counted = np.zeros(grid.shape, np.uint16)
    for label in range(classes):
        count = _block_sum(volume.array == label, factor, np.uint16)
        counted += count
        best[(count > most) | (dark & (count == most) & (count > 0))] = label
        np.maximum(most, count, out=most)
    if (counted != np.prod(factor)).any():
        raise ValueError(f"labels outside 0 to {classes - 1}")
    return Volume(best, grid)


def argmax_on_grid(
    probabilities: np.ndarray, grid: Grid, source_grid: Grid
) -> np.ndarray:
    """The likeliest class at each voxel centre of `source_grid`.

    Probabilities are interpolated linearly, slab by slab, only where `source_grid`
    meets the extent of `grid`; elsewhere is background. Where the two grids differ by
    whole voxels and axis order only, nothing is interpolated.

    Args:
        probabilities: (D, H, W, C) float32 on `grid`; class 0 is background.
        grid: where they are.
        source_grid: where the labels are wanted.

    Returns:
        uint8, of `source_grid`'s shape. Of equally likely classes the lowest.
    """
    turned, transform = facing(probabilities, grid, source_grid)
    start = _whole_shift(transform, turned.shape)
    if start is not None:
        labels = _argmax([turned[..., c] for c in range(turned.shape[-1])])
        return paste(labels, start, source_grid.shape)
    out = np.zeros(source_grid.shape, np.uint8)
    meeting = _meeting(turned.shape, transform, source_grid.shape)
    for box in _slabs(meeting) if all(meeting) else ():
        labels = _argmax(
            sample(turned[..., c], transform, box, "linear")
            for c in range(turned.shape[-1])
        )
        labels[~inside(turned.shape, transform, box)] = 0
        out[_slices(box)] = labels
    return out


def scaled_on_grid(
    values: np.ndarray, grid: Grid, source_grid: Grid, top: float
) -> np.ndarray:
    """Values from 0 to `top` at the voxel centres of `source_grid`, as uint16.

    Interpolated where and as `argmax_on_grid` does; elsewhere 0.

    Args:
        values: (D, H, W) float32 on `grid`.
        grid: where they are.
        source_grid: where they are wanted.
        top: what 65535 stands for; larger values become that.

    Returns:
        uint16, of `source_grid`'s shape: value = stored * `top` / 65535.
    """
    turned, transform = facing(values, grid, source_grid)
    start = _whole_shift(transform, turned.shape)
    if start is not None:
        return paste(_as_uint16(turned, top), start, source_grid.shape)
    out = np.zeros(source_grid.shape, np.uint16)
    meeting = _meeting(turned.shape, transform, source_grid.shape)
    for box in _slabs(meeting) if all(meeting) else ():
        part = _as_uint16(sample(turned, transform, box, "linear"), top)
        part[~inside(turned.shape, transform, box)] = 0
        out[_slices(box)] = part
    return out


def _as_uint16(values: np.ndarray, top: float) -> np.ndarray:
    return np.rint(np.clip(values / top, 0, 1) * 65535).astype(np.uint16)


def _dtype(volume: Volume, order: Order) -> np.dtype:
    return np.dtype(np.float32) if order == "linear" else volume.array.dtype


def _slabs(box: list[range], axis: int = 0) -> Iterator[list[range]]:
    """The box in slabs across `axis`, of about SLAB_VOXELS voxels each."""
    row = max(1, math.prod(len(r) for r in box) // max(1, len(box[axis])))
    step = max(1, SLAB_VOXELS // row)
    for start in range(0, len(box[axis]), step):
        yield [r[start : start + step] if a == axis else r for a, r in enumerate(box)]


def _slices(box: list[range]) -> tuple[slice, ...]:
    return tuple(slice(r.start, r.stop) for r in box)


def _argmax(scores) -> np.ndarray:
    """Index of the largest of several arrays, voxel by voxel, as uint8."""
    for label, score in enumerate(scores):
        if not label:
            best, labels = np.array(score), np.zeros(score.shape, np.uint8)
            continue
        labels[score > best] = label
        np.maximum(best, score, out=best)
    return labels


def _whole_shift(transform, shape) -> list[int] | None:
    """Target index of the source's first voxel, where both have one lattice."""
    linear, shift = transform[:, :3], transform[:, 3]
    # The far corner must fall on a voxel as well: a spacing off by 1e-5 adds up.
    drift = np.abs(linear - np.eye(3)) @ np.array(shape[:3])
    if max(drift.max(), np.abs(shift - np.rint(shift)).max()) > ALIGNED_VOX:
        return None
    return [-int(s) for s in np.rint(shift)]


def _meeting(shape, transform, target_shape) -> list[range]:
    """The box of target indices that can lie in the source's extent."""
    outer = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape[:3]])).reshape(3, -1)
    corners = np.linalg.solve(transform[:, :3], outer - transform[:, 3:])
    low = np.clip(np.floor(corners.min(axis=1)), 0, target_shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1)) + 1, 0, target_shape).astype(int)
    return [range(int(a), max(int(a), int(b))) for a, b in zip(low, high, strict=True)]


def _block_sum(array, factor: Sequence[int], dtype) -> np.ndarray:
    """Sums of blocks, axis by axis, the last first; the edge repeated as needed."""
    for axis in (2, 1, 0):
        size, step = array.shape[axis], int(factor[axis])
        if step == 1:
            continue
        blocks = -(-size // step)
        if size % step:
            pad = [(0, 0)] * 3
            pad[axis] = (0, blocks * step - size)
            array = np.pad(array, pad, mode="edge")
        parts = [
            array[(slice(None),) * axis + (slice(k, None, step),)] for k in range(step)
        ]
        array = np.add(parts[0], parts[1], dtype=dtype)
        for part in parts[2:]:
            array += part
    return array.astype(dtype)
