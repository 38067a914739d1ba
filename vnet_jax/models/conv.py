"""The one convolution of the networks, and which form of it runs.

On an NVIDIA GPU XLA's with voxels folded into channels ("folded"), on other GPUs, on
TPUs and wherever a spatial axis is cut over devices XLA's own ("native"). On a CPU the
oneDNN inside jaxlib ("onednn") where it is there and passes a self-test, else XLA's 2-D
ones ("planar"), both by `winograd` where it pays. The environment variable
VNET_JAX_CONV = auto, native, planar or onednn overrules the choice: native everywhere,
the other two on a CPU.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax

from vnet_jax import processor
from vnet_jax.models import cudnn, onednn, xla
from vnet_jax.models.xla import native

VARIABLE = "VNET_JAX_CONV"
WORDS = ("auto", "native", "planar", "onednn")
IN_FLOAT32 = " in float32"
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}  # of the largest value


def conv(x: jax.Array, w: jax.Array, *, spatially_sharded: bool = False) -> jax.Array:
    """Convolution of stride 1, zero-padded to the size of its input.

    Args:
        x: (N, *spatial, C), two or three spatial axes; float32 or bfloat16 for speed,
            any float for the native form.
        w: (*k, C, O) of the dtype of `x`, each k odd.
        spatially_sharded: a spatial axis of `x` is cut over devices. Only the native
            form exchanges the halo. It is also what `jax.export` needs.

    Returns:
        (N, *spatial, O), the dtype of `x`.

    Raises:
        ValueError: shapes that do not fit, an even kernel size, different dtypes.
    """
    _check(x, w)
    if all(k == 1 for k in w.shape[:-2]):
        return x @ w[(0,) * (w.ndim - 2)]
    form = "native" if spatially_sharded or x.ndim != 5 else _form(x.dtype)
    return native(x, w) if form == "native" else _fast(x, w, form)


def which_form(dtype: str = "float32") -> str:
    """The form that `conv` takes on this process's default device.

    Returns:
        "native", "folded", "planar", "onednn", for float64 on a CPU "product", for
        bfloat16 on one that cannot multiply it "onednn in float32" or "planar in
        float32".

    Raises:
        ValueError: VNET_JAX_CONV holds another word.
    """
    form = _form(jnp.dtype(dtype))
    if jax.default_backend() == "cpu" or form == "native":
        return form
    folded = _on_cuda() and jnp.dtype(dtype).itemsize == 2
    return "folded" if folded else "native"


def compiler_options() -> dict[str, bool]:
    """What XLA is to be told when it compiles a network for the default device.

    Returns:
        Options for `jax.jit`; none on a CPU.

    Raises:
        ValueError: VNET_JAX_CONV holds another word.
    """
    return cudnn.OPTIONS if _on_cuda() and _asked() != "native" else {}


def _on_cuda() -> bool:
    return jax.default_backend() == "gpu" and "cuda" in _platform_version()


def _platform_version() -> str:
    return jax.devices()[0].client.platform_version.lower()


def quick_dtype() -> str:
    """What this process's default device computes in fastest without much loss.

    Returns:
        "bfloat16" on a GPU or TPU, and on a CPU whose oneDNN form multiplies it (an
        x86 processor with AVX512_BF16); else "float32".
    """
    on_cpu = jax.default_backend() == "cpu"
    quick = _form(jnp.dtype("bfloat16")) == "onednn" if on_cpu else True
    return "bfloat16" if quick else "float32"


def training_dtype() -> str:
    """What training computes in where it is left to the machine.

    Returns:
        As `quick_dtype`, but on a CPU "bfloat16" only where the processor has matrix
        units for it: else it saves too little to give digits away for.
    """
    on_cpu = jax.default_backend() == "cpu"
    return "float32" if on_cpu and not processor.has_matrix_units() else quick_dtype()


class _Fast(NamedTuple):
    """What runs on a CPU: the convolution, and its kernel's gradient (x, g, k)."""

    forward: Callable
    kernel_gradient: Callable


FAST = {
    "onednn": _Fast(onednn.forward, onednn.kernel_gradient),
    "planar": _Fast(xla.planar, xla.planar_gradient),
    "product": _Fast(xla.product, xla.product_gradient),
}


def _on_cpu(form: str) -> _Fast:
    """The functions of a form, of one in float32 with the dtypes changed around."""
    name, _, wide = form.partition(" ")
    fast = FAST[name]
    return _Fast(*map(_in_float32, fast)) if wide else fast


def _in_float32(function):
    def run(*arrays, **more):
        wide = [array.astype(jnp.float32) for array in arrays]
        return function(*wide, **more).astype(arrays[0].dtype)

    return run


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fast(x, w, form: str):
    """`form` on a CPU, another elsewhere: decided when it is lowered for a platform."""
    return _forward(form)(x, w)


def _fast_forward(x, w, form):
    return _forward(form)(x, w), (x, w)


def _fast_backward(form, kept, g):
    x, w = kept
    swapped = jnp.flip(w, (0, 1, 2)).swapaxes(3, 4)  # (*k, O, C)
    return _fast(g, swapped, form), _kernel_gradient(form, w.shape[:3])(x, g)


_fast.defvjp(_fast_forward, _fast_backward)


