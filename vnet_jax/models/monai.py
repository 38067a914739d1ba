"""The arrays of MONAI's V-Net: their names and shapes there, their places here.

    conv             (O, I, 5, 5, 5)  ->  kernel (5, 5, 5, I, O)
    down_conv        (O, I, 2, 2, 2)  ->  kernel (2, 2, 2, I, O)
    up_conv          (I, O, 2, 2, 2)  ->  kernel (2, 2, 2, I, O), not flipped
    batch norm       weight, bias, running_mean, running_var  ->  scale, bias, mean, var
    act_function     weight (C,)      ->  alpha (C,); an ELU has none

MONAI's names count the channels of width 16, whatever the width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from vnet_jax.models.vnet import VARIANTS

STAGES = ("stage1", "stage2")
ENCODER = {1: "down_tr32", 2: "down_tr64", 3: "down_tr128", 4: "down_tr256"}
DECODER = {3: "up_tr256", 2: "up_tr128", 1: "up_tr64", 0: "up_tr32"}
NORM = (
    ("weight", "params", "scale"),
    ("bias", "params", "bias"),
    ("running_mean", "batch_stats", "mean"),
    ("running_var", "batch_stats", "var"),
)
AS_IS = (0,)  # a value a channel
FORWARD = (2, 3, 4, 1, 0)  # (O, I, D, H, W) -> (D, H, W, I, O)
TRANSPOSED = (2, 3, 4, 0, 1)  # (I, O, D, H, W) -> (D, H, W, I, O)


@dataclass(frozen=True)
class Layout:
    """What network a state dict holds.

    Attributes:
        cascade: two V-Nets, the second of which reads softmax and input of the first.
        in_channels: of the (first) V-Net.
        width: channels at full resolution.
        classes: channels of the logits.
        activation: "prelu" where there are its parameters, else "elu".
    """

    cascade: bool
    in_channels: int
    width: int
    classes: int
    activation: str

    def __str__(self) -> str:
        """For an error message."""
        kind = "a cascade" if self.cascade else "a V-Net"
        return (
            f"{kind} of width {self.width} with {self.in_channels} input channels, "
            f"{self.classes} classes and {self.activation}"
        )

    def second(self) -> Layout:
        """The V-Net that makes a cascade after this one."""
        return replace(self, in_channels=self.in_channels + self.classes)


class Entry(NamedTuple):
    """One array.

    Attributes:
        name: in the state dict.
        shape: there.
        place: here: "params" or "batch_stats", modules, name.
        axes: its axes there in the order of those here.
    """

    name: str
    shape: tuple[int, ...]
    place: tuple[str, ...]
    axes: tuple[int, ...] = AS_IS

    @property
    def shape_here(self) -> tuple[int, ...]:
        """Its shape here."""
        return tuple(self.shape[axis] for axis in self.axes)


def entries(layout: Layout) -> Iterator[Entry]:
    """The arrays of a network in MONAI's order, without the counters of batch norm."""
    if not layout.cascade:
        yield from _vnet(layout)
        return
    alone = replace(layout, cascade=False)
    for stage, inside in zip(STAGES, (alone, alone.second()), strict=True):
        for e in _vnet(inside):
            place = (e.place[0], stage, *e.place[1:])
            yield e._replace(name=f"{stage}.{e.name}", place=place)


def _vnet(net: Layout) -> Iterator[Entry]:
    wide, kind = net.width, VARIANTS["monai"]
    yield from _act(net, "in_tr.act_function", ("encoder_0", "act_sum"), wide)
    yield from _conv("in_tr", "encoder_0", "0", (wide, net.in_channels, 5, 5, 5))
    for level, name in ENCODER.items():
        yield from _down(net, name, level)
        wide = 2**level * net.width
        yield from _convs(net, name, f"encoder_{level}", wide, kind.encoder[level])
    for level, name in DECODER.items():
        yield from _up(net, name, level, wide)
        wide = 2 * 2**level * net.width
        yield from _convs(net, name, f"decoder_{level}", wide, kind.decoder[3 - level])
    yield from _head(net)


def _down(net: Layout, name: str, level: int) -> Iterator[Entry]:
    """A stage's down convolution and the activation of its sum."""
    stage, wide = f"encoder_{level}", 2**level * net.width
    place = ("params", stage, "down", "kernel")
    shape = (wide, wide // 2, 2, 2, 2)
    yield Entry(f"{name}.down_conv.weight", shape, place, FORWARD)
    yield from _norm(f"{name}.bn1", (stage, "norm_down"), wide)
    yield from _act(net, f"{name}.act_function1", (stage, "act_down"), wide)
    yield from _act(net, f"{name}.act_function2", (stage, "act_sum"), wide)


def _up(net: Layout, name: str, level: int, below: int) -> Iterator[Entry]:
    """The same of an up stage; `below` channels come in, half of the stage's go out."""
    stage, half = f"decoder_{level}", 2**level * net.width
    place, shape = ("params", stage, "up"), (below, half, 2, 2, 2)
    yield Entry(f"{name}.up_conv.weight", shape, (*place, "kernel"), TRANSPOSED)
    yield Entry(f"{name}.up_conv.bias", (half,), (*place, "bias"))
    yield from _norm(f"{name}.bn1", (stage, "norm_up"), half)
    yield from _act(net, f"{name}.act_function1", (stage, "act_up"), half)
    yield from _act(net, f"{name}.act_function2", (stage, "act_sum"), 2 * half)


def _convs(net: Layout, name: str, stage: str, wide: int, count: int):
    """The 5x5x5 convolutions of a stage."""
    for i in range(count):
        inside = f"{name}.ops.{i}"
        yield from _act(net, f"{inside}.act_function", (stage, f"act_{i}"), wide)
        yield from _conv(inside, stage, str(i), (wide, wide, 5, 5, 5))


def _head(net: Layout) -> Iterator[Entry]:
    c, place = net.classes, ("params", "head", "logits")
    yield from _act(net, "out_tr.act_function1", ("head", "act_0"), c)
    yield from _conv("out_tr", "head", "0", (c, 2 * net.width, 5, 5, 5))
    yield Entry("out_tr.conv2.weight", (c, c, 1, 1, 1), (*place, "kernel"), FORWARD)
    yield Entry("out_tr.conv2.bias", (c,), (*place, "bias"))


def _conv(name: str, stage: str, number: str, shape) -> Iterator[Entry]:
    """A convolution and its batch norm."""
    inside, place = f"{name}.conv_block", ("params", stage, f"conv_{number}", "kernel")
    yield Entry(f"{inside}.conv.weight", shape, place, FORWARD)
    yield from _norm(f"{inside}.adn.N", (stage, f"norm_{number}"), shape[0])


def _norm(name: str, place: tuple[str, ...], channels: int) -> Iterator[Entry]:
    for there, kind, here in NORM:
        yield Entry(f"{name}.{there}", (channels,), (kind, *place, here))


def _act(net: Layout, name: str, place, channels: int) -> Iterator[Entry]:
    if net.activation == "prelu":
        yield Entry(f"{name}.weight", (channels,), ("params", *place, "alpha"))
