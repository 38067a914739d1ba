"""The stages of a V-Net: input, down, up, head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from vnet_jax.models.layers import (
    ChannelDropout,
    Conv,
    DownConv,
    UpConv,
    activate,
    normalise,
)

Summation = Literal["per_stage", "per_conv", "none"]


class _Stage(nn.Module):
    """What the stages share: convolutions in a row, then the residual sum."""

    features: int
    convs: int
    activation: str
    norm: str
    active_before_sum: bool
    rate: float  # dropout of the stage's input
    skip_rate: float = 0.0
    summation: Summation = "none"
    dtype: jnp.dtype = jnp.float32
    norm_samples: int = 0
    spatially_sharded: bool = False

    def unit(self, module, x, train, name, active=True):
        """`module`, norm, activation: one row of the networks' tables."""
        y = normalise(self.norm, module(x), train, f"norm_{name}", self.norm_samples)
        return activate(self.activation, y, f"act_{name}") if active else y

    def conv(self, x, train, name, active=True):
        """One 5x5x5 convolution with what follows it."""
        module = Conv(
            self.features,
            use_bias=self.norm == "none",
            dtype=self.dtype,
            spatially_sharded=self.spatially_sharded,
            name=f"conv_{name}",
        )
        return self.unit(module, x, train, name, active)

    def convolve(self, x, residual, train, share=lambda y: y):
        """`convs` convolutions of `x`, plus `residual`, activated."""
        for i in range(self.convs):
            active = self.active_before_sum or i + 1 < self.convs
            x = share(self.conv(x, train, str(i), active))
        return activate(self.activation, x + residual, "act_sum")


class InputStage(_Stage):
    """Level 0: act(norm(conv(x)) + x copied to the width), in every variant."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, D, H, W, C) -> (B, D, H, W, features)."""
        # tile: channels a b c d a b c d ..., as MONAI; repeat would be a a ... b b ...
        # Where the width is no multiple, the last copy is cut: a b c a b c ... a.
        copies = jnp.tile(x, -(-self.features // x.shape[-1]))[..., : self.features]
        y = self.conv(x, train, "0", active=False)
        return activate(self.activation, y + copies, "act_sum")


class DownStage(_Stage):
    """Levels 1 to 4: d = act(norm(down(x))); act(convs(dropout(d)) + d)."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, index: jax.Array) -> jax.Array:
        """(B, D, H, W, C) -> (B, D/2, H/2, W/2, features)."""
        down = DownConv(self.features, self.norm == "none", self.dtype, name="down")
        x = self.unit(down, x, train, "down")
        dropped = ChannelDropout(self.rate, name="dropout")(x, train, index)
        return self.convolve(dropped, x, train)


class UpStage(_Stage):
    """Levels 3 to 0: c = [act(norm(up(dropout(x)))), dropout(skip)]; act(convs(c) + c).

    The residual is the concatenation itself. `twins` are this stage's maps in the V-Net
    before, to be added to the maps of the same place in this one.
    """

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        skip: jax.Array,
        train: bool,
        index: jax.Array,
        twins: Sequence[jax.Array] = (),
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """(B, D, H, W, C), (B, 2D, 2H, 2W, features / 2) -> (B, 2D, 2H, 2W, features).

        Returns:
            The output, and the maps that a following V-Net adds to its own: the output
            for "per_stage"; for "per_conv" those of the up convolution and of each
            convolution, after norm and activation.
        """
        given = []

        def share(y, when="per_conv"):
            if self.summation != when:
                return y
            given.append(y)
            return y + twins[len(given) - 1] if twins else y

        x = ChannelDropout(self.rate, name="dropout")(x, train, index)
        skip = ChannelDropout(self.skip_rate, name="dropout_skip")(skip, train, index)
        up = UpConv(self.features // 2, dtype=self.dtype, name="up")
        joined = jnp.concatenate([share(self.unit(up, x, train, "up")), skip], -1)
        y = share(self.convolve(joined, joined, train, share), "per_stage")
        return y, tuple(given)


class Head(_Stage):
    """A convolution to the classes if the variant has one, then 1x1x1, not bfloat16."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, D, H, W, C) -> (B, D, H, W, features) float32."""
        for i in range(self.convs):
            x = self.conv(x, train, str(i))
        wide = jnp.promote_types(self.dtype, jnp.float32)
        return Conv(self.features, 1, use_bias=True, dtype=wide, name="logits")(x)
