"""The parts of a V-Net: convolutions, normalisation, activation, channel dropout.

Feature maps are channels last, (B, D, H, W, C). Parameters are float32 whatever the
dtype of the computation.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from vnet_jax.models.conv import conv

#: The name under which the output of every convolution is known to rematerialisation.
CONVOLVED = "convolved"


def uniform(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for convolutions, from which the paper's networks started.

    U(-a, a) with a = 1 / sqrt(fan_in). 16 channels through 5x5x5: fan_in 2000, a =
    0.022, standard deviation 0.013.
    """

    def draw(key, shape, dtype=jnp.float32):
        # In one row, then shaped: XLA takes 10 times longer to compile a 5-D draw.
        row = jax.random.uniform(key, (math.prod(shape),), dtype, -1, 1)
        return row.reshape(shape) / math.sqrt(fan_in)

    return draw


class Conv(nn.Module):
    """A convolution of stride 1, zero-padded to the size of its input.

    Attributes:
        features: output channels.
        size: voxels of the kernel along each axis, odd.
        use_bias: adds a value a channel, 0 at the start.
        dtype: of the computation.
        spatially_sharded: see `vnet_jax.models.conv.conv`.
    """

    features: int
    size: int = 5
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32
    spatially_sharded: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, D, H, W, C) -> (B, D, H, W, features)."""
        shape = (self.size,) * 3 + (x.shape[-1], self.features)
        start = uniform(self.size**3 * x.shape[-1])
        kernel = self.param("kernel", start, shape).astype(self.dtype)
        y = conv(x.astype(self.dtype), kernel, spatially_sharded=self.spatially_sharded)
        y = checkpoint_name(y, CONVOLVED)
        return _add_bias(self, y) if self.use_bias else y


class DownConv(nn.Module):
    """A 2x2x2 convolution of stride 2: space to depth, then one matrix product."""

    features: int
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, D, H, W, C) -> (B, D/2, H/2, W/2, features)."""
        batch, depth, height, width, channels = x.shape
        shape = (2, 2, 2, channels, self.features)
        kernel = self.param("kernel", uniform(8 * channels), shape).astype(self.dtype)
        blocks = x.astype(self.dtype).reshape(
            batch, depth // 2, 2, height // 2, 2, width // 2, 2, channels
        )
        y = jnp.einsum("ndxhywzc,xyzco->ndhwo", blocks, kernel)
        y = checkpoint_name(y, CONVOLVED)
        return _add_bias(self, y) if self.use_bias else y


