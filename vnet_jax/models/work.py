"""How much a network computes, counted by running it on shapes alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn


@functools.cache
def forward_flop(module: nn.Module, shape: Sequence[int], channels: int = 1) -> int:
    """FLOP of one forward pass of a sample; a multiply-add is two.

    Every layer with a kernel counts: its kernel once for each voxel of its input or
    output, whichever has fewer. Norms, activations and sums, below 1 % of it, do not.

    Args:
        module: any network that takes (1, D, H, W, channels); also one's own.
        shape: (D, H, W) voxels, a tuple.
        channels: of the input.
    """
    total = 0

    def count(call, args, kwargs, context):
        nonlocal total
        out = call(*args, **kwargs)
        layer = context.module
        if context.method_name == "__call__" and layer.has_variable("params", "kernel"):
            kernel = layer.get_variable("params", "kernel")
            voxels = min(math.prod(x.shape[:-1]) for x in (args[0], out))
            total += 2 * voxels * kernel.size
        return out

    x = jax.ShapeDtypeStruct((1, *shape, channels), jnp.float32)
    run = functools.partial(module.init, train=False)
    with nn.intercept_methods(count):
        jax.eval_shape(run, jax.random.key(0), x)
    return total
