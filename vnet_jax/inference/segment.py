"""The story of one case: a CT in, a mask and its summary out (paper, figure 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, crop_padded
from vnet_jax.ct.nifti import Scan
from vnet_jax.ct.resample import argmax_on_grid, block_mean, to_spacing
from vnet_jax.errors import InputError
from vnet_jax.inference import summary
from vnet_jax.inference.ensemble import Ensemble
from vnet_jax.inference.kidneys import foreground, given_region
from vnet_jax.inference.measure import measure
from vnet_jax.inference.postprocess import clean
from vnet_jax.models.conv import quick_dtype

#: step, windows done, windows in all
Tell = Callable[[str, int, int], None]

#: What the networks may be asked to compute in; "trained" is each run's own.
DTYPES = ("trained", "auto", "float32", "bfloat16")


@dataclass(frozen=True, eq=False)
class Result:
    """What segmenting one CT gave.

    Attributes:
        mask: uint8 on the CT's own grid and axes; 0 background, 1 kidney, 2 tumour.
        stages: the same for "phase1" (its own argmax, without the components that did
            not count for the box) and "stage1" (the cascade's first network, as it is);
            only what was asked for and exists.
        summary: what goes into the JSON file; `docs/summary.md` states its fields.
    """

    mask: np.ndarray
    stages: dict[str, np.ndarray]
    summary: dict


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


class Segmenter:
    """Both phases, ready for one CT after the other.

    Attributes:
        phase1: the networks that place the box, or None where masks will be given.
        phase2: the networks that segment.
        synthetic: True where one of them has never seen a real CT.
        fast: the best checkpoint of each run only.
        dtype: of the computation, "float32" or "bfloat16"; None for each run's own.
    """

    def __init__(
        self,
        phase1,
        phase2: Sequence,
        fast: bool = False,
        dtype: str = "trained",
    ):
        """Reads all settings from the run folders.

        Phase 1 predicts with its best checkpoint alone: it only places the box.

        Args:
            phase1: run folder or run of an opened bundle, or a list of one, or None.
            phase2: such runs; all their best checkpoints are averaged.
            fast: the best checkpoint of each run only.
            dtype: of `DTYPES`; "auto" takes bfloat16 where the device is faster in it.

        Raises:
            InputError: a folder that is no run of its phase, or runs that do not match.
            ValueError: another dtype.
        """
        self.fast, self.dtype = fast, _computed_in(dtype)
        self.phase1 = None
        if phase1 is not None:
            several = isinstance(phase1, list | tuple)
            phase1 = phase1 if several else [phase1]
            self.phase1 = Ensemble(phase1, 1, 1, self.dtype)
        self.phase2 = Ensemble(phase2, 2, 1 if fast else None, self.dtype)
        ensembles = [e for e in (self.phase1, self.phase2) if e is not None]
        self.synthetic = any(e.synthetic for e in ensembles)
        self.models = {
            "phase1": self.phase1.identity()[0] if self.phase1 else None,
            "phase2": self.phase2.identity(),
        }

    def segment(
        self,
        scan: Scan,
        kidneys: Scan | None = None,
        stages: bool = False,
        tell: Tell = lambda step, done, total: None,
    ) -> Result:
        """Segments one CT.

        Args:
            scan: the CT, unclipped; not modified.
            kidneys: another program's mask of the kidneys (anything > 0), on any grid
                of the same patient, in place of phase 1.
            stages: also keep the masks of the stages.
            tell: is told the step under way, and how many windows of how many are done.

        Returns:
            Mask, stages and summary.

        Raises:
            InputError: kidneys outside the CT, or none given without a phase 1.
        """
        case = _Case(scan, tell)
        region = self._region(case, kidneys, stages)
        raw, box = self._refine(case, region, stages)
        ct = scan.volume
        with case.clock("postprocess"):
            mask, ledger = clean(raw, ct.array, ct.grid)
        with case.clock("measure"):
            measured = measure(mask, ct)
        facts = summary.summarise(scan, mask, measured, box, ledger, case.warnings)
        facts |= {
            "models": self.models,
            **summary.synthetic_mark(self.synthetic),
            "timings_s": case.clock.seconds,
        }
        return Result(mask, case.stages, facts)

    def _region(self, case: _Case, kidneys: Scan | None, stages: bool) -> Grid | None:
        """Where the kidneys are, or None."""
        if kidneys is not None:
            return given_region(kidneys, case.scan)
        if self.phase1 is None:
            raise InputError(None, "no phase 1 and no kidney mask", "give one of them")
        image = case.image(*self.phase1.grid_settings)
        with case.clock("phase1"):
            ((probabilities, grid),) = self.phase1.softmax(
                image, tell=partial(case.tell, "phase 1")
            )[-1:]
            region, removed = foreground(probabilities, grid)
        if stages:
            with case.clock("mask"):
                probabilities[removed] = np.eye(1, probabilities.shape[-1])
                source = case.scan.volume.grid
                case.stages["phase1"] = argmax_on_grid(probabilities, grid, source)
        return region

    def _refine(
        self, case: _Case, region: Grid | None, stages: bool
    ) -> tuple[np.ndarray, Grid | None]:
        """Phase 2: the raw mask on the CT's grid, and the box that it saw."""
        source = case.scan.volume.grid
        if region is None:
            empty = np.zeros(source.shape, np.uint8)
            if stages and self.phase2.stages > 1:
                case.stages["stage1"] = empty  # missed here is missed there
            return empty, None
        image, tiles = self._region_image(case, region)
        if tiles > 1:
            case.warn(
                "roi_tiled",
                f"the foreground is larger than the window of phase 2: {tiles} windows",
            )
        with case.clock("phase2"):
            predicted = self.phase2.softmax(image, tell=partial(case.tell, "phase 2"))
        with case.clock("mask"):
            if stages and len(predicted) > 1:
                case.stages["stage1"] = argmax_on_grid(*predicted[0], source)
            return argmax_on_grid(*predicted[-1], source), image.grid

    def _region_image(self, case: _Case, region: Grid) -> tuple[Volume, int]:
        """The CT in phase 2's box, and how many windows it takes.

        A copy, so that the rest of the CT need not stay in memory.
        """
        image = case.image(*self.phase2.grid_settings)
        case.resampled.clear()
        predictor = self.phase2.predictors[0]
        start, shape = predictor.box(image.grid, region)
        windows = predictor.windows(image.grid, region)
        inside = crop_padded(image.array, start, shape, 0)  # a copy, without padding
        return Volume(inside, image.grid.crop(start, shape)), len(windows)


def _computed_in(dtype: str) -> str | None:
    """The dtype that is meant; None for each run's own."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, not one of {DTYPES}")
    if dtype == "auto":
        return quick_dtype()
    return None if dtype == "trained" else dtype


@dataclass(frozen=True, eq=False)
class _Case:
    """One CT on its way: its resampled forms, times, warnings and stages."""

    scan: Scan
    tell: Tell
    clock: Clock = field(default_factory=Clock)
    stages: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: list[dict] = field(default_factory=list)
    resampled: dict[tuple[float, ...], Volume] = field(default_factory=dict)

    def image(self, spacing_mm, downsample) -> Volume:
        """The CT on a phase's grid; phases of one spacing share the resampling."""
        with self.clock("resample"):
            if spacing_mm not in self.resampled:
                self.resampled.clear()
                volume = to_spacing(self.scan.volume, spacing_mm, "linear")
                self.resampled[spacing_mm] = volume
            return block_mean(self.resampled[spacing_mm], downsample)

    def warn(self, code: str, text: str) -> None:
        self.warnings.append({"code": code, "text": text})
