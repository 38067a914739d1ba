"""The region of interest: from phase 1's foreground to phase 2's windows.

A region is a `Grid`: the foreground's box, with its place in the world. Phase 1 finds
it on its own coarse grid, another program's mask on the CT's grid, training on the
label's; each can be laid over any other grid of the same patient.
"""

from __future__ import annotations

import itertools

import numpy as np

from vnet_jax.ct.boxes import roi_box
from vnet_jax.ct.geometry import Grid, bounding_box

__all__ = ["centre_mm", "faces_reached", "foreground_region", "lay_over", "roi_box"]

#: Where an index grows to -> the words for that end of the patient.
ENDS = {
    "S": "upper",
    "I": "lower",
    "A": "front",
    "P": "back",
    "L": "left",
    "R": "right",
}
OPPOSITE = dict(zip("SIAPLR", "ISPARL", strict=True))

#: A face closer than this to a voxel's border is on it: a box laid over its own grid
#: must come back as itself, not one voxel larger for 1e-12 of rounding.
ROUNDING_VOX = 1e-3


def foreground_region(foreground: np.ndarray, grid: Grid) -> Grid | None:
    """The box around the foreground, in the world.

    Args:
        foreground: (D, H, W); non-zero means inside.
        grid: where its voxels are.

    Returns:
        The box's own grid, or None where there is no foreground.
    """
    box = bounding_box(foreground)
    return None if box is None else grid.crop(*box)


def centre_mm(region: Grid) -> np.ndarray:
    """The region's centre in the world: (3,) float64, mm, RAS+."""
    return region.to_mm((np.asarray(region.shape) - 1) / 2)


def lay_over(
    region: Grid, grid: Grid
) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """The voxels of a grid that a region touches.

    Args:
        region: a box in the world.
        grid: another grid of the same patient, of any spacing and orientation.

    Returns:
        (start, shape) in voxels of `grid`, inside it; None where the two do not meet.
    """
    # Voxel 0 of a box reaches from -0.5 to 0.5, the last one of 80 from 78.5 to 79.5.
    faces = [(-0.5, n - 0.5) for n in region.shape]
    corners = grid.to_index(region.to_mm(np.array(list(itertools.product(*faces)))))
    low = np.floor(corners.min(axis=0) + 0.5 + ROUNDING_VOX).astype(int)
    high = np.ceil(corners.max(axis=0) + 0.5 - ROUNDING_VOX).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    if np.any(low >= high):
        return None
    return tuple(low.tolist()), tuple((high - low).tolist())


def faces_reached(mask: np.ndarray, grid: Grid, box: Grid, region: Grid) -> list[str]:
    """Faces of phase 2's box that the foreground reaches although the CT goes on.

    A voxel is at a face when its centre is within one of the box's voxels, or of the
    mask's where those are larger, of it; nothing was predicted beyond. A face that is
    one of the region's, too, does not count: there phase 1 has seen the kidney end.

    Args:
        mask: (D, H, W) labels on the CT's grid.
        grid: the CT's.
        box: what phase 2 saw.
        region: the foreground's box by phase 1, on any grid.

    Returns:
        Of "upper", "lower", "front", "back", "left" and "right", in the order of the
        box's axes.
    """
    found = bounding_box(mask)
    if found is None:
        return []
    start, shape = found
    inside = mask[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]
    at = box.to_index(grid.to_mm(np.argwhere(inside) + start))  # (n, 3)
    ends = box.to_index(grid.to_mm(_outer_corners(grid)))  # (8, 3)
    # The longest step between two of the mask's voxels, in the box's: 3 mm are 1.
    steps = np.linalg.inv(box.affine[:3, :3]) @ grid.affine[:3, :3]
    near = np.maximum(1, abs(steps).max(axis=1))
    first, size = np.array(lay_over(region, box))
    high = np.array(box.shape) - 0.5
    low_ends = (at.min(axis=0) < near - 0.5) & (ends.min(axis=0) < -1) & (first > 0)
    high_ends = (at.max(axis=0) > high - near) & (ends.max(axis=0) > high + 0.5)
    high_ends &= first + size < box.shape
    reached = []
    for axis, code in enumerate(box.axis_codes):
        reached += [ENDS[OPPOSITE[code]]] if low_ends[axis] else []
        reached += [ENDS[code]] if high_ends[axis] else []
    return reached


def _outer_corners(grid: Grid) -> np.ndarray:
    return np.array(list(itertools.product(*((-0.5, n - 0.5) for n in grid.shape))))
