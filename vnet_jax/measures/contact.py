"""The surface between two masks, such as a tumour's with the parenchyma.

By Crofton's formula: the area of a surface is twice the mean, over all directions, of
its shadow's area, and a shadow is measured by counting how often parallel lines cross
the surface. On a grid the lines run from voxel to voxel; each direction is weighed with
the part of the sphere that is nearest to it (Legland, Kieu and Devaux, 2007). So a
slanted surface has its true area, whatever the spacing: over 12 balls of 8 to 40 mm
radius, half sunk in a kidney at random angles, it is 0.98 to 1.00 of the true one on
voxels of 1 mm and of 3 x 0.78 x 0.78 mm, where marching cubes give 1.09 and 1.18.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from scipy.spatial import SphericalVoronoi

from vnet_jax.ct.geometry import Grid


def contact_mm2(inside: np.ndarray, other: np.ndarray, grid: Grid) -> float:
    """The area of the surface between a mask and another that touches it.

    Args:
        inside: (D, H, W) bool.
        other: (D, H, W) bool, where `inside` is not.
        grid: where the voxels are.

    Returns:
        mm2. Masks with a gap of less than a slice's thickness may count as touching.
    """
    directions, weights_mm2 = _lines(grid.affine[:3, :3].tobytes())
    total = 0.0
    for step, weight in zip(directions, weights_mm2, strict=True):
        here, there = _shifted(step, inside.shape)
        total += weight * np.count_nonzero(inside[here] & other[there])
    return float(total)


def reach(grid: Grid) -> tuple[int, int, int]:
    """Voxels along each axis within which the two masks' voxels are paired."""
    return _reach(np.array(grid.spacing_mm))


def _reach(spacing_mm: np.ndarray) -> tuple[int, int, int]:
    """As far as a slice is thick, so that directions lie about evenly in space."""
    steps = np.floor(spacing_mm.max() / spacing_mm + 1e-6)
    return tuple(int(n) for n in steps)


@lru_cache(maxsize=64)
def _lines(linear: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) steps in voxels, both ways, and (n,) mm2 that a crossing stands for."""
    linear = np.frombuffer(linear).reshape(3, 3)
    most = _reach(np.linalg.norm(linear, axis=0))
    steps = np.array(
        [
            step
            for step in itertools.product(*(range(-n, n + 1) for n in most))
            if np.gcd.reduce(step) == 1
        ]
    )
    arrows = steps @ linear.T  # mm
    length = np.linalg.norm(arrows, axis=1)
    share = SphericalVoronoi(arrows / length[:, None]).calculate_areas() / (4 * np.pi)
    # Lines along a step lie one in every volume / length; twice for Crofton, and twice
    # since a crossing is counted in one of the two senses alone.
    return steps, 4 * share * abs(np.linalg.det(linear)) / length


def _shifted(step, shape) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all voxels whose partner at `step` is in the array, and of these."""
    pairs = list(zip(step, shape, strict=True))
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in pairs)
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in pairs)
    return here, there