class UpConv(nn.Module):
    """A transposed 2x2x2 convolution of stride 2: a product, then depth to space.

    Windows of stride 2 do not overlap, so each voxel becomes its own 2x2x2 block. The
    kernel is (2, 2, 2, C, features), not flipped: block offset, inputs, outputs.
    """

    features: int
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, D, H, W, C) -> (B, 2D, 2H, 2W, features)."""
        batch, depth, height, width, channels = x.shape
        shape = (2, 2, 2, channels, self.features)
        # Each output voxel reads one input voxel: the fan in is C, not 8 C.
        kernel = self.param("kernel", uniform(channels), shape).astype(self.dtype)
        blocks = jnp.einsum("ndhwc,xyzco->ndxhywzo", x.astype(self.dtype), kernel)
        y = blocks.reshape(batch, 2 * depth, 2 * height, 2 * width, self.features)
        y = checkpoint_name(y, CONVOLVED)
        return _add_bias(self, y) if self.use_bias else y


def _add_bias(module: nn.Module, y: jax.Array) -> jax.Array:
    bias = module.param("bias", nn.initializers.zeros, (module.features,))
    return y + bias.astype(y.dtype)


class BatchNorm(nn.Module):
    """PyTorch's batch norm: epsilon 1e-5, running averages keep 0.9 of the old value.

    (PyTorch calls that momentum 0.1.) Statistics are float32, from two passes, so that
    a mean far from 0 costs no digits. Under jit a sharded batch gives the statistics of
    the GLOBAL batch. With `samples` every so many samples are normalised by their own
    ones, as by devices that do not talk to each other; the running averages follow the
    mean of the groups', as they would if each device kept its own and they were
    averaged before saving.

    Attributes:
        samples: normalised together in training; 0 for the whole batch.
        dtype: of the output.
    """

    samples: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, D, H, W, C) -> the same shape."""
        wide = jnp.promote_types(x.dtype, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:])
        var = self.variable("batch_stats", "var", jnp.ones, x.shape[-1:])
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        centre, spread, shape = mean.value, var.value, x.shape
        if train:
            groups = max(1, len(x) // self.samples) if self.samples else 1
            if groups > 1:
                x = x.reshape(groups, -1, *shape[1:])
            axes = tuple(range(x.ndim - 5, x.ndim - 1))  # samples and voxels
            centre = jnp.mean(x, axes, wide, keepdims=True)
            spread = jnp.mean(jnp.square(x - centre), axes, keepdims=True)
            if not self.is_initializing():
                for average, now in ((mean, centre), (var, spread)):
                    now = now.reshape(-1, shape[-1]).mean(0)
                    average.value = 0.9 * average.value + 0.1 * now
        y = (x - centre) * (jax.lax.rsqrt(spread + 1e-5) * scale) + bias
        return y.reshape(shape).astype(self.dtype)


def normalise(
    kind: str, x: jax.Array, train: bool, name: str, samples: int = 0
) -> jax.Array:
    """Normalise the channels of `x` inside the calling module.

    "batch" is `BatchNorm`. "group" has 8 groups, or the largest divisor that 8 and the
    channels share: 1 for the 3 channels of the head. "none" returns `x`.

    Args:
        kind: "batch", "group" or "none".
        x: (B, D, H, W, C) float32 or bfloat16.
        train: statistics of this batch instead of the running averages.
        name: of the submodule.
        samples: that "batch" normalises together in training; 0 for all.

    Returns:
        The same shape and dtype.
    """
    if kind == "none":
        return x
    if kind == "batch":
        return BatchNorm(samples, x.dtype, name=name)(x, train)
    common = dict(epsilon=1e-5, use_fast_variance=False, dtype=x.dtype, name=name)
    return nn.GroupNorm(num_groups=math.gcd(x.shape[-1], 8), **common)(x)


class PReLU(nn.Module):
    """max(x, 0) + alpha min(x, 0), an alpha a channel, 0.25 at the start (PyTorch's).

    Flax's own PReLU is one scalar that starts at 0.01.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., C) -> (..., C)."""
        alpha = self.param("alpha", nn.initializers.constant(0.25), x.shape[-1:])
        return jnp.where(x >= 0, x, alpha.astype(x.dtype) * x)


def activate(kind: str, x: jax.Array, name: str) -> jax.Array:
    """Apply "elu" (alpha 1) or "prelu" inside the calling module."""
    return PReLU(name=name)(x) if kind == "prelu" else nn.elu(x)


class ChannelDropout(nn.Module):
    """Drops whole channels of a sample; what stays is scaled by 1 / (1 - rate).

    The mask of a sample is a function of the key and of its `index` alone. So it is the
    same on 1 device and on 4, and the same when 4 samples come as one batch of 4 or as
    4 batches of 1 with index 0, 1, 2 and 3.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, index: jax.Array) -> jax.Array:
        """(B, D, H, W, C), index (B,) int32 -> (B, D, H, W, C)."""
        if not train or self.rate == 0:
            return x
        key, keep = self.make_rng("dropout"), 1 - self.rate

        def draw(i):
            return jax.random.bernoulli(jax.random.fold_in(key, i), keep, x.shape[-1:])

        mask = jax.vmap(draw)(index)[:, None, None, None, :]  # (B, 1, 1, 1, C)
        return jnp.where(mask, x / keep, jnp.zeros_like(x))
