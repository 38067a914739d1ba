"""What a network must at least compute and move, counted from its layer table.

A multiply-add is two FLOP. Only convolutions are counted; norms, activations and sums
are below 1 % of them. A training step counts three forwards: the output, the gradient
of the input, the gradient of the kernel. What is computed twice to save memory counts
once, so that a rate means useful work, and both sides are held against one count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: 5x5x5 convolutions a stage of the variant "monai": levels 0 to 4, levels 3 to 0.
ENCODER = (1, 1, 2, 3, 2)
DECODER = (2, 2, 1, 1)
CONV = 5**3  # taps
FORWARDS = {"forward": 1, "train_step": 3}
BYTES = {"float32": 4, "bfloat16": 2}


class Layer(NamedTuple):
    """One convolution.

    Attributes:
        voxels: of the output.
        taps: input voxels that an output voxel reads.
        inputs: channels.
        outputs: channels.
        read: voxels of the input.
    """

    voxels: int
    taps: int
    inputs: int
    outputs: int
    read: int

    @property
    def multiply_adds(self) -> int:
        """One for each output voxel, tap and pair of channels."""
        return self.voxels * self.taps * self.inputs * self.outputs

    @property
    def values(self) -> int:
        """Values read and written once."""
        return self.read * self.inputs + self.voxels * self.outputs


def layers(
    shape: Sequence[int], channels: int, width: int = 16, classes: int = 3
) -> Iterator[Layer]:
    """The convolutions of one V-Net, from the input to the logits.

    Args:
        shape: voxels (D, H, W), multiples of 16.
        channels: of the input.
        width: channels at full resolution.
        classes: of the logits.
    """
    full = math.prod(shape)
    yield Layer(full, CONV, channels, width, full)
    for level in range(1, 5):
        wide, voxels = width * 2**level, full // 8**level
        yield Layer(voxels, 8, wide // 2, wide, 8 * voxels)
        yield from [Layer(voxels, CONV, wide, wide, voxels)] * ENCODER[level]
    below = wide
    for level, convs in zip((3, 2, 1, 0), DECODER, strict=True):
        wide, voxels = 2 * width * 2**level, full // 8**level
        yield Layer(voxels, 1, below, wide // 2, voxels // 8)
        yield from [Layer(voxels, CONV, wide, wide, voxels)] * convs
        below = wide
    yield Layer(full, CONV, below, classes, full)
    yield Layer(full, 1, classes, classes, full)


def network(
    net: str, shape: Sequence[int], width: int = 16, classes: int = 3
) -> list[Layer]:
    """The convolutions of a "vnet" or a "cascade" on a CT of one channel."""
    first = list(layers(shape, 1, width, classes))
    if net == "vnet":
        return first
    return first + list(layers(shape, 1 + classes, width, classes))


def flop(
    work: str, net: str, shape: Sequence[int], batch: int = 1, width: int = 16
) -> int:
    """FLOP of one call: a "forward" or a "train_step"."""
    total = sum(layer.multiply_adds for layer in network(net, shape, width))
    return 2 * total * batch * FORWARDS[work]


def moved_bytes(
    work: str,
    net: str,
    shape: Sequence[int],
    dtype: str,
    batch: int = 1,
    width: int = 16,
) -> int:
    """Bytes if each convolution read its input and wrote its output once."""
    values = sum(layer.values for layer in network(net, shape, width))
    return values * batch * FORWARDS[work] * BYTES[dtype]
