"""Surfaces of a mask's classes for the 3-D view, small enough to stand in a page.

Naive surface nets (S. Gibson, MICCAI 1998): a vertex in each cell that the surface
crosses, in the middle of the crossings of the cell's edges; a square for each edge.
"""

from __future__ import annotations

import base64
import struct

import numpy as np
from isal import isal_zlib
from scipy import ndimage

from vnet_jax.ct.geometry import Grid, bounding_box, crop_padded

#: Distance of neighbouring points of the grid that the surface is drawn through.
FINE_MM = 2.0
#: Of the blur that takes the stairs of thick slices away.
BLUR_MM = 1.5
#: What its vertices are rounded to: they deflate to half, and no eye sees it.
STEP_MM = 1 / 16
#: A surface of more squares is drawn on a coarser grid.
SQUARES = 60_000


def surface(inside: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The smooth surface around the true voxels.

    Args:
        inside: (D, H, W) bool.
        grid: where the voxels are.

    Returns:
        Vertices, (n, 3) float32 mm, RAS+; triangles, (m, 3) int32, anticlockwise from
        outside. Both are empty where nothing is inside.
    """
    box = bounding_box(inside)
    if box is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    blurred, around = _blurred(inside, grid, box)
    fine_mm = FINE_MM
    while True:
        density, place = _even(blurred, around, fine_mm)
        vertices, squares = _nets(density - 0.5)
        if len(squares) <= SQUARES:
            break
        fine_mm *= 1.5
    mm = place.to_mm(vertices)
    # Seen from outside in index space; a grid whose axes are left-handed mirrors it.
    if np.linalg.det(grid.affine[:3, :3]) < 0:
        squares = squares[:, ::-1]
    triangles = squares[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    mm = np.rint(mm / STEP_MM) * STEP_MM
    return mm.astype(np.float32), triangles.astype(np.int32)


def as_mz3(vertices: np.ndarray, triangles: np.ndarray) -> str:
    """A surface as a gzipped mz3 file in base64, which NiiVue reads."""
    faces_and_vertices = 3
    head = struct.pack(
        "<HHIII", 0x5A4D, faces_and_vertices, len(triangles), len(vertices), 0
    )
    whole = head + triangles.astype("<i4").tobytes() + vertices.astype("<f4").tobytes()
    return base64.b64encode(isal_zlib.compress(whole, 3, wbits=31)).decode()


def _blurred(inside, grid: Grid, box) -> tuple[np.ndarray, Grid]:
    """How much is inside around each voxel of the box and a margin, 0 to 1."""
    spacing = np.array(grid.spacing_mm)
    margin = np.ceil((2 * FINE_MM + 3 * BLUR_MM) / spacing).astype(int)
    start, shape = np.array(box[0]) - margin, np.array(box[1]) + 2 * margin
    part = crop_padded(inside, start, shape, False).astype(np.float32)
    return ndimage.gaussian_filter(part, BLUR_MM / spacing), grid.crop(start, shape)


def _even(blurred, place: Grid, fine_mm: float) -> tuple[np.ndarray, Grid]:
    """The same on a grid of one spacing along all axes."""
    even = place.resampled((fine_mm,) * 3)
    # The even grid's axes are the old ones: only their steps and the start differ.
    first = place.to_index(even.affine[:3, 3])
    step = np.array(even.spacing_mm) / place.spacing_mm
    density = ndimage.affine_transform(
        blurred, step, first, output_shape=even.shape, order=1
    )
    return density, even


def _nets(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface where `level` changes its sign.

    Args:
        level: (d, h, w) float, negative at all faces.

    Returns:
        Vertices, (n, 3) indices; squares, (m, 4) numbers of vertices.
    """
    cells = np.array(level.shape) - 1
    total, crossings = np.zeros((*cells, 3)), np.zeros(cells)
    for axis in range(3):
        _add_crossings(level, axis, total, crossings)
    crossed = np.argwhere(crossings > 0)
    number = np.full(cells, -1)
    number[tuple(crossed.T)] = np.arange(len(crossed))
    found = tuple(crossed.T)
    vertices = total[found] / crossings[found][:, None]
    squares = [_squares(level, axis, number) for axis in range(3)]
    return vertices, np.concatenate(squares)


def _edges(level: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower ends of the edges along an axis that are crossed, and where: 0 to 1."""
    low, high = level[_cut(axis, None, -1)], level[_cut(axis, 1, None)]
    at = np.argwhere((low < 0) != (high < 0))
    a, b = low[tuple(at.T)], high[tuple(at.T)]
    return at, a / (a - b)


def _cut(axis: int, start, stop) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if i == axis else slice(None) for i in range(3))


def _around(axis: int) -> list[np.ndarray]:
    """Steps from an edge to the four cells around it, in turn."""
    a, b = ((1, 2), (2, 0), (0, 1))[axis]
    steps = np.zeros((4, 3), int)
    steps[:, a], steps[:, b] = (0, -1, -1, 0), (0, 0, -1, -1)
    return list(steps)


def _add_crossings(level, axis, total, crossings) -> None:
    at, share = _edges(level, axis)
    where = at.astype(float)
    where[:, axis] += share
    for step in _around(axis):
        cell = at + step
        good = ((cell >= 0) & (cell < crossings.shape)).all(axis=1)
        index = tuple(cell[good].T)
        np.add.at(crossings, index, 1)
        np.add.at(total, index, where[good])


def _squares(level, axis, number) -> np.ndarray:
    at, _ = _edges(level, axis)
    corners = [number[tuple((at + step).T)] for step in _around(axis)]
    squares = np.stack(corners, axis=1)
    outwards = level[tuple(at.T)] >= 0  # the lower end is inside
    squares[~outwards] = squares[~outwards, ::-1]
    return squares
