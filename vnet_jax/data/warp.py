"""A sample seen through a linear map, interpolated by a program that XLA compiles.

SciPy's `affine_transform` gives the same values and takes longer: BUILD_NOTES.md.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def warp(
    image: np.ndarray,
    label: np.ndarray,
    matrix: np.ndarray,
    spacing_mm: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Moves what a sample shows by a linear map about its middle.

    Args:
        image: (d, h, w, 1) float32, read linearly.
        label: (d, h, w) uint8, read at the nearest voxel.
        matrix: (3, 3), from a place in the result to the place that it shows, mm.
        spacing_mm: (z, y, x).

    Returns:
        The same shapes and dtypes. Beyond the sample its edge goes on.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    in_voxels = matrix * spacing / spacing[:, None]
    middle = (np.array(label.shape) - 1) / 2
    place = np.column_stack([in_voxels, middle - in_voxels @ middle])
    # On the host, beside the step that a GPU computes; GPUs alone if JAX has no more.
    with jax.default_device(_host()):
        moved = _warp(image[..., 0], label, place.astype(np.float32))
    return np.asarray(moved[0])[..., None], np.asarray(moved[1])


@functools.cache
def _host() -> jax.Device | None:
    """This process's CPU; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


@jax.jit
def _warp(image: jax.Array, label: jax.Array, place: jax.Array):
    """Image (d, h, w) float32, label (d, h, w); place (3, 4), from voxels to voxels.

    One loop over the result: the places are never held in memory.
    """
    d, h, w = image.shape
    at = jnp.ogrid[:d, :h, :w]
    low, part, near = [], [], []
    for row, n in zip(place, image.shape, strict=True):
        x = sum(a * i for a, i in zip(row, at, strict=False)) + row[3]
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
