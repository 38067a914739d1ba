"""The PyTorch twin: the same networks, as a PyTorch user would write them.

`VNet` has the layers and the parameter names of MONAI's `VNet`, at any width, and
needs PyTorch alone; `tests/baseline` holds the two equal. `Cascade` has no counterpart
elsewhere: it is `vnet_jax.models.Cascade` in PyTorch's terms. Feature maps are
channels first, (N, C, D, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

#: MONAI's names for encoder levels 1 to 4, decoder levels 3 to 0, at any width.
ENCODER = ("down_tr32", "down_tr64", "down_tr128", "down_tr256")
DECODER = ("up_tr256", "up_tr128", "up_tr64", "up_tr32")
SUMMATIONS = ("per_stage", "per_conv", "none")

Maps = tuple[tuple[torch.Tensor, ...], ...]


def activation(kind: str, channels: int) -> nn.Module:
    """ELU, or PReLU with a parameter a channel."""
    return nn.PReLU(channels) if kind == "prelu" else nn.ELU(inplace=True)


class NormedConv(nn.Module):
    """5x5x5 convolution, then batch norm; nested as MONAI's names are."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 5, padding=2, bias=False)
        self.adn = nn.ModuleDict({"N": nn.BatchNorm3d(outputs)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, D, H, W) -> (N, outputs, D, H, W)."""
        return self.adn["N"](self.conv(x))


class Unit(nn.Module):
    """Convolution, batch norm, activation."""

    def __init__(self, channels: int, act: str):
        super().__init__()
        self.act_function = activation(act, channels)
        self.conv_block = NormedConv(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, D, H, W) -> the same."""
        return self.act_function(self.conv_block(x))


class Input(nn.Module):
    """act(norm(conv(x)) + x copied to the width)."""

    def __init__(self, inputs: int, width: int, act: str):
        super().__init__()
        self.copies = width // inputs
        self.act_function = activation(act, width)
        self.conv_block = NormedConv(inputs, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, D, H, W) -> (N, width, D, H, W)."""
        return self.act_function(self.conv_block(x) + x.repeat(1, self.copies, 1, 1, 1))


class Down(nn.Module):
    """d = act(norm(down(x))); act(units(dropout(d)) + d)."""

    def __init__(self, inputs: int, convs: int, act: str, rate: float):
        super().__init__()
        channels = 2 * inputs
        self.down_conv = nn.Conv3d(inputs, channels, 2, stride=2, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.act_function1 = activation(act, channels)
        self.act_function2 = activation(act, channels)
        self.ops = nn.Sequential(*(Unit(channels, act) for _ in range(convs)))
        self.dropout = nn.Dropout3d(rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, D, H, W) -> (N, 2 inputs, D/2, H/2, W/2)."""
        down = self.act_function1(self.bn1(self.down_conv(x)))
        # An inplace ELU may write on what it is given, so the sum is a new tensor.
        return self.act_function2(self.ops(self.dropout(down)) + down)


class Up(nn.Module):
    """c = [act(norm(up(dropout(x)))), dropout(skip)]; act(units(c) + c)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        convs: int,
        act: str,
        rate: float,
        skip_rate: float,
        summation: str = "none",
    ):
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(inputs, outputs // 2, 2, stride=2)
        self.bn1 = nn.BatchNorm3d(outputs // 2)
        self.act_function1 = activation(act, outputs // 2)
        self.act_function2 = activation(act, outputs)
        self.ops = nn.Sequential(*(Unit(outputs, act) for _ in range(convs)))
        self.dropout = nn.Dropout3d(rate)
        self.dropout2 = nn.Dropout3d(skip_rate)
        self.summation = summation

    def forward(
        self, x: torch.Tensor, skip: torch.Tensor, twins: Sequence[torch.Tensor] = ()
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(N, inputs, D, H, W), (N, outputs / 2, 2D, ..) -> (N, outputs, 2D, ..), maps.

        The maps are those that a following V-Net adds to its own.
        """
        given: list[torch.Tensor] = []

        def share(y, when="per_conv"):
            if self.summation != when:
                return y
            given.append(y)
            return y + twins[len(given) - 1] if twins else y

        up = share(self.act_function1(self.bn1(self.up_conv(self.dropout(x)))))
        joined = torch.cat((up, self.dropout2(skip)), 1)
        y = joined
        for unit in self.ops:
            y = share(unit(y))
        return share(self.act_function2(y + joined), "per_stage"), tuple(given)


class Output(nn.Module):
    """5x5x5 to the classes, norm, activation, 1x1x1."""

    def __init__(self, inputs: int, classes: int, act: str):
        super().__init__()
        self.act_function1 = activation(act, classes)
        self.conv_block = NormedConv(inputs, classes)
        self.conv2 = nn.Conv3d(classes, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, D, H, W) -> (N, classes, D, H, W)."""
        return self.conv2(self.act_function1(self.conv_block(x)))


class VNet(nn.Module):
    """MONAI's V-Net at any width; one `dropout` rate moves all places, 0 means none."""

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 3,
        width: int = 16,
        activation: str = "elu",
        dropout: float = 0.5,
        summation: str = "none",
    ):
        super().__init__()
        w, act, p = width, activation, dropout
        self.in_tr = Input(in_channels, w, act)
        self.down_tr32 = Down(w, 1, act, 0.0)
        self.down_tr64 = Down(2 * w, 2, act, 0.0)
        self.down_tr128 = Down(4 * w, 3, act, p)
        self.down_tr256 = Down(8 * w, 2, act, p)
        self.up_tr256 = Up(16 * w, 16 * w, 2, act, p, p, summation)
        self.up_tr128 = Up(16 * w, 8 * w, 2, act, p, p, summation)
        self.up_tr64 = Up(8 * w, 4 * w, 1, act, 0.0, p, summation)
        self.up_tr32 = Up(4 * w, 2 * w, 1, act, 0.0, p, summation)
        self.out_tr = Output(2 * w, classes, act)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        """(N, in_channels, D, H, W), multiples of 16 -> ((N, classes, D, H, W),)."""
        return (self.features(x)[0],)

    def features(self, x: torch.Tensor, twins: Maps = ((),) * 4):
        """Logits, and the decoder's maps for a following V-Net, level 3 to 0."""
        maps = [self.in_tr(x)]
        for name in ENCODER:
            maps.append(getattr(self, name)(maps[-1]))
        x, given = maps.pop(), []
        for name, twin in zip(DECODER, twins, strict=True):
            x, shared = getattr(self, name)(x, maps.pop(), twin)
            given.append(shared)
        return self.out_tr(x), tuple(given)


