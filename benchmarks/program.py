"""What is timed: one program of one side, and two of them against each other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

OURS = "vnet_jax"
EAGER = "torch-eager"
CHANNELS_LAST = "torch-channels-last-3d"
COMPILE = "torch-compile"
COMPILE_CHANNELS_LAST = "torch-compile-channels-last-3d"


@dataclass(frozen=True)
class Program:
    """One program of one side.

    Attributes:
        work: "forward" (in inference mode) or "train_step" (forward, backward, Adam).
        net: "vnet" or "cascade".
        shape: voxels (D, H, W).
        dtype: "float32", or "bfloat16": computation in it, parameters in float32.
        side: "vnet_jax", or how PyTorch runs its twin.
        batch: samples a call, over all devices.
        devices: over which the batch is cut.
        remat: of ours: activations are computed again in the backward pass.
        native: of ours: convolutions are XLA's own, in the layout that XLA chooses.
        width: channels at full resolution.
    """

    work: str
    net: str
    shape: tuple[int, int, int]
    dtype: str = "float32"
    side: str = OURS
    batch: int = 1
    devices: int = 1
    remat: bool = False
    native: bool = False
    width: int = 16

    @property
    def is_ours(self) -> bool:
        """Whether vnet_jax runs it."""
        return self.side == OURS

    def settings(self) -> dict:
        """Its attributes, for JSON; `Program.of` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, settings: dict) -> Program:
        """The program of what `settings` returned."""
        return cls(**{**settings, "shape": tuple(settings["shape"])})

    def against(self, side: str) -> Program:
        """The same work done by another side."""
        return dataclasses.replace(self, side=side, remat=False, native=False)

    def __str__(self) -> str:
        """Such as "cascade train_step 80x240x384 bfloat16 remat"."""
        size = "x".join(map(str, self.shape))
        words = [self.net, self.work, size, self.dtype]
        words += [f"width {self.width}"] * (self.width != 16)
        words += [f"{self.devices} devices"] * (self.devices > 1)
        words += ["remat"] * self.remat
        return " ".join(words + ["native convolutions"] * self.native)


@dataclass(frozen=True)
class Comparison:
    """Two programs that do the same work, timed in turn."""

    ours: Program
    rival: Program

    @property
    def rival_name(self) -> str:
        """The rival's side; of another program of ours, what tells it from this one."""
        if not self.rival.is_ours:
            return self.rival.side
        without = "-without-remat" * (self.ours.remat > self.rival.remat)
        return OURS + without + "-native" * self.rival.native

    def __str__(self) -> str:
        """Such as "vnet forward 32x64x96 float32 vs torch-eager"."""
        return f"{self.ours} vs {self.rival_name}"
