"""The convex hull of a mask, and which voxels lie in it, and how deep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from vnet_jax.ct.geometry import Grid
from vnet_jax.measures.diameter import row_ends

#: Voxels; a centre on a facet counts as inside, however it was rounded.
ON_IT = 1e-6


@dataclass(frozen=True, eq=False)
class Hull:
    """The convex hull of the centres of a mask's voxels.

    Attributes:
        facets: (f, 4) float64: i is inside where facets[:, :3] @ i + facets[:, 3] <= 0,
            i an index of the volume.
        mm: (f,) float64: times this, those are mm before the facet.
    """

    facets: np.ndarray
    mm: np.ndarray

    def inside(
        self, start: Sequence[int], shape: Sequence[int], depth_mm: float = 0.0
    ) -> np.ndarray:
        """Which voxels of a box lie in it, at least `depth_mm` below its surface.

        A row of voxels enters and leaves a convex body once at the most, so each facet
        is asked once a row and not once a voxel.

        Args:
            start: first index of the box in the volume.
            shape: of the box.
            depth_mm: below all facets.

        Returns:
            (d, h, w) bool.
        """
        axis = int(np.argmax(shape))
        others = [a for a in range(3) if a != axis]
        u, v = np.ogrid[tuple(slice(start[a], start[a] + shape[a]) for a in others)]
        low, high = np.full((2, *(shape[a] for a in others)), -np.inf)
        high = -high
        for facet, mm in zip(self.facets, self.mm, strict=True):
            slope = facet[axis]
            rest = facet[others[0]] * u + facet[others[1]] * v + facet[3]
            rest = rest + depth_mm / mm
            if slope > 1e-12:
                np.minimum(high, -rest / slope, out=high)
            elif slope < -1e-12:
                np.maximum(low, -rest / slope, out=low)
            else:
                high[rest > ON_IT] = -np.inf
        along = np.arange(start[axis], start[axis] + shape[axis])
        found = (along >= low[..., None] - ON_IT) & (along <= high[..., None] + ON_IT)
        return np.moveaxis(found, -1, axis)


def hull_of(mask: np.ndarray, start: Sequence[int], grid: Grid) -> Hull | None:
    """The hull of a mask; None where all its voxels lie in one plane.

    Args:
        mask: (d, h, w) bool.
        start: its first index in the volume.
        grid: the volume's.
    """
    points = np.argwhere(row_ends(mask)) + np.asarray(start)
    if len(points) < 4:
        return None
    try:
        equations = ConvexHull(points).equations
    except QhullError:  # flat
        return None
    facets = np.unique(equations.round(9), axis=0)  # triangles of one facet agree
    # A normal of indices becomes one of mm by the inverse transpose of the affine.
    normals_mm = facets[:, :3] @ np.linalg.inv(grid.affine[:3, :3])
    return Hull(facets, 1 / np.linalg.norm(normals_mm, axis=1))
