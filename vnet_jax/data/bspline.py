"""A smooth bend: displacements at control points, joined by cubic B-splines.

After Rueckert et al. 1999 (free-form deformations). Such a bend folds nothing while no
control point moves along any axis by as much as 0.4033 of their distance (Choi and Lee
2000, injectivity in three dimensions); `MOST` stays below that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Largest displacement along an axis, as a share of the control points' distance.
MOST = 0.4


def grid_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], distance_mm: float
) -> tuple[int, ...]:
    """How many control points reach over a sample along each axis.

    Args:
        shape: (d, h, w) voxels.
        spacing_mm: (z, y, x).
        distance_mm: between two control points.

    Returns:
        (kz, ky, kx): 61 voxels of 2 mm at 40 mm are 3 spans, whose 4 ends and the
        neighbours beyond them are 6 points; a 7th serves the last voxel.
    """
    return tuple(
        int((n - 1) * s / distance_mm) + 4
        for n, s in zip(shape, spacing_mm, strict=True)
    )


def weights(n: int, spacing_mm: float, distance_mm: float) -> np.ndarray:
    """What each control point counts for each voxel along one axis.

    Args:
        n: voxels; the first lies on the second control point.
        spacing_mm: between two voxels.
        distance_mm: between two control points.

    Returns:
        (n, k) float32; each row has four values above or equal to 0, of sum 1.
    """
    place = np.arange(n) * (spacing_mm / distance_mm)
    span = place.astype(int)  # control points span to span + 3
    u = place - span
    basis = (
        (1 - u) ** 3,
        3 * u**3 - 6 * u**2 + 4,
        -3 * u**3 + 3 * u**2 + 3 * u + 1,
        u**3,
    )
    found = np.zeros((n, grid_shape((n,), (spacing_mm,), distance_mm)[0]), np.float32)
    for i, values in enumerate(basis):
        found[np.arange(n), span + i] = values / 6
    return found
