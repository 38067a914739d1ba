"""Convolutions on an NVIDIA GPU: neighbouring voxels side by side as channels.

cuDNN multiplies with 128 channels three times as fast as with 32, and it pads 1 or 3
channels to 8. So a narrow convolution is written as an exactly equal one on fewer,
wider voxels. With channels last (`OPTIONS`) putting a row's neighbours together moves
nothing in memory. What was measured stands in docs/benchmarks.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from vnet_jax.models.xla import native, native_gradient

#: XLA hands cuDNN 3-D convolutions channels first unless it is told otherwise.
OPTIONS = {"xla_gpu_force_conv_nhwc": True}
WIDE = 128  # channels from which cuDNN is at its best
NARROW = 4  # channels up to which most of what cuDNN multiplies is padding
TAPS = 5  # kernels of fewer along an axis lose more by folding than they gain
BLOCK = (2, 2, 2)  # outputs that a narrow side has in one place
MANY_VOXELS = 4_000_000  # from which a gradient of 32 channels gains by 128


def forward(x: jax.Array, w: jax.Array) -> jax.Array:
    """The convolution of `vnet_jax.models.xla.native`, to the rounding of the dtype.

    Args:
        x: (N, D, H, W, C); another dtype than one of 2 bytes takes the native form.
        w: (*k, C, O), each k odd.

    Returns:
        (N, D, H, W, O).
    """
    if not _pays(x, w.shape):
        return native(x, w)
    inputs, outputs = w.shape[3:]
    if outputs <= NARROW < inputs and _divides(BLOCK, x.shape):
        return blocks(x, w)
    sizes = _sizes(x.shape, inputs, outputs)
    narrow = inputs <= NARROW
    y = (native if narrow else turned)(fold(x, sizes), fold_kernel(w, sizes))
    return unfold(y, sizes)


def kernel_gradient(x: jax.Array, g: jax.Array, k: tuple[int, int, int]) -> jax.Array:
    """Gradient of `forward` with respect to its kernel.

    Args:
        x: (N, D, H, W, C) the input.
        g: (N, D, H, W, O) the gradient of the output.
        k: the kernel's spatial sizes, odd.

    Returns:
        (*k, C, O), the dtype of `x`; what one voxel of the kernel gets from the several
        places that it has in the folded one is summed in float32.
    """
    shape = (*k, x.shape[-1], g.shape[-1])
    if not _pays(x, shape):
        return native_gradient(x, g, k)
    if g.shape[-1] <= NARROW < x.shape[-1] and _divides(BLOCK, x.shape):
        w = jax.ShapeDtypeStruct(shape, x.dtype)
        spread = jax.eval_shape(_spread_kernel, w)
        (back,) = jax.linear_transpose(lambda w: _strided(x, w), spread)(fold(g, BLOCK))
        return _gathered(_spread_kernel, shape, back)
    sizes = _gradient_sizes(x.shape, *shape[3:])
    folded = [fold(array, sizes) for array in (x, g)]
    wide = [_span(n, f) for n, f in zip(k, sizes, strict=True)]
    back = native_gradient(*folded, tuple(wide))
    return _gathered(lambda w: fold_kernel(w, sizes), shape, back)


def fold(x: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """(N, D, H, W, C) -> (N, D/a, H/b, W/c, a b c C) for sizes (a, b, c)."""
    n, *space, channels = x.shape
    cut = [m for s, f in zip(space, sizes, strict=True) for m in (s // f, f)]
    x = x.reshape(n, *cut, channels).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(*x.shape[:4], -1)


def unfold(y: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """The inverse of `fold`."""
    n, *space, channels = y.shape
    channels //= math.prod(sizes)
    y = y.reshape(n, *space, *sizes, channels).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    whole = [s * f for s, f in zip(space, sizes, strict=True)]
    return y.reshape(n, *whole, channels)


def fold_kernel(w: jax.Array, sizes: Sequence[int]) -> jax.Array:
    """The kernel that does to folded images what `w` does to the images.

    Args:
        w: (*k, C, O), each k odd.
        sizes: (a, b, c) of `fold`.

    Returns:
        (*places, a b c C, a b c O): 3 places along an axis of k 5 folded in pairs.
    """
    for axis in (2, 1, 0):  # the last is folded first and so lies innermost
        if sizes[axis] > 1:
            w = _fold_kernel_axis(w, axis, sizes[axis])
    return w


def turned(x: jax.Array, w: jax.Array) -> jax.Array:
    """`native` as the gradient of an input, for which cuDNN has the better kernels."""
    back = jnp.flip(w, (0, 1, 2)).swapaxes(3, 4)
    back = lax.optimization_barrier(back)  # else XLA sees that it is turned twice
    y = jax.ShapeDtypeStruct((*x.shape[:-1], w.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda y: native(y, back), y)(x)[0]


def blocks(x: jax.Array, w: jax.Array) -> jax.Array:
    """`native` for few outputs: those of 2x2x2 voxels at once, by steps of 2."""
    return unfold(_strided(x, _spread_kernel(w)), BLOCK)


def _fold_kernel_axis(w, axis, size):
    k, places = w.shape[axis], _span(w.shape[axis], size)
    w = jnp.moveaxis(w, axis, 0)
    far = size * places  # zeros beyond both ends, so that no place is missing
    w = jnp.pad(w, [(far, far), *((0, 0),) * (w.ndim - 1)])
    first = far + k // 2 - size * (places // 2)

    def columns(place, offset):
        """What one input of a place gives to each of the `size` outputs."""
        start = first + size * place + offset
        return jnp.concatenate([w[start - output] for output in range(size)], -1)

    rows = [
        jnp.concatenate([columns(place, offset) for offset in range(size)], -2)
        for place in range(places)
    ]
    return jnp.moveaxis(jnp.stack(rows), 0, axis)


def _span(k, size):
    """Folded voxels that hold the k voxels around each of `size` ones."""
    return 2 * -(-(k // 2) // size) + 1


def _strided(x, w):
    pads = [((k - b + 1) // 2,) * 2 for k, b in zip(w.shape, BLOCK, strict=False)]
    order = ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(x, w, BLOCK, pads, dimension_numbers=order)


def _spread_kernel(w):
    """(*k, C, O) -> (*(k + 1), C, 8 O): the kernel at each place of the block."""
    places = itertools.product(*map(range, BLOCK))
    around = [
        [(at, b - 1 - at) for at, b in zip(p, BLOCK, strict=True)] for p in places
    ]
    return jnp.concatenate([jnp.pad(w, [*a, (0, 0), (0, 0)]) for a in around], -1)


def _gathered(spread, shape, gradient):
    """Gradient of the kernel from that of what `spread` made of it."""
    w = jax.ShapeDtypeStruct(shape, jnp.float32)
    (back,) = jax.linear_transpose(spread, w)(gradient.astype(jnp.float32))
    return back.astype(gradient.dtype)


def _pays(x, kernel_shape):
    return x.ndim == 5 and x.dtype.itemsize == 2 and min(kernel_shape[:3]) >= TAPS


def _sizes(shape, inputs, outputs):
    """How many neighbours are put together along each axis."""
    if inputs <= NARROW:
        wanted = (1, 1, min(8, 2 ** int(math.log2(16 / inputs))))
    else:
        wanted = _towards(WIDE, max(inputs, outputs))
    return wanted if _divides(wanted, shape) else (1, 1, 1)


def _gradient_sizes(shape, inputs, outputs):
    if inputs <= NARROW or outputs <= NARROW:
        return _sizes(shape, min(inputs, outputs), max(inputs, outputs))
    many = math.prod(shape[:4]) >= MANY_VOXELS
    wanted = _towards(WIDE if many else WIDE // 2, max(inputs, outputs))
    return wanted if _divides(wanted, shape) else (1, 1, 1)


def _towards(channels, present):
    """Pairs along one axis or two, until so many channels are there."""
    times = channels // present
    return (1, 2, 2) if times >= 4 else (1, 1, 2) if times >= 2 else (1, 1, 1)


def _divides(sizes, shape):
    return all(n % f == 0 for n, f in zip(shape[1:4], sizes, strict=True))
