"""Convolutions by the oneDNN that jaxlib carries on x86 Linux.

XLA runs 3-D convolutions on a CPU 5 to 10 times slower than oneDNN does. jaxlib links
oneDNN and registers one of its functions as the custom call `__onednn$convolution`:
channels last, any strides, any padding, float32 or bfloat16. It is an internal
interface, so `vnet_jax.models.conv` tests it once a process before using it.

The call is a forward convolution only. Both gradients are written as forward
convolutions too:

- of the input: the same convolution with the kernel flipped and its channels swapped;
- of the kernel: see `weight_gradient`.

XLA cannot partition a call it does not know: it would gather a sharded batch first.
`forward` and `kernel_gradient` therefore carry their own rule: each device runs on its
own samples, and the kernel's gradient is summed over the devices.
"""

from __future__ import annotations

import functools
import json
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from vnet_jax import processor
from vnet_jax.models import winograd

TARGET = "__onednn$convolution"
PADDED = 16  # output channels that oneDNN computes at the least, for the price of all
DEEP, WIDE = 4, 96  # of the slab that the weight gradient sums at a time
WHOLE_BYTES = 4 << 20  # its shifted copy is made in one piece up to this size

Padding = tuple[tuple[int, int], ...]


def call(
    x: jax.Array, w: jax.Array, padding: Padding, *, swapped: bool = False
) -> jax.Array:
    """One convolution of stride 1 by the library.

    Args:
        x: (N, *spatial, C) float32 or bfloat16.
        w: (*k, C, O), the same dtype; (*k, O, C) when `swapped`, which costs nothing:
            the library packs the kernel into its own order anyway.
        padding: zeros (before, after) each spatial axis.
        swapped: the order of the kernel's last two axes.

    Returns:
        (N, *[n + before + after - k + 1], O), the same dtype.
    """
    sizes = zip(x.shape[1:-1], padding, w.shape[:-2], strict=True)
    spatial = tuple(n + sum(pad) - k + 1 for n, pad, k in sizes)
    outputs = w.shape[-2 if swapped else -1]
    result = jax.ShapeDtypeStruct((x.shape[0], *spatial, outputs), x.dtype)
    return jax.ffi.ffi_call(
        TARGET,
        result,
        custom_call_api_version=2,
        vmap_method="sequential",
        legacy_backend_config=_settings(padding, swapped),
    )(x, w)


def _settings(padding: Padding, swapped: bool) -> str:
    """The call's settings: XLA's `OneDnnConvolutionConfig` as JSON, numbers as text."""
    dims = len(padding)
    data = {
        "batch_dim": "0",
        "feature_dim": str(dims + 1),
        "spatial_dims": [str(i + 1) for i in range(dims)],
    }
    kernel = {
        "input_feature_dim": str(dims + swapped),
        "output_feature_dim": str(dims + 1 - swapped),
        "spatial_dims": [str(i) for i in range(dims)],
    }
    window = {
        "pad_left": [str(before) for before, _ in padding],
        "pad_right": [str(after) for _, after in padding],
        "strides": ["1"] * dims,
        "window_dilations": ["1"] * dims,
    }
    settings = {
        "dims": str(dims + 2),
        "input": {"data": data},
        "output": {"data": data},
        "kernel": {"filter": kernel},
        "window": window,
        "feature_groups": "1",
    }
    return json.dumps({"onednn_conv_config": settings})