class Cascade(nn.Module):
    """Stage 2 reads [softmax of stage 1, CT] and sums its decoder with stage 1's."""

    def __init__(
        self,
        width: int = 16,
        classes: int = 3,
        activation: str = "elu",
        dropout: float = 0.5,
        summation: str = "per_stage",
    ):
        super().__init__()
        if summation not in SUMMATIONS:
            raise ValueError(f"summation is {summation!r}, not one of {SUMMATIONS}")
        more = (classes, width, activation, dropout, summation)
        self.stage1 = VNet(1, *more)
        self.stage2 = VNet(classes + 1, *more)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 1, D, H, W) -> logits of both stages, (N, classes, D, H, W) each."""
        logits1, maps = self.stage1.features(x)
        softmax = functional.softmax(at_least_float32(logits1), 1)
        logits2, _ = self.stage2.features(torch.cat((softmax, x), 1), maps)
        return logits1, logits2


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Logits under autocast are bfloat16: too coarse for a softmax or a loss."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def loss_of(logits: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """The sum of the stages' mean cross entropies.

    Args:
        logits: (N, classes, D, H, W) a stage, float32 or bfloat16.
        labels: (N, D, H, W) int64.

    Returns:
        A scalar, at least float32.
    """
    return sum(functional.cross_entropy(at_least_float32(x), labels) for x in logits)
