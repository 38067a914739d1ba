"""The one convolution of the networks."""

from __future__ import annotations

import jax
from jax import lax


def conv(x: jax.Array, w: jax.Array, *, spatially_sharded: bool = False) -> jax.Array:
    """Convolution of stride 1, zero-padded to the size of its input.

    Args:
        x: (N, *spatial, C).
        w: (*k, C, O), each k odd.
        spatially_sharded: a spatial axis of `x` is cut over devices.

    Returns:
        (N, *spatial, O).
    """
    letters = "DHW"[-(x.ndim - 2) :]
    layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, w, (1,) * (x.ndim - 2), "SAME", dimension_numbers=layout
    )