def same(kernel_shape: tuple[int, ...]) -> Padding:
    """Padding that keeps the size: 5 -> (2, 2)."""
    return tuple((k // 2, k // 2) for k in kernel_shape)


def convolve(x: jax.Array, w: jax.Array) -> jax.Array:
    """Same-padded convolution: x (N, D, H, W, C), w (*k, C, O) -> (N, D, H, W, O)."""
    if x.dtype == jnp.float32 and winograd.suits(x.shape, w.shape):
        return winograd.convolve(x, w, _directly)
    if _folds_outputs(w.shape):
        return _convolve_few_outputs(x, w)
    return _directly(x, w)


def _directly(x, w):
    return call(x, w, same(w.shape[:3]))


def _folds_outputs(shape: tuple[int, ...]) -> bool:
    """Whether laying the W offsets out as output channels saves padded channels."""
    *_, k, inputs, outputs = shape

    def padded(channels):
        return math.ceil(channels / PADDED) * PADDED

    # 3 outputs, 5 offsets: 16 padded channels over 25 offsets, not over all 125.
    folded = padded(k * outputs) * inputs + k * k * outputs * PADDED / 25
    return folded < 0.75 * k * padded(outputs) * inputs


def _convolve_few_outputs(x, w):
    """Output channels (W offset, O) from a kernel one voxel wide, then the W sum.

    The sum y[w] = sum_i part[w + i - k // 2, i] is a convolution with ones and zeros.
    """
    kd, kh, kw, inputs, outputs = w.shape
    flat = w.transpose(0, 1, 3, 2, 4).reshape(kd, kh, 1, inputs, kw * outputs)
    parts = call(x, flat, same(flat.shape[:3]))
    # add[0, 0, i, (j, o), p] = 1 where i == j and o == p.
    add = jnp.einsum("ij,op->ijop", jnp.eye(kw), jnp.eye(outputs)).astype(x.dtype)
    add = add.reshape(1, 1, kw, kw * outputs, outputs)
    return call(parts, add, same(add.shape[:3]))


def weight_gradient(x: jax.Array, g: jax.Array, k: tuple[int, int, int]) -> jax.Array:
    """Gradient of a same-padded convolution with respect to its kernel.

    Args:
        x: (N, D, H, W, C) the input.
        g: (N, D, H, W, O) the gradient of the output.
        k: the kernel's spatial sizes, odd.

    Returns:
        (*k, C, O), the dtype of `x`, summed in float32.
    """
    if g.shape[-1] < x.shape[-1]:  # shift the one with fewer channels, below
        return jnp.flip(weight_gradient(g, x, k), (0, 1, 2)).swapaxes(3, 4)
    shape = (*k, x.shape[-1], g.shape[-1])
    sums = x.dtype == jnp.float32 and winograd.suits(x.shape, shape)
    slab = _slab_shape(x.shape, x.dtype.itemsize, k)
    # The axes in the order that the sum needs, once: (N, D, H, C, W).
    more = [-n % s for n, s in zip(x.shape, slab, strict=False)]
    x = _pad(x, more, (0, 0, k[1] // 2, k[2] // 2)).swapaxes(3, 4)
    g = _pad(g, more, (0, 0, 0, 0)).swapaxes(3, 4)
    if sums:
        planes = functools.partial(_by_slabs, slab=slab, k=(1, *k[1:]))
        return winograd.kernel_gradient(x, g, planes)
    return _by_slabs(_pad_depth(x, k[0] // 2), g, slab, k)


def _by_slabs(x, g, slab, k):
    """The sum, slab by slab, the first side shifted.

    With x padded by k // 2 it is

        grad[a, b, c, i, o] = sum over n, d, h, w of
                              x[n, d + a, h + b, w + c, i] g[n, d, h, w, o].

    The library sums over channels and over the kernel's offsets, so W becomes the
    channels and (D, H) the offsets of one large kernel, made of g:

    - image: (d + kd - 1, h + kh - 1) voxels, then kw C values: x shifted by each c
      along W; w channels in;
    - kernel: (d, h), w channels in, O channels out;
    - output: the kd x kh positions (a, b), then (c, i), then o.

    With the roles of x and g exchanged every offset changes its sign. The shifted copy
    is kw times its source, so the sum runs over slabs that stay in cache.

    Args:
        x: (N, D + kd - 1, H + kh - 1, C, W + kw - 1).
        g: (N, D, H, O, W), H and W multiples of the slab's.
        slab: (n, d, h, w); n and d give way to what is there.
        k: the kernel's sizes.
    """
    n, h, w = min(slab[0], g.shape[0]), *slab[2:]
    d = max(d for d in range(1, slab[1] + 1) if g.shape[1] % d == 0)
    size = (n, d, h, w)
    counts = [m // s for m, s in zip((*g.shape[:3], g.shape[4]), size, strict=True)]

    def one(i):
        at = [j * s for j, s in zip(jnp.unravel_index(i, counts), size, strict=True)]
        image = _rows(x, at, range(k[2]), (n, d + k[0] - 1, h + k[1] - 1, w))
        kernel = _rows(g, at, [0], size)
        y = call(image[None], kernel[:, :, None], ((0, 0),) * 3, swapped=True)
        return y.astype(jnp.float32)

    total = one(0)  # (1, kd, kh, kw C, O)
    if math.prod(counts) > 1:
        total = lax.fori_loop(1, math.prod(counts), lambda i, t: t + one(i), total)
    return total.reshape(*k, -1, g.shape[3]).astype(x.dtype)


def _rows(a, at, shifts, size):
    """Boxes of `a` (N, D, H, C, W), shifted along W, as rows for the library.

    Each is cut out of the whole array. Cut out of a slab that was cut out before, XLA
    makes one loop of both that picks value by value: 15 to 40 times slower.

    Returns:
        (d, h, shifts x C, n w).
    """
    (n, d, h, w), (*start, w0) = size, at
    boxes = [
        lax.dynamic_slice(a, (*start, 0, w0 + c), (n, d, h, a.shape[3], w))
        for c in shifts
    ]
    rows = jnp.moveaxis(jnp.concatenate(boxes, 3), 0, 3)  # (d, h, shifts C, n, w)
    return rows.reshape(d, h, -1, n * w)


def _pad(a, more, both):
    """Zeros: `both` on either side, `more` at the end, for the axes (N, D, H, W)."""
    pads = [(b, b + m) for b, m in zip(both, more, strict=True)]
    return jnp.pad(a, (*pads, (0, 0)))


def _pad_depth(a, both):
    return jnp.pad(a, ((0, 0), (both, both), *((0, 0),) * (a.ndim - 2)))


def _slab_shape(shape, itemsize, k):
    """The slab (n, d, h, w) of an image (N, D, H, W, C): all of it, or a small one.

    With AVX-512 of 16 rows: 2 MB of 16 channels. Caches are smaller without.
    """
    *size, channels = shape
    n, d, h, w = size
    copied = n * (d + k[0] - 1) * (h + k[1] - 1) * w * k[2] * channels * itemsize
    if copied <= WHOLE_BYTES:
        return tuple(size)
    slab = (DEEP, processor.lanes(), WIDE)
    return 1, *(even(n, most) for n, most in zip(size[1:], slab, strict=True))


def even(length: int, most: int) -> int:
    """The length of equal pieces no longer than `most`: 240 by 100 -> 80."""
    return math.ceil(length / math.ceil(length / most))


def _batch_axes(arguments):
    """The mesh axes over which the first argument's batch is cut, or None."""
    spec = arguments[0].sharding.spec
    return spec[0] if len(spec) else None


def _partition_forward(mesh, arguments, result):
    batch = NamedSharding(mesh, PartitionSpec(_batch_axes(arguments)))
    whole = NamedSharding(mesh, PartitionSpec())
    return mesh, convolve, batch, (batch, whole)


def _partition_gradient(k, mesh, arguments, result):
    axes = _batch_axes(arguments)
    batch = NamedSharding(mesh, PartitionSpec(axes))

    def local(x, g):
        part = weight_gradient(x, g, k)
        return part if axes is None else lax.psum(part, axes)

    return mesh, local, NamedSharding(mesh, PartitionSpec()), (batch, batch)


# The replicated factors must stand in the order in which the rule first names them.
forward = custom_partitioning(convolve)
forward.def_partition(
    partition=_partition_forward,
    sharding_rule="n d h w c, i j k c o -> n d h w o",
    need_replication_factors=tuple("dhwcijko"),
)
kernel_gradient = custom_partitioning(weight_gradient, static_argnums=(2,))
kernel_gradient.def_partition(
    partition=_partition_gradient,
    sharding_rule="n d h w c, n d h w o -> i j k c o",
    reduction_factors=("n",),
    need_replication_factors=tuple("dhwcoijk"),
)
