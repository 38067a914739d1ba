"""A sample seen through a map, interpolated once by a program that XLA compiles.

SciPy's `affine_transform` gives the same values and takes longer: BUILD_NOTES.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vnet_jax.data import bspline


class Bend(NamedTuple):
    """A smooth displacement of the places in the result: see `vnet_jax.data.bspline`.

    Attributes:
        control_mm: (3, kz, ky, kx), along z, y and x, of each control point.
        distance_mm: between two control points.
    """

    control_mm: np.ndarray
    distance_mm: float


def warp(
    image: np.ndarray,
    label: np.ndarray,
    matrix: np.ndarray,
    spacing_mm: Sequence[float],
    bend: Bend | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves what a sample shows by a linear map about its middle, and bends it.

    The place p of the result shows what lies at matrix (p + bend(p)): one reading.

    Args:
        image: (d, h, w, 1) float32, read linearly.
        label: (d, h, w) uint8, read at the nearest voxel.
        matrix: (3, 3), from a place in the result to the place that it shows, mm.
        spacing_mm: (z, y, x).
        bend: applied to the result's places before the matrix; None for none.

    Returns:
        The same shapes and dtypes. Beyond the sample its edge goes on.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    in_voxels = matrix * spacing / spacing[:, None]
    middle = (np.array(label.shape) - 1) / 2
    place = np.column_stack([in_voxels, middle - in_voxels @ middle])
    # On the host, beside the step that a GPU computes; GPUs alone if JAX has no more.
    with jax.default_device(_host()):
        moved = _warp(
            image[..., 0],
            label,
            place.astype(np.float32),
            bend and _moves(bend, matrix, spacing, label.shape),
        )
    return np.asarray(moved[0])[..., None], np.asarray(moved[1])


@functools.cache
def _host() -> jax.Device | None:
    """This process's CPU; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _moves(bend: Bend, matrix, spacing_mm, shape) -> tuple[np.ndarray, ...]:
    """The bend in voxels of the sample, and its control points' weights by axis."""
    seen_mm = np.tensordot(matrix, bend.control_mm, 1)
    control = (seen_mm / spacing_mm[:, None, None, None]).astype(np.float32)
    spacings = zip(shape, spacing_mm, strict=True)
    return control, *(bspline.weights(n, s, bend.distance_mm) for n, s in spacings)


@jax.jit
def _warp(image: jax.Array, label: jax.Array, place: jax.Array, moves=None):
    """Image (d, h, w) float32, label (d, h, w); place (3, 4), from voxels to voxels.

    One loop over the result: the places are never held in memory. `moves`, from
    `_moves`, are added to them; they are held summed along z and y.
    """
    d, h, w = image.shape
    at = jnp.ogrid[:d, :h, :w]
    if moves is not None:
        control, along_z, along_y, along_x = moves
        lines = jnp.einsum("cijk,zi,yj->czyk", control, along_z, along_y)
    low, part, near = [], [], []
    for axis, (row, n) in enumerate(zip(place, image.shape, strict=True)):
        x = sum(a * i for a, i in zip(row, at, strict=False)) + row[3]
        if moves is not None:
            points = range(along_x.shape[1])
            x += sum(lines[axis, :, :, k, None] * along_x[:, k] for k in points)
        x = jnp.clip(x, 0, n - 1)
        whole = jnp.clip(jnp.floor(x), 0, max(n - 2, 0))
        low.append(whole.astype(jnp.int32))
        part.append(x - whole)
        near.append(jnp.floor(x + 0.5).astype(jnp.int32))
    # Corners by their places in memory; an axis of one voxel has no second one.
    steps = [h * w * (d > 1), w * (h > 1), int(w > 1)]

    def corner(offset):
        return _take(image, (low[0] * h + low[1]) * w + low[2] + offset)

    def between(axis, offset):
        if axis == 3:
            return corner(offset)
        a, b = between(axis + 1, offset), between(axis + 1, offset + steps[axis])
        return a + (b - a) * part[axis]

    return between(0, 0), _take(label, (near[0] * h + near[1]) * w + near[2])


def _take(array: jax.Array, index: jax.Array) -> jax.Array:
    return array.reshape(-1).at[index].get(mode="promise_in_bounds")
