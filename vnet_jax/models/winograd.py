"""Convolutions along depth with 2.5 times fewer multiplications (Winograd 1980).

A kernel of 5 slices gives 4 output slices from 8 input slices: 20 two-dimensional
convolutions. By Toom and Cook's interpolation 8 suffice. With polynomials d(s) of the
input and g(s) of the kernel, each known by its values at the 8 points 0, +-1, +-2,
+-1/2 and infinity, the 4 outputs are sums of the 8 products of the values:

    y = A^T [(G g) * (B^T d)]          (Lavin and Gray 2016, equation 5)

where * is a 2-D convolution here. The sums cost a few additions a voxel, and a digit:
in float32 it is up to 1.2e-5 of the largest value off the direct sum, of which two
orders differ by 2e-6.
Of 680 triples of points (+-a, +-b, +-c) these have the smallest error.

What convolves two-dimensionally is the caller's: oneDNN's or XLA's own convolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vnet_jax import processor

KERNEL = 5  # slices
TILE = 4  # output slices of a tile
POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))  # and infinity
FEW_VOXELS = 2048  # below, transforming the kernel costs more than it saves
CHUNK_BYTES = 64 << 20  # of the transformed input and output at a time

#: (N, T, H, W, C), (1, kh, kw, C, O) -> (N, T, H, W, O): each slice, zero-padded
Convolve = Callable[[jax.Array, jax.Array], jax.Array]
#: (N, T, ...), (N, T, ...) -> (1, kh, kw, C, O): the kernel's gradient
KernelGradient = Callable[[jax.Array, jax.Array], jax.Array]


def suits(image_shape: Sequence[int], kernel_shape: Sequence[int]) -> bool:
    """Whether these sums are worth it: (N, D, H, W, C) and (*k, C, O).

    Fewer channels than a register holds are as dear as a full one: less is saved.
    """
    return (
        kernel_shape[0] == KERNEL
        and image_shape[1] >= TILE
        and min(kernel_shape[-2:]) >= processor.lanes()
        and math.prod(image_shape[:-1]) >= FEW_VOXELS
    )


def convolve(x: jax.Array, w: jax.Array, planes: Convolve) -> jax.Array:
    """Same-padded convolution, a few tiles of slices at a time.

    Args:
        x: (N, D, H, W, C) float32.
        w: (5, kh, kw, C, O) float32.
        planes: the 2-D convolution.

    Returns:
        (N, D, H, W, O) float32.
    """
    values = [_sum(g, list(w))[None] for g in _matrices()[1]]  # 8 of (1, kh, kw, C, O)
    wider = max(w.shape[-2:]) / x.shape[-1]  # the output's slices, where larger
    tiles, at_once = _tiles(x.shape[1], wider * x.nbytes / x.shape[1])

    def part(i):
        d = _slices(_rows(x, i * at_once, at_once, KERNEL // 2))
        pairs = zip(_matrices()[2], values, strict=True)
        products = [planes(_sum(b, d), value) for b, value in pairs]
        return jnp.stack([_sum(a, products) for a in _matrices()[0]], 2)

    y = _each(part, tiles // at_once, at_once)  # (N, tiles, 4, H, W, O)
    return y.reshape(x.shape[0], -1, *y.shape[3:])[:, : x.shape[1]]


def kernel_gradient(x: jax.Array, g: jax.Array, planes: KernelGradient) -> jax.Array:
    """Gradient of `convolve` with respect to its kernel.

    The transpose of its formula: grad = G^T [(B^T d) * (A e)] with the slices e of g.

    Args:
        x: (N, D, ...) float32 the input; the order of the axes after D is the caller's.
        g: (N, D, ...) float32 the gradient of the output, likewise.
        planes: the same for 2-D convolutions, a sum over its slices.

    Returns:
        (5, kh, kw, C, O) float32.
    """
    tiles, at_once = _tiles(x.shape[1], max(x.nbytes, g.nbytes) / x.shape[1])

    def part(i):
        d = _slices(_rows(x, i * at_once, at_once, KERNEL // 2))
        e = _rows(g, i * at_once, at_once - 1, 0)
        e = [e[:, :, q] for q in range(TILE)]
        pairs = zip(_matrices()[2], _matrices()[0].T, strict=True)
        # Computed once each; XLA would do it again for every shifted copy made of them.
        sums = [lax.optimization_barrier((_sum(b, d), _sum(a, e))) for b, a in pairs]
        return jnp.concatenate([planes(x, g) for x, g in sums])

    count = tiles // at_once
    total = part(0)  # (8, kh, kw, C, O)
    if count > 1:
        total = lax.fori_loop(1, count, lambda i, t: t + part(i), total)
    return jnp.stack([_sum(g, list(total)) for g in _matrices()[1].T])


def _each(part, count, at_once):
    """The parts one after the other, side by side along axis 1."""
    first = part(0)
    if count == 1:
        return first
    shape = (first.shape[0], count * at_once, *first.shape[2:])
    y = lax.dynamic_update_slice_in_dim(jnp.zeros(shape, first.dtype), first, 0, 1)

    def write(i, y):
        return lax.dynamic_update_slice_in_dim(y, part(i), i * at_once, 1)

    return lax.fori_loop(1, count, write, y)


def _tiles(depth: int, slice_bytes: float) -> tuple[int, int]:
    """Tiles of 4 slices in all, and at a time; the former a multiple of the latter."""
    tiles = math.ceil(depth / TILE)
    tile_bytes = 2 * (TILE + KERNEL - 1) * slice_bytes  # transformed, input and output
    most = max(1, min(tiles, int(CHUNK_BYTES // tile_bytes)))
    at_once = min(range(most, 0, -1), key=lambda a: math.ceil(tiles / a) * a)
    return math.ceil(tiles / at_once) * at_once, at_once


def _rows(a: jax.Array, tile: int, tiles: int, before: int) -> jax.Array:
    """(N, D, ...) from so many slices before a tile -> (N, tiles + 1, 4, ...).

    With zeros beyond both ends; only what is asked for is ever padded, not a copy of
    the whole array.
    """
    depth, length = a.shape[1], (tiles + 1) * TILE
    size, start = min(depth, length), tile * TILE - before
    first = jnp.clip(start, 0, depth - size)
    part = lax.dynamic_slice_in_dim(a, first, size, 1)
    around = (before, length), *((0, 0),) * (a.ndim - 2)
    part = jnp.pad(part, ((0, 0), *around))
    part = lax.dynamic_slice_in_dim(part, before + start - first, length, 1)
    part = lax.optimization_barrier(part)  # else it is cut anew for each sum
    return part.reshape(a.shape[0], tiles + 1, TILE, *a.shape[2:])


def _slices(rows: jax.Array) -> list[jax.Array]:
    """(N, T + 1, 4, ...) -> the 8 slices that each tile reads, (N, T, ...) each."""
    low, high = rows[:, :-1], rows[:, 1:]
    return [low[:, :, i] for i in range(TILE)] + [high[:, :, i] for i in range(TILE)]


def _sum(weights: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
    """The weighted sum, without the terms that are 0."""
    terms = [a * float(w) for w, a in zip(weights, arrays, strict=True) if w]
    return functools.reduce(jnp.add, terms)


@functools.cache
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T (4, 8), G (8, 5) and B^T (8, 8), float64, from exact fractions."""
    points = [Fraction(p) for p in POINTS]
    others = [[q for q in points if q != p] for p in points]
    scale = [
        math.prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)
    ]
    kernel = _powers(points, KERNEL)
    kernel = [[v / s for v in row] for row, s in zip(kernel, [*scale, 1], strict=True)]
    image = [_polynomial(rest) for rest in [*others, points]]
    a, g, b = _powers(points, TILE), kernel, image
    return tuple(
        np.array(m, np.float64) for m in (list(zip(*a, strict=True)), g, _square(b))
    )


def _powers(points, count):
    """Row p: 1, p, p^2, ...; the last row is infinity's, the highest power alone."""
    last = [Fraction(0)] * (count - 1) + [Fraction(1)]
    return [[p**i for i in range(count)] for p in points] + [last]


def _polynomial(roots):
    """Coefficients of prod (s - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _square(rows):
    longest = max(map(len, rows))
    return [[*row, *[Fraction(0)] * (longest - len(row))] for row in rows]
