"""The story of one case: a CT in, a mask and its summary out (paper, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, crop_padded
from vnet_jax.ct.nifti import Scan
from vnet_jax.ct.resample import (
    argmax_on_grid,
)
from vnet_jax.errors import InputError
from vnet_jax.inference import summary
from vnet_jax.inference.anatomy import not_an_abdomen
from vnet_jax.inference.averaging import Passes
from vnet_jax.inference.case import NOTHING, Case, Keep, Result, Tell
from vnet_jax.inference.confidence import assess, confidence
from vnet_jax.inference.decision import weigh_tumour
from vnet_jax.inference.ensemble import Ensemble
from vnet_jax.inference.kidneys import foreground, given_region
from vnet_jax.inference.measure import measure
from vnet_jax.inference.postprocess import clean
from vnet_jax.inference.roi import faces_reached
from vnet_jax.inference.rules import CYST, KIDNEY
from vnet_jax.inference.thresholds import UNTUNED, Trust
from vnet_jax.models.conv import quick_dtype

#: What the networks may be asked to compute in; "trained" is each run's own.
DTYPES = ("trained", "auto", "float32", "bfloat16")
#: Names of the array's axes in canonical order: head to feet, front to back, across.
AXES = "zyx"
#: What phase 1 is asked for.
LAST_STAGE = Passes(stages=1)


class Segmenter:
    """Both phases, ready for one CT after the other.

    Attributes:
        phase1: the networks that place the box, or None where masks will be given.
        phase2: the networks that segment.
        synthetic: True where one of them has never seen a real CT.
        fast: the best checkpoint of each run only.
        newest: the newest instead.
        whole: phase 2 looks at the whole CT, tile by tile.
        dtype: of the computation, "float32" or "bfloat16"; None for each run's own.
        flips: axes along which phase 2 also predicts mirrored.
        rules: the post-processing.
        calibration: of the confidence, or None.
    """

    def __init__(
        self,
        phase1,
        phase2: Sequence,
        fast: bool = False,
        dtype: str = "trained",
        flips: str = "",
        trust: Trust = UNTUNED,
        newest: bool = False,
        whole: bool = False,
    ):
        """Reads all settings from the run folders.

        Phase 1 predicts with its best checkpoint alone: it only places the box.

        Args:
            phase1: run folder or run of an opened bundle, or several that are averaged,
                or None.
            phase2: such runs; all their best checkpoints are averaged.
            fast: the best checkpoint of each run only.
            dtype: of `DTYPES`; "auto" takes bfloat16 where the device is faster in it.
            flips: of "x", "y" and "z", those along which phase 2 predicts mirrored too.
            trust: post-processing and calibration, as `bin/tune.py` finds them.
            newest: the newest checkpoint of each run alone, which no validation chose.
            whole: phase 2 looks at the whole CT, tile by tile; there is no phase 1.

        Raises:
            InputError: a folder that is no run of its phase, or runs that do not match.
            ValueError: another dtype or axis.
        """
        self.fast, self.dtype, self.newest = fast, _computed_in(dtype), newest
        self.whole = whole
        self.flips = tuple(sorted({AXES.index(axis) for axis in flips}))
        self.rules, self.calibration = trust.rules, trust.calibration
        self.phase1 = None
        if phase1 is not None:
            several = isinstance(phase1, list | tuple)
            phase1 = phase1 if several else [phase1]
            self.phase1 = Ensemble(phase1, 1, 1, self.dtype, newest)
        self.phase2 = Ensemble(phase2, 2, 1 if fast else None, self.dtype, newest)
        ensembles = [e for e in (self.phase1, self.phase2) if e is not None]
        self.synthetic = any(e.synthetic for e in ensembles)
        self.models = {
            "phase1": self.phase1.identity() if self.phase1 else [],
            "phase2": self.phase2.identity(),
        }
        self._trust = trust
        self._cyst = CYST if self.phase2.classes > CYST else KIDNEY

    @property
    def options(self) -> dict:
        """What a mask depends on beside CT and models, ready for JSON."""
        return {
            "fast": self.fast,
            "newest": self.newest,
            "whole_ct": self.whole,
            "dtype": self.dtype,
            "flips": "".join(AXES[axis] for axis in self.flips),
            "postprocess": self.rules.as_dict(),
            "thresholds_sha256": self._trust.sha256,
        }

    def segment(
        self,
        scan: Scan,
        kidneys: Scan | None = None,
        keep: Keep = NOTHING,
        tell: Tell = lambda step, done, total: None,
    ) -> Result:
        """Segments one CT.

        Args:
            scan: the CT, unclipped; not modified.
            kidneys: another program's mask of the kidneys (anything > 0), on any grid
                of the same patient, in place of phase 1.
            keep: what is wanted beside the mask.
            tell: is told the step under way, and how many windows of how many are done.

        Returns:
            Mask, stages, maps and summary.

        Raises:
            InputError: kidneys outside the CT, or none given without a phase 1.
        """
        case = Case(scan, tell, keep)
        region = self._region(case, kidneys)
        raw, box = self._refine(case, region)
        if keep.raw:
            case.stages["raw"] = raw
        if self.calibration and not self._calibrated_models():
            case.warn("other_models", "calibrated on predictions of other models")
        ct = scan.volume
        with case.clock("postprocess"):
            mask, ledger = clean(raw, ct.array, ct.grid, self.rules, self._cyst)
        with case.clock("measure"):
            measured = measure(mask, ct)
            self._doubt(case, mask, box, region)
        facts = summary.summarise(scan, mask, measured, box, ledger, case.warnings)
        facts |= assess(facts, case.score, self.calibration, self._trust.why_not)
        facts |= {
            "models": self.models,
            **summary.synthetic_mark(self.synthetic),
            "forward_passes": case.passes,
            "timings_s": case.clock.seconds,
        }
        return Result(mask, case.stages, case.maps, facts, raw)

    def _doubt(self, case: Case, mask: np.ndarray, box, region) -> None:
        """Warns of a kidney that phase 2's box cuts, and of what is no abdomen."""
        ct = case.scan.volume
        if box is not None and not self.whole:
            if faces := faces_reached(mask, ct.grid, box, region):
                case.warn(
                    "box_cut",
                    f"the box of phase 2 cuts the kidney ({', '.join(faces)} face): "
                    "volumes and diameters are too small",
                )
        if why := not_an_abdomen(ct):
            case.warn("not_abdomen", f"no CT of an abdomen: {why}")

    def _calibrated_models(self) -> bool:
        """Whether all models of phase 2 were among those of the calibration."""
        return all(m["sha256"] in self._trust.models for m in self.models["phase2"])

    def _region(self, case: Case, kidneys: Scan | None) -> Grid | None:
        """Where the kidneys are, or None."""
        if self.whole:
            return case.image(*self.phase2.grid_settings).grid
        if kidneys is not None:
            return given_region(kidneys, case.scan)
        if self.phase1 is None:
            raise InputError(None, "no phase 1 and no kidney mask", "give one of them")
        image = case.image(*self.phase1.grid_settings)
        with case.clock("phase1"):
            predicted = self.phase1.predict(
                image, passes=LAST_STAGE, tell=partial(case.told, "phase1")
            )
            ((probabilities, grid),) = predicted.stages
            region, removed = foreground(probabilities, grid)
        if case.keep.stages:
            with case.clock("mask"):
                probabilities[removed] = np.eye(1, probabilities.shape[-1])
                source = case.scan.volume.grid
                case.stages["phase1"] = argmax_on_grid(probabilities, grid, source)
        return region

    def _refine(
        self, case: Case, region: Grid | None
    ) -> tuple[np.ndarray, Grid | None]:
        """Phase 2: the raw mask on the CT's grid, and the box that it saw."""
        source, keep = case.scan.volume.grid, case.keep
        if region is None:
            empty = np.zeros(source.shape, np.uint8)
            if keep.stages and self.phase2.stages > 1:
                case.stages["stage1"] = empty  # missed here is missed there
            case.keep_nothing()
            return empty, None
        image, tiles = self._region_image(case, region)
        self._warn(case, tiles)
        passes = Passes(None if keep.stages else 1, self.flips, keep.disagreement)
        with case.clock("phase2"):
            predicted = self.phase2.predict(
                image, passes=passes, tell=partial(case.told, "phase2")
            )
        with case.clock("mask"):
            if keep.stages and len(predicted.stages) > 1:
                case.stages["stage1"] = argmax_on_grid(*predicted.stages[0], source)
        with case.clock("confidence"):
            case.score = confidence(predicted.stages[-1][0])
            case.keep_maps(predicted)
        with case.clock("mask"):
            probabilities, grid = predicted.stages[-1]
            weigh_tumour(probabilities, self.rules.tumour_weight)
            raw = argmax_on_grid(probabilities, grid, source)
        return raw, image.grid

    def _warn(self, case: Case, tiles: int) -> None:
        if tiles > 1 and not self.whole:
            case.warn(
                "roi_tiled",
                f"the foreground is larger than the window of phase 2: {tiles} windows",
            )
        if unseen := [a for a in self.flips if self.phase2.unmirrored([a])]:
            axes = ", ".join(AXES[a] for a in unseen)
            case.warn(
                "flips_untrained",
                f"predicted mirrored along {axes}, as a run was never trained",
            )

    def _region_image(self, case: Case, region: Grid) -> tuple[Volume, int]:
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
