"""Shapes whose measures are known, on grids of any spacing and axis order."""

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume

#: KiTS19's voxels, and even ones; axes I, P, L.
KITS = (3.0, 0.78, 0.78)
EVEN = (1.0, 1.0, 1.0)


def grid(extent_mm, spacing_mm):
    """A grid centred on the world's origin, axes I, P, L; extents are (z, y, x)."""
    shape = np.ceil(np.array(extent_mm) / spacing_mm).astype(int)
    linear = -np.diag(spacing_mm)[::-1]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = -linear @ ((shape - 1) / 2)
    return Grid(tuple(shape), affine)


def world(g):
    """x, y, z of each voxel centre, mm."""
    return np.moveaxis(g.to_mm(np.moveaxis(np.indices(g.shape), 0, -1)), -1, 0)


def ball(g, radius_mm, centre_mm=(0, 0, 0)):
    at = world(g) - np.reshape(centre_mm, (3, 1, 1, 1))
    return (at**2).sum(axis=0) <= radius_mm**2


def ellipsoid(g, axes_mm, centre_mm=(0, 0, 0)):
    at = (world(g) - np.reshape(centre_mm, (3, 1, 1, 1))) / np.reshape(
        axes_mm, (3, 1, 1, 1)
    )
    return (at**2).sum(axis=0) <= 1


def turned(array, g, order, flips):
    """The same volume as another program may store it: axes permuted and flipped."""
    flips = np.array(flips)
    affine = g.affine @ np.diag([*flips, 1.0])
    affine[:3, 3] = g.to_mm((np.array(g.shape) - 1) * (flips < 0))
    view = array[tuple(slice(None, None, int(f)) for f in flips)].transpose(order)
    return Volume(view, Grid(view.shape, affine[:, [*order, 3]]))
