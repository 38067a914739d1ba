"""One CT on its way through both phases, and what may be kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import Scan
from vnet_jax.ct.resample import block_mean, scaled_on_grid, to_spacing
from vnet_jax.inference.ensemble import Prediction
from vnet_jax.inference.rules import KIDNEY, TUMOUR

#: step, windows done, windows in all
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Keep:
    """What is wanted beside the mask.

    Attributes:
        stages: the masks of phase 1 and of the cascade's first network.
        raw: the mask before post-processing.
        probability: the mean probabilities of kidney and tumour.
        disagreement: where the ensemble's members differ.
    """

    stages: bool = False
    raw: bool = False
    probability: bool = False
    disagreement: bool = False


#: The mask alone.
NOTHING = Keep()


@dataclass(frozen=True, eq=False)
class Map:
    """Numbers on the CT's grid: value = slope * stored; 0 where nothing was predicted.

    Attributes:
        volumes: (D, H, W) uint16 each.
        slope: what a step of the stored numbers stands for.
    """

    volumes: list[np.ndarray]
    slope: float


@dataclass(frozen=True, eq=False)
class Result:
    """What segmenting one CT gave.

    Attributes:
        mask: uint8 on the CT's own grid and axes; 0 background, 1 kidney, 2 tumour.
        stages: the same for "phase1" (its own argmax, without the components that did
            not count for the box), "stage1" (the cascade's first network, as it is) and
            "raw" (the last one's before post-processing); only what was asked for and
            exists.
        maps: "probability" and "disagreement", where they were asked for.
        summary: what goes into the JSON file; `docs/summary.md` states its fields.
        raw: the mask before post-processing.
    """

    mask: np.ndarray
    stages: dict[str, np.ndarray]
    maps: dict[str, Map]
    summary: dict
    raw: np.ndarray


@dataclass(frozen=True)
class Clock:
    """Seconds of each step, in the order of the steps."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Times a block; a step timed twice adds up."""
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        self.seconds[step] = self.seconds.get(step, 0.0) + took


@dataclass(eq=False)
class Case:
    """One CT on its way: its resampled forms, times, warnings and what is kept."""

    scan: Scan
    tell: Tell
    keep: Keep = NOTHING
    clock: Clock = field(default_factory=Clock)
    stages: dict[str, np.ndarray] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    score: dict[str, float] | None = None
    warnings: list[dict] = field(default_factory=list)
    resampled: dict[tuple[float, ...], Volume] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)

    def image(self, spacing_mm, downsample) -> Volume:
        """The CT on a phase's grid; phases of one spacing share the resampling."""
        with self.clock("resample"):
            if spacing_mm not in self.resampled:
                self.resampled.clear()
                volume = to_spacing(self.scan.volume, spacing_mm, "linear")
                self.resampled[spacing_mm] = volume
            return block_mean(self.resampled[spacing_mm], downsample)

    def told(self, phase: str, done: int, total: int) -> None:
        """Hands on how far a phase is, and notes how often its networks run."""
        self.passes[phase] = total
        self.tell(phase.replace("phase", "phase "), done, total)

    def warn(self, code: str, text: str) -> None:
        """Puts a warning in the summary."""
        self.warnings.append({"code": code, "text": text})

    def keep_maps(self, predicted: Prediction) -> None:
        """The maps asked for, on the CT's grid."""
        probabilities, grid = predicted.stages[-1]
        source = self.scan.volume.grid
        if self.keep.probability:
            shares = [probabilities[..., c] for c in (KIDNEY, TUMOUR)]
            self.maps["probability"] = Map(
                [scaled_on_grid(share, grid, source, 1.0) for share in shares],
                1 / 65535,
            )
        if self.keep.disagreement:
            top = float(np.log(probabilities.shape[-1]))
            spread = scaled_on_grid(predicted.disagreement, grid, source, top)
            self.maps["disagreement"] = Map([spread], top / 65535)

    def keep_nothing(self) -> None:
        """The maps asked for where phase 1 found nothing: 0 everywhere."""
        empty = np.zeros(self.scan.volume.grid.shape, np.uint16)
        if self.keep.probability:
            self.maps["probability"] = Map([empty, empty], 1 / 65535)
        if self.keep.disagreement:
            self.maps["disagreement"] = Map([empty], 1 / 65535)
