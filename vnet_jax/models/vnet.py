"""The V-Net in its three known shapes.

Milletari et al. 2016 drew one network, released another, and MONAI trains a third. They
share the frame: five levels, 5x5x5 kernels, 2x2x2 convolutions of stride 2 between the
levels, a residual sum around each stage, and skip connections by concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from vnet_jax.models.layers import CONVOLVED
from vnet_jax.models.stages import DownStage, Head, InputStage, Summation, UpStage

Norm = Literal["variant", "batch", "group", "none"]
Activation = Literal["variant", "elu", "prelu"]


@dataclass(frozen=True)
class Variant:
    """What tells one V-Net from another.

    Attributes:
        encoder: convolutions a stage, level 0 (full resolution) to 4.
        decoder: convolutions a stage, level 3 to 0.
        activation: "elu" or "prelu".
        norm: after each 5x5x5 and 2x2x2 convolution: "batch" or "none".
        active_before_sum: an activation also after a stage's last convolution, before
            the residual sum.
        dropout: channel dropout: at the input of the decoder's levels 3 and 2, on every
            skip connection, and after the down convolutions to levels 3 and 4.
        conv_head: 5x5x5 to the classes before the last 1x1x1.
    """

    encoder: tuple[int, int, int, int, int]
    decoder: tuple[int, int, int, int]
    activation: str
    norm: str
    active_before_sum: bool
    dropout: bool
    conv_head: bool


VARIANTS = {
    "monai": Variant(
        encoder=(1, 1, 2, 3, 2),
        decoder=(2, 2, 1, 1),
        activation="elu",
        norm="batch",
        active_before_sum=True,
        dropout=True,
        conv_head=True,
    ),
    "caffe": Variant(
        encoder=(1, 1, 2, 3, 3),
        decoder=(3, 2, 1, 1),
        activation="prelu",
        norm="none",
        active_before_sum=False,
        dropout=False,
        conv_head=True,
    ),
    "diagram": Variant(
        encoder=(1, 2, 3, 3, 3),
        decoder=(3, 3, 2, 1),
        activation="prelu",
        norm="none",
        active_before_sum=True,
        dropout=False,
        conv_head=False,
    ),
}


class VNet(nn.Module):
    """One V-Net.

    The dropout rate stands where the variant drops, as MONAI does at 0.5: after the
    down convolutions to levels 3 and 4, at the input of the up stages of levels 3 and
    2, and on all four skip connections. (MONAI's rates at the skips of levels 1 and 0
    are fixed at 0.5; here the one rate moves them all, so that 0 means none.) "caffe"
    and "diagram" drop nowhere, whatever the rate.

    A convolution has a bias where no norm follows. The up convolution always has one,
    as in MONAI.

    Attributes:
        variant: "monai", "caffe" or "diagram": see `VARIANTS`.
        width: channels at full resolution, at least the input's channels.
        classes: channels of the logits.
        activation: "elu", "prelu", or "variant" for the variant's own.
        norm: "batch", "group", "none", or "variant" for the variant's own.
        dropout: the rate.
        summation: which maps of the decoder `features` hands on and takes.
        dtype: of the computation; parameters and logits are float32.
        remat: keep of each stage's inside only what the convolutions gave; recompute
            norms, activations, dropout and sums in the backward pass.
        norm_samples: that batch norm normalises together in training; 0 for all.
        spatially_sharded: a spatial axis is cut over devices: see `conv`.
    """

    stages: ClassVar[int] = 1

    variant: str = "monai"
    width: int = 16
    classes: int = 3
    activation: Activation = "variant"
    norm: Norm = "variant"
    dropout: float = 0.5
    summation: Summation = "none"
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    norm_samples: int = 0
    spatially_sharded: bool = False

    def __call__(
        self, x: jax.Array, train: bool = False, index: jax.Array | None = None
    ) -> tuple[jax.Array]:
        """Logits of a batch.

        Args:
            x: (B, D, H, W, C) float32, HU / 250; D, H and W multiples of 16.
            train: statistics of the batch and dropout (rngs={"dropout": key}), instead
                of running averages and none.
            index: (B,) int32, the samples' places in the global batch, on which their
                dropout masks depend; 0 to B - 1 when None.

        Returns:
            A tuple of one: (B, D, H, W, classes) float32.

        Raises:
            ValueError: a size is no multiple of 16, or the width is below C.
        """
        return (self.features(x, train, index)[0],)

    @nn.compact
    def features(
        self,
        x: jax.Array,
        train: bool,
        index: jax.Array | None = None,
        twins: Sequence[Sequence[jax.Array]] = ((),) * 4,
    ) -> tuple[jax.Array, tuple[tuple[jax.Array, ...], ...]]:
        """Logits, and the decoder's maps for a following V-Net, level 3 to 0.

        Args:
            x: as for a call.
            train: as for a call.
            index: as for a call.
            twins: what the V-Net before returned here, to be added to this one's maps.
        """
        _check_input(x, self.width)
        index = jnp.arange(x.shape[0]) if index is None else index
        x = self._stage(InputStage, "encoder_0", 1, 1)(x.astype(self.dtype), train)
        skips = []
        for level in range(1, 5):
            skips.append(x)
            x = self._down(level)(x, train, index)
        given = []
        for level, twin in zip((3, 2, 1, 0), twins, strict=True):
            x, maps = self._up(level)(x, skips.pop(), train, index, tuple(twin))
            given.append(maps)
        return self._head()(x, train), tuple(given)

    def _down(self, level):
        kind = VARIANTS[self.variant]
        rate = self.dropout if kind.dropout and level >= 3 else 0.0
        return self._stage(
            DownStage, f"encoder_{level}", 2**level, kind.encoder[level], rate
        )

    def _up(self, level):
        kind = VARIANTS[self.variant]
        rate = self.dropout if kind.dropout else 0.0
        return self._stage(
            UpStage,
            f"decoder_{level}",
            2 * 2**level,
            kind.decoder[3 - level],
            rate if level >= 2 else 0.0,
            skip_rate=rate,
            summation=self.summation,
        )

    def _head(self):
        convs = int(VARIANTS[self.variant].conv_head)
        return self._stage(Head, "head", None, convs)

    def _stage(self, stage, name, multiple, convs, rate=0.0, **more):
        kind = VARIANTS[self.variant]
        train = {InputStage: 2, DownStage: 2, UpStage: 3, Head: 2}[stage]
        made = stage
        if self.remat:
            keep = jax.checkpoint_policies.save_only_these_names(CONVOLVED)
            made = nn.remat(stage, static_argnums=(train,), policy=keep)
        return made(
            features=self.classes if multiple is None else multiple * self.width,
            convs=convs,
            activation=_own(self.activation, kind.activation),
            norm=_own(self.norm, kind.norm),
            active_before_sum=kind.active_before_sum,
            rate=rate,
            dtype=self.dtype,
            norm_samples=self.norm_samples,
            spatially_sharded=self.spatially_sharded,
            name=name,
            **more,
        )


def _own(asked: str, own: str) -> str:
    return own if asked == "variant" else asked


def _check_input(x: jax.Array, width: int) -> None:
    if x.ndim != 5:
        raise ValueError(f"the input has shape {x.shape}, not (B, D, H, W, C)")
    if any(n % 16 for n in x.shape[1:4]):
        raise ValueError(
            f"spatial sizes {x.shape[1:4]} must be multiples of 16: each of the four "
            "levels below halves them"
        )
    if width < x.shape[-1]:
        raise ValueError(
            f"width {width} is below the {x.shape[-1]} input channels, whose copies "
            "side by side fill it"
        )
