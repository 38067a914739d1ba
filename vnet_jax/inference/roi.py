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

__all__ = ["centre_mm", "foreground_region", "lay_over", "roi_box"]

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
