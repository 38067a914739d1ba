"""Two V-Nets, the second guided by the first (paper, section 3.3 and figure 4)."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from vnet_jax.models.stages import Summation
from vnet_jax.models.vnet import Activation, Norm, VNet


class Cascade(nn.Module):
    """Stage 2 reads [softmax of stage 1, CT] and sums its decoder with stage 1's.

    The summation, the green links of figure 4:

    - "per_stage": the output of each of the four up stages of V-Net 1 is added to the
      output of the same stage of V-Net 2, and the sum goes on.
    - "per_conv": the same with the output (after norm and activation) of each
      convolution of the up stages, the up convolutions too.
    - "none": the softmax is the only link.

    Gradients flow through softmax and links alike; `stop_gradient` cuts them at the
    softmax, not at the links. See `VNet` for the other attributes.
    """

    stages: ClassVar[int] = 2

    variant: str = "monai"
    width: int = 16
    classes: int = 3
    activation: Activation = "variant"
    norm: Norm = "variant"
    dropout: float = 0.5
    summation: Summation = "per_stage"
    stop_gradient: bool = False
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    norm_samples: int = 0
    spatially_sharded: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, index: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Logits of both stages.

        Args:
            x: (B, D, H, W, C) float32, HU / 250; D, H and W multiples of 16.
            train: as for `VNet`.
            index: as for `VNet`.

        Returns:
            Two arrays (B, D, H, W, classes) float32; the second is the result.

        Raises:
            ValueError: a size is no multiple of 16, or the width is below classes + C.
        """
        logits1, maps = self._vnet("stage1").features(x, train, index)
        softmax = nn.softmax(logits1)  # (B, D, H, W, classes) float32
        if self.stop_gradient:
            softmax = jax.lax.stop_gradient(softmax)
        both = jnp.concatenate([softmax, x.astype(softmax.dtype)], -1)
        logits2, _ = self._vnet("stage2").features(both, train, index, maps)
        return logits1, logits2

    def _vnet(self, name):
        return VNet(
            variant=self.variant,
            width=self.width,
            classes=self.classes,
            activation=self.activation,
            norm=self.norm,
            dropout=self.dropout,
            summation=self.summation,
            dtype=self.dtype,
            remat=self.remat,
            norm_samples=self.norm_samples,
            spatially_sharded=self.spatially_sharded,
            name=name,
        )
