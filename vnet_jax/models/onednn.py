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

import json
import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

TARGET = "__onednn$convolution"
LANES = 16  # float32 in an AVX-512 register: oneDNN pads output channels to this
SLAB_BYTES = 4 << 20  # of shifted images a step of the weight gradient: stays in cache

Padding = tuple[tuple[int, int], ...]


def call(x: jax.Array, w: jax.Array, padding: Padding) -> jax.Array:
    """One convolution of stride 1 by the library.

    Args:
        x: (N, *spatial, C) float32 or bfloat16.
        w: (*k, C, O), the same dtype.
        padding: zeros (before, after) each spatial axis.

    Returns:
        (N, *[n + before + after - k + 1], O), the same dtype.
    """
    sizes = zip(x.shape[1:-1], padding, w.shape[:-2], strict=True)
    spatial = tuple(n + sum(pad) - k + 1 for n, pad, k in sizes)
    result = jax.ShapeDtypeStruct((x.shape[0], *spatial, w.shape[-1]), x.dtype)
    return jax.ffi.ffi_call(
        TARGET,
        result,
        custom_call_api_version=2,
        vmap_method="sequential",
        legacy_backend_config=_settings(padding),
    )(x, w)


def _settings(padding: Padding) -> str:
    """The call's settings: XLA's `OneDnnConvolutionConfig` as JSON, numbers as text."""
    dims = len(padding)
    data = {
        "batch_dim": "0",
        "feature_dim": str(dims + 1),
        "spatial_dims": [str(i + 1) for i in range(dims)],
    }
    kernel = {
        "input_feature_dim": str(dims),
        "output_feature_dim": str(dims + 1),
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
    if _folds_outputs(w.shape):
        return _convolve_few_outputs(x, w)
    return call(x, w, same(w.shape[:3]))


def _folds_outputs(shape: tuple[int, ...]) -> bool:
    """Whether laying the W offsets out as output channels saves padded channels."""
    *_, k, inputs, outputs = shape

    def padded(channels):
        return math.ceil(channels / LANES) * LANES

    # 3 outputs, 5 offsets: 16 padded channels over 25 offsets, not over all 125.
    folded = padded(k * outputs) * inputs + k * k * outputs * LANES / 25
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

    grad[a, b, c, i, o] = sum over n, d, h, w of x[n, d + a, h + b, w + c, i] g[n, d, h,
    w, o] (x padded). That is a forward convolution, too: its image has N and W as the
    channels, which a convolution sums over, and along its last axis the C channels of
    each of the kw shifts of x; its kernel is g over (D, H); its output is (kd, kh).
    It runs slab by slab over D and H, so that the shifted images, kw times the size of
    x, stay small: 80 x 240 x 384 x 32 float32 would make 4.7 GB of them.

    Args:
        x: (N, D, H, W, C) the input.
        g: (N, D, H, W, O) the gradient of the output.
        k: the kernel's spatial sizes, odd.

    Returns:
        (*k, C, O), the dtype of `x`, summed in float32.
    """
    few = g.shape[-1] < 8 and g.shape[-1] < x.shape[-1]
    one_slab = _few_outputs_slab if few else _slab
    return _scan_slabs(partial(one_slab, k=k), x, g, k).astype(x.dtype)


def _slab(x, g, k):
    """The gradient of one slab: x (N, d + kd - 1, h + kh - 1, w + kw - 1, C)."""
    batch, depth, height, width, outputs = g.shape
    xt = x.transpose(1, 2, 4, 0, 3)  # (D', H', C, N, W')
    rows = (*xt.shape[:3], batch * width)
    shifts = [xt[..., i : i + width].reshape(rows) for i in range(k[2])]
    image = jnp.concatenate(shifts, 2)[None]  # (1, D', H', kw C, N W)
    kernel = g.transpose(1, 2, 0, 3, 4).reshape(depth, height, 1, -1, outputs)
    y = call(image, kernel, ((0, 0),) * 3)  # (1, kd, kh, kw C, O)
    return y.reshape(*k, x.shape[-1], outputs)


def _few_outputs_slab(x, g, k):
    """The same with g shifted instead of x, so that kw O channels fill the register."""
    batch, depth, height, _, outputs = g.shape
    wide = jnp.pad(g, ((0, 0),) * 3 + ((k[2] - 1, k[2] - 1), (0, 0)))
    span = x.shape[3]  # width + kw - 1
    # x[w + c] g[w] = x[v] g[v - c] over all v of the padded width.
    shifts = [wide[:, :, :, k[2] - 1 - i :][:, :, :, :span] for i in range(k[2])]
    kernel = jnp.concatenate(shifts, -1).transpose(1, 2, 0, 3, 4)
    kernel = kernel.reshape(depth, height, 1, batch * span, k[2] * outputs)
    image = x.transpose(1, 2, 4, 0, 3).reshape(1, *x.shape[1:3], x.shape[-1], -1)
    y = call(image, kernel, ((0, 0),) * 3)  # (1, kd, kh, C, kw O)
    y = y.reshape(k[0], k[1], x.shape[-1], k[2], outputs)
    return y.transpose(0, 1, 3, 2, 4)


def _scan_slabs(one_slab, x, g, k):
    """Sum `one_slab` over slabs of D and H, which are padded to whole slabs."""
    d, h = _slab_shape(g.shape, x.shape[-1] * k[2] * x.dtype.itemsize, k)
    depth, height = (-(-g.shape[1] // d) * d, -(-g.shape[2] // h) * h)
    more = (depth - g.shape[1], height - g.shape[2], 0)
    pads = [(p, p + n) for (p, _), n in zip(same(k), more, strict=True)]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    g = jnp.pad(g, ((0, 0), *((0, n) for n in more), (0, 0)))
    if (d, h) == (depth, height):
        return one_slab(x, g)

    def add(total, start):
        at = (0, *start, 0, 0)
        box = (x.shape[0], d + k[0] - 1, h + k[1] - 1, *x.shape[3:])
        part = one_slab(
            lax.dynamic_slice(x, at, box),
            lax.dynamic_slice(g, at, (g.shape[0], d, h, *g.shape[3:])),
        )
        return total + part.astype(jnp.float32), None

    starts = jnp.meshgrid(
        jnp.arange(0, depth, d), jnp.arange(0, height, h), indexing="ij"
    )
    zero = jnp.zeros((*k, x.shape[-1], g.shape[-1]), jnp.float32)
    return lax.scan(add, zero, tuple(s.ravel() for s in starts))[0]


def _slab_shape(shape, bytes_a_voxel, k):
    """Planes and rows of a slab: all where it fits, else 4 planes by what fits."""
    batch, depth, height, width, _ = shape
    row = batch * width * bytes_a_voxel
    if (depth + k[0] - 1) * (height + k[1] - 1) * row <= 2 * SLAB_BYTES:
        return depth, height
    depth = min(depth, 4)
    fits = SLAB_BYTES // ((depth + k[0] - 1) * row) - (k[1] - 1)
    slabs = math.ceil(height / max(fits, 16))
    return depth, math.ceil(height / slabs)  # even slabs: 240 rows by 100 -> 3 x 80


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
