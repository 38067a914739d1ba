"""Convolutions by XLA alone: its own form, and on a CPU a quicker one.

XLA runs 2-D convolutions on a CPU several times faster than 3-D ones. `planar` puts a
3-D convolution together from 2-D ones, for processors and systems on which jaxlib has
no oneDNN.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vnet_jax.models import winograd

SMALL_VOLUME = 128  # voxels
SMALL_PLANE = 1024  # voxels of a slice, up to which matrix products are quicker
FOLDED_BYTES = 1 << 30  # above, the folded copy costs more memory than it is worth


def native(x: jax.Array, w: jax.Array) -> jax.Array:
    """XLA's own convolution of stride 1, zero-padded to the size of its input.

    Args:
        x: (N, *spatial, C), two or three spatial axes, any float.
        w: (*k, C, O) of the dtype of `x`, each k odd.

    Returns:
        (N, *spatial, O).
    """
    letters = "DHW"[5 - x.ndim :]
    return lax.conv_general_dilated(
        x,
        w,
        (1,) * len(letters),
        [(k // 2, k // 2) for k in w.shape[:-2]],
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )


def native_gradient(x: jax.Array, g: jax.Array, k: tuple[int, ...]) -> jax.Array:
    """Gradient of `native` with respect to its kernel, of the spatial sizes `k`."""
    w = jnp.zeros((*k, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.vjp(lambda w: native(x, w), w)[1](g)[0]


def product(x: jax.Array, w: jax.Array) -> jax.Array:
    """A 3-D convolution as one matrix product; arguments as for `native`.

    For small volumes: it copies each voxel's surroundings. And for float64 on a CPU:
    comparisons to the last digit, also in programs compiled without optimisation.
    """
    y = _surroundings(x, w.shape[:3]) @ w.reshape(-1, w.shape[-1])
    return y.reshape(*x.shape[:-1], w.shape[-1])


def product_gradient(x: jax.Array, g: jax.Array, k: tuple[int, int, int]) -> jax.Array:
    """Gradient of `product` with respect to its kernel; as `planar_gradient`."""
    grad = _surroundings(x, k).T @ g.reshape(-1, g.shape[-1])
    return grad.reshape(*k, x.shape[-1], g.shape[-1])


def _surroundings(x, k):
    """(N, D, H, W, C) -> (voxels, offsets C): one look-up, quick to compile."""
    padded = jnp.pad(x, [(0, 0), *((n // 2, n // 2) for n in k), (0, 0)])
    steps = [np.prod(padded.shape[i + 1 : 4], dtype=int) for i in range(4)]
    voxels = sum(
        np.ix_(*(np.arange(n) * s for n, s in zip(x.shape[:4], steps, strict=True)))
    )
    offsets = sum(
        np.ix_(*(np.arange(n) * s for n, s in zip(k, steps[1:], strict=True)))
    )
    places = voxels.reshape(-1, 1) + jnp.asarray(offsets.reshape(1, -1), jnp.int32)
    rows = padded.reshape(-1, x.shape[-1])[places]
    return rows.reshape(len(places), -1)


def planar(x: jax.Array, w: jax.Array) -> jax.Array:
    """A 3-D convolution from 2-D ones; arguments as for `native`.

    By Winograd's sums along depth where they are worth it, else one convolution with
    the depth offsets side by side as channels, of the side that has fewer. A volume of
    few voxels, for which XLA's convolution is 20 times slower, is one matrix product.
    """
    if math.prod(x.shape[:-1]) <= SMALL_VOLUME:
        return product(x, w)
    if x.dtype == jnp.float32 and winograd.suits(x.shape, w.shape):
        return winograd.convolve(x, w, _planes)
    k, *plane, inputs, outputs = w.shape
    if _folded_bytes(x, w.shape) > FOLDED_BYTES:
        return native(x, w)
    if inputs <= outputs:
        flat = jnp.moveaxis(w, 0, 2).reshape(1, *plane, k * inputs, outputs)
        return _planes(_fold(x, k), flat)
    flat = jnp.moveaxis(w, 0, 3).reshape(1, *plane, inputs, k * outputs)
    return _unfold(_planes(x, flat), k)


def planar_gradient(x: jax.Array, g: jax.Array, k: tuple[int, int, int]) -> jax.Array:
    """Gradient of `planar` with respect to its kernel.

    Args:
        x: (N, D, H, W, C) the input.
        g: (N, D, H, W, O) the gradient of the output.
        k: the kernel's spatial sizes, odd.

    Returns:
        (*k, C, O), the dtype of `x`.
    """
    shape = (*k, x.shape[-1], g.shape[-1])
    if x.dtype == jnp.float32 and winograd.suits(x.shape, shape):
        small = math.prod(x.shape[2:4]) <= SMALL_PLANE
        planes = _products_gradient if small else _planes_gradient
        return winograd.kernel_gradient(x, g, functools.partial(planes, k=k[1:]))
    if _folded_bytes(x, shape) > FOLDED_BYTES:
        return native_gradient(x, g, k)
    single = min(shape[3:]) == 1
    planes = _planes_gradient if single else _products_gradient
    if x.shape[-1] <= g.shape[-1]:
        folded = planes(_fold(x, k[0]), g, k[1:])  # (1, kh, kw, kd C, O)
        return jnp.moveaxis(folded.reshape(*k[1:], k[0], *shape[3:]), 2, 0)
    folded = planes(x, _fold(g, k[0]), k[1:])  # (1, kh, kw, C, kd O)
    folded = folded.reshape(*k[1:], shape[3], k[0], shape[4])
    return jnp.flip(jnp.moveaxis(folded, 3, 0), 0)  # g turns the other way


def _fold(x, k):
    """(N, D, H, W, C) -> (N, D, H, W, k C): each slice with its neighbours."""
    depth = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (k // 2, k // 2), (0, 0), (0, 0), (0, 0)))
    return jnp.concatenate([padded[:, i : i + depth] for i in range(k)], -1)


def _unfold(parts, k):
    """(N, D, H, W, k O) -> (N, D, H, W, O): the transpose of `_fold`, from the end."""
    depth = parts.shape[1]
    parts = jnp.pad(parts, ((0, 0), (k // 2, k // 2), (0, 0), (0, 0), (0, 0)))
    pieces = jnp.split(parts, k, -1)
    return sum(piece[:, i : i + depth] for i, piece in enumerate(pieces))


def _folded_bytes(x, kernel_shape):
    k, *_, inputs, outputs = kernel_shape
    voxels = x.size // inputs
    return voxels * k * min(inputs, outputs) * x.dtype.itemsize


def _planes(x, w):
    """Each slice of x (N, D, H, W, C) by itself; w (1, kh, kw, C, O)."""
    y = native(x.reshape(-1, *x.shape[2:]), w[0])
    return y.reshape(*x.shape[:-1], w.shape[-1])


def _planes_gradient(x, g, k):
    """Gradient of `_planes`, (1, kh, kw, C, O), with C as the batch.

    In the order of axes that JAX derives, XLA takes a hundred times as long where the
    convolution stands in a loop.
    """
    x = x.reshape(-1, *x.shape[2:]).transpose(3, 1, 2, 0)  # (C, H, W, N D)
    g = g.reshape(-1, *g.shape[2:]).transpose(1, 2, 0, 3)  # (H, W, N D, O)
    pads = [(n // 2, n // 2) for n in k]
    order = ("NHWC", "HWIO", "NHWC")
    grad = lax.conv_general_dilated(x, g, (1, 1), pads, dimension_numbers=order)
    return grad.transpose(1, 2, 0, 3)[None]


def _products_gradient(x, g, k):
    """The same as `_planes_gradient`, as a matrix product for each offset along H.

    The side with fewer channels is shifted: its offsets along W lie side by side.
    """
    if x.shape[-1] > g.shape[-1]:
        turned = jnp.flip(_products_gradient(g, x, k), (1, 2))
        return turned.swapaxes(3, 4)
    height, width, channels = x.shape[2:]
    pads = ((0, 0), (k[0] // 2,) * 2, (k[1] // 2,) * 2, (0, 0))
    x = jnp.pad(x.reshape(-1, *x.shape[2:]), pads)
    x = jnp.concatenate([x[:, :, c : c + width] for c in range(k[1])], -1)
    g = g.reshape(-1, g.shape[-1])
    rows = [x[:, b : b + height].reshape(len(g), -1) for b in range(k[0])]
    grad = jnp.stack([row.T @ g for row in rows])  # (kh, kw C, O)
    return grad.reshape(1, *k, channels, -1)
