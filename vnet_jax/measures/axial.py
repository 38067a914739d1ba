"""The diameters that radiologists draw: in one axial slice, and across it.

RECIST 1.1 (Eisenhauer et al., 2009) takes the longest diameter in the axial slice in
which that is longest; the second diameter, of the older WHO rule, is the longest at
right angles to it in the same slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from vnet_jax.ct.geometry import Grid
from vnet_jax.measures.diameter import corners, row_ends


@dataclass(frozen=True)
class Axial:
    """A tumour in the slice in which it is longest.

    Attributes:
        longest_mm: between two of its voxel centres there.
        across_mm: the longest chord of its convex outline at right angles to that.
        slice: index of the slice along the volume's own axis.
        ends_mm: world coordinates of the two voxels.
    """

    longest_mm: float
    across_mm: float
    slice: int
    ends_mm: tuple[tuple[float, float, float], tuple[float, float, float]]


def axial_axis(grid: Grid) -> int:
    """The array axis that runs from head to feet, or nearest to it."""
    return next(axis for axis, code in enumerate(grid.axis_codes) if code in "IS")


def axial(mask: np.ndarray, grid: Grid) -> Axial:
    """Measures a tumour in its slices.

    Args:
        mask: (D, H, W) bool, not empty; any axis order.
        grid: where the voxels are.

    Returns:
        The slice with the longest diameter, of equal ones the largest, then the lowest;
        both diameters are at least as long as a voxel's shorter edge in the slice.
    """
    axis = axial_axis(grid)
    slices = np.moveaxis(mask, axis, 0)
    best = None
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        at = np.argwhere(row_ends(slices[index]))
        points = grid.to_mm(np.insert(at, axis, index, axis=1))  # (n, 3)
        found = _longest(points, _plane(grid, axis))
        order = (round(found[0], 6), np.count_nonzero(slices[index]), -points[0, 2])
        if best is None or order > best[0]:
            best = (order, int(index), *found)
    _, index, longest, across, ends = best
    least = min(s for a, s in enumerate(grid.spacing_mm) if a != axis)
    pair = tuple(tuple(float(x) for x in end) for end in ends)
    return Axial(max(longest, least), max(across, least), index, pair)


def _plane(grid: Grid, axis: int) -> np.ndarray:
    """(3, 2) two unit vectors at right angles that span the slices, mm."""
    return np.linalg.qr(np.delete(grid.affine[:3, :3], axis, axis=1))[0]


def _longest(points: np.ndarray, plane: np.ndarray):
    """Longest distance, longest chord across, and the pair, of (n, 3) points in mm."""
    if len(points) == 1:
        return 0.0, 0.0, (points[0], points[0])
    flat = points @ plane  # (n, 2)
    outline = corners(flat)
    apart = squareform(pdist(outline))
    i, j = np.unravel_index(apart.argmax(), apart.shape)
    ends = [points[np.abs(flat - outline[k]).sum(axis=1).argmin()] for k in (i, j)]
    return float(apart[i, j]), _across_mm(outline, outline[j] - outline[i]), ends


def _across_mm(outline: np.ndarray, along: np.ndarray) -> float:
    """The longest chord of a convex polygon at right angles to `along`.

    The chord's length is concave along the polygon and bends at corners alone, so that
    the longest one passes through a corner.
    """
    if len(outline) < 3:
        return 0.0
    unit = along / np.linalg.norm(along)
    u, v = outline @ unit, outline @ np.array([-unit[1], unit[0]])
    first = int(u.argmin())
    u, v = np.roll(u, -first), np.roll(v, -first)
    last = int(u.argmax())
    one = np.interp(u, u[: last + 1], v[: last + 1])
    back = np.append(u[last:], u[0])[::-1], np.append(v[last:], v[0])[::-1]
    return float(np.abs(one - np.interp(u, *back)).max())
