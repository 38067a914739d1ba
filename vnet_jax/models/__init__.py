"""The networks, pure: convolution, V-Net, cascade, the user's own, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from vnet_jax.models import own
from vnet_jax.models.cascade import Cascade
from vnet_jax.models.own import Own
from vnet_jax.models.vnet import VARIANTS, VNet

__all__ = [
    "VARIANTS",
    "Cascade",
    "Own",
    "VNet",
    "build",
    "network_of",
    "smallest_volume",
]

PER_DEVICE = "batch_per_device"
CHOICES = {
    "variant": tuple(VARIANTS),
    "activation": ("variant", "elu", "prelu"),
    "norm": ("variant", "batch", PER_DEVICE, "group", "none"),
    "summation": ("per_stage", "per_conv", "none"),
    "dtype": ("float32", "bfloat16", "float64"),
}


def build(
    *,
    cascade: bool = False,
    factory: str = "",
    kwargs: Mapping | None = None,
    variant: str = "monai",
    width: int = 16,
    classes: int = 3,
    activation: str = "variant",
    norm: str = "variant",
    dropout: float = 0.5,
    summation: str = "per_stage",
    stop_gradient: bool = False,
    dtype: str = "float32",
    remat: bool = False,
    norm_samples: int = 1,
    spatially_sharded: bool = False,
    window: Sequence[int] = (64, 64, 64),
) -> nn.Module:
    """The network that a config's `model` describes.

    `module.apply(variables, x, train, index, rngs=..., mutable=...)` returns a tuple of
    float32 logits, one a stage: see `VNet` and `Cascade`. `module.stages` is how many.

    What is asked for is what is built: `variant` alone decides the numbers of
    convolutions, the place of the last activation, the head and where dropout may
    stand; `activation` and `norm` are the variant's own only as "variant". So the
    original Caffe network is variant="caffe" with both at "variant", and
    variant="caffe", norm="batch" is that network with batch norm added.

    Args:
        cascade: two V-Nets (phase 2), else one (phase 1).
        factory: "package.module:name" of a network of the user's own: see
            `vnet_jax.models.own`. Of the rest only `kwargs`, `classes`, `dtype` and
            `window` are read then.
        kwargs: handed to the factory.
        variant: "monai", "caffe" or "diagram".
        width: channels at full resolution; the paper's is 16.
        classes: background, kidney, tumour and, with four, cyst.
        activation: "variant", "elu" or "prelu".
        norm: "variant", "batch" (statistics of the batch over all devices),
            "batch_per_device", "group" or "none".
        dropout: rate, 0 for none.
        summation: of a cascade: "per_stage", "per_conv" or "none".
        stop_gradient: of a cascade: none through stage 1's softmax.
        dtype: of the computation: "float32", "bfloat16", or, to compare with another
            program to the last digits, "float64" (with JAX's x64 on).
        remat: recompute activations in the backward pass: less memory, more time.
        norm_samples: of "batch_per_device": how many a device holds.
        spatially_sharded: a spatial axis is cut over devices. Convolutions then take
            the native form, which is also what `jax.export` needs.
        window: (D, H, W) voxels for which a factory's network is made.

    Raises:
        ValueError: an unknown name, a number out of range, or a factory whose network
            cannot be made or does not fit.
    """
    asked = dict(variant=variant, activation=activation, norm=norm)
    asked |= dict(summation=summation, dtype=dtype)
    for name, value in asked.items():
        if value not in CHOICES[name]:
            raise ValueError(f"{name} is {value!r}, not one of {CHOICES[name]}")
    if dtype == "float64" and not jax.config.jax_enable_x64:
        raise ValueError("dtype is 'float64', but JAX_ENABLE_X64 is not set")
    if width < 1 or classes < 2 or not 0 <= dropout < 1:
        raise ValueError(
            f"width {width}, classes {classes} and dropout {dropout} must be at least "
            "1, at least 2, and in [0, 1)"
        )
    if factory:
        given = own.as_text(kwargs)
        return own.network(factory, given, classes, dtype, tuple(window))
    per_device = norm == PER_DEVICE
    common = dict(
        variant=variant,
        width=width,
        classes=classes,
        activation=activation,
        norm="batch" if per_device else norm,
        dropout=dropout,
        dtype=jnp.dtype(dtype),
        remat=remat,
        norm_samples=norm_samples if per_device else 0,
        spatially_sharded=spatially_sharded,
    )
    if not cascade:
        return VNet(**common)
    return Cascade(summation=summation, stop_gradient=stop_gradient, **common)


def network_of(model: Mapping) -> dict:
    """What decides the arrays of a network, with the variant's own choices by name.

    Args:
        model: `build`'s arguments, those of a config's `model`.

    Returns:
        {"cascade", "variant", "width", "classes", "norm", "activation"}, or of the
        user's own {"factory", "kwargs", "classes"}: two networks for which they are
        equal have variables of the same names and shapes.
    """
    if model.get("factory"):
        given = own.as_text(model.get("kwargs"))
        return dict(factory=model["factory"], kwargs=given, classes=model["classes"])
    variant = VARIANTS[model["variant"]]
    choices = {
        name: getattr(variant, name) if model[name] == "variant" else model[name]
        for name in ("norm", "activation")
    }
    if choices["norm"] == PER_DEVICE:
        choices["norm"] = "batch"  # the same arrays
    plain = ("cascade", "variant", "width", "classes")
    return {name: model[name] for name in plain} | choices


def smallest_volume(module: nn.Module) -> tuple[int, int, int]:
    """(D, H, W) voxels on which a network of `build` can be initialised.

    A V-Net's variables have the same shapes for every volume; what the user's own need
    is known for the window alone.
    """
    return module.window if isinstance(module, Own) else (16, 16, 16)