@functools.cache
def _forward(form: str):
    @jax.custom_batching.custom_vmap
    def forward(x, w):
        ways = dict(cpu=_on_cpu(form).forward, cuda=cudnn.forward, default=native)
        return lax.platform_dependent(x, w, **ways)

    @forward.def_vmap
    def _mapped(size, mapped, x, w):
        """More samples where only `x` is mapped, else one call after the other."""
        if not mapped[1]:
            y = forward(x.reshape(-1, *x.shape[2:]), w)
            return y.reshape(size, -1, *y.shape[1:]), True
        return _one_by_one(forward, size, mapped, x, w), True

    return forward


@functools.cache
def _kernel_gradient(form: str, k: tuple[int, int, int]):
    @jax.custom_batching.custom_vmap
    def gradient(x, g):
        ways = dict(
            cpu=_on_cpu(form).kernel_gradient,
            cuda=cudnn.kernel_gradient,
            default=xla.native_gradient,
        )
        ways = {name: functools.partial(way, k=k) for name, way in ways.items()}
        return lax.platform_dependent(x, g, **ways)

    @gradient.def_vmap
    def _mapped(size, mapped, x, g):
        return _one_by_one(gradient, size, mapped, x, g), True

    return gradient


def _one_by_one(f, size, mapped, *arrays):
    pairs = zip(arrays, mapped, strict=True)
    every = [a if m else jnp.broadcast_to(a, (size, *a.shape)) for a, m in pairs]
    return lax.map(lambda one: f(*one), tuple(every))


def _check(x, w):
    spatial = w.shape[:-2]
    if x.ndim not in (4, 5) or w.ndim != x.ndim:
        raise ValueError(
            f"image {x.shape} and kernel {w.shape} must be (N, *spatial, C) and (*k, "
            "C, O) with two or three spatial axes"
        )
    if x.shape[-1] != w.shape[-2]:
        raise ValueError(
            f"the image has {x.shape[-1]} channels, the kernel takes {w.shape[-2]}"
        )
    if any(k % 2 == 0 for k in spatial):
        raise ValueError(f"kernel sizes {spatial} must be odd to keep the centre")
    if x.dtype != w.dtype:
        raise ValueError(f"image {x.dtype} and kernel {w.dtype} must have one dtype")


def _asked() -> str:
    asked = os.environ.get(VARIABLE, "auto")
    if asked not in WORDS:
        raise ValueError(f"{VARIABLE} is {asked!r}, not one of {', '.join(WORDS)}")
    return asked


def _form(dtype) -> str:
    """The form on a CPU."""
    asked = _asked()
    if asked != "native" and dtype == jnp.float64:
        return "product"
    if asked == "native" or dtype not in (jnp.float32, jnp.bfloat16):
        return "native"
    return _choose(jnp.dtype(dtype).name, asked)


@functools.cache
def _choose(dtype: str, asked: str) -> str:
    """Decide once a process, and say so in one line of the log."""
    why = ""
    if asked == "planar":
        form, why = "planar" + IN_FLOAT32 * (dtype == "bfloat16"), f"{VARIABLE} is set"
    elif dtype == "bfloat16" and not processor.multiplies_bfloat16():
        form = _choose("float32", asked) + IN_FLOAT32
        why = "the CPU has no AVX512_BF16"
    else:
        why = _self_test(dtype)
        form = "planar" + IN_FLOAT32 * (dtype == "bfloat16") if why else "onednn"
    if asked == "onednn" and form.startswith("planar"):
        raise ValueError(f"{VARIABLE} is onednn, but {why}")
    logging.info("%s convolutions on a CPU: %s %s", dtype, form, f"({why})" * bool(why))
    return form


def _self_test(dtype: str) -> str:
    """Compare oneDNN with the native form; what is wrong, "" when nothing is."""
    try:
        cpu = jax.local_devices(backend="cpu")[0]
        with jax.ensure_compile_time_eval(), jax.default_device(cpu):
            errors = np.asarray(_errors(*_self_test_arrays(dtype)))
    except Exception as error:  # whatever an unknown jaxlib raises means: not here
        return f"oneDNN cannot be called: {str(error).splitlines()[0][:80]}"
    if np.all(errors <= TOLERANCE[dtype]):
        return ""
    return f"oneDNN is off by {errors.max():.1e} of the largest value"


def _self_test_arrays(dtype):
    """Image, kernel and gradient whose sizes all differ, so that a swap shows."""
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 4, 6, 9), (3, 5, 5, 9, 17), (2, 3, 4, 6, 17))
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


@jax.jit
def _errors(x, w, g):
    """Errors of value and kernel gradient, as shares of the largest value."""
    value, back = jax.vjp(native, x, w)
    pairs = (
        (onednn.convolve(x, w), value),
        (onednn.weight_gradient(x, g, w.shape[:3]), back(g)[1]),
        (onednn.convolve(x, w[..., :3]), value[..., :3]),
        (onednn.weight_gradient(x, g[..., :3], w.shape[:3]), back(g)[1][..., :3]),
    )
    pairs = [(a.astype(jnp.float32), b.astype(jnp.float32)) for a, b in pairs]
    return jnp.stack([jnp.abs(a - b).max() / jnp.abs(b).max() for a, b in pairs])
