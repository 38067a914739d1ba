"""Scores a folder of predictions against a folder of labels.

Each case is scored on its label's own grid: nothing is resampled, since that would
score the resampling as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, to_canonical
from vnet_jax.ct.nifti import is_nifti_name, read_labels, stem
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.scores import dice
from vnet_jax.scores.bootstrap import mean_interval
from vnet_jax.scores.coverage import coverage

#: Key in the scores -> what ends the file's name. "phase2" is the mask as delivered:
#: stage 2 after post-processing.
STAGES = {"phase1": "_phase1", "stage1": "_stage1", "phase2": ""}

#: What else inference may write beside a mask; nothing that is scored.
BESIDE = ("_raw", "_probability", "_disagreement")

#: Values of the label files and the classes they stand for.
KITS19_CLASSES = {0: 0, 1: 1, 2: 2}

ENDINGS = (".nii.gz", ".nii")


@dataclass
class Report:
    """What an evaluation found.

    Attributes:
        cases: one dict a scored case, by id: {"id", "phase2": {"kidney", "tumour",
            "mean", "kidney_alone"}, "phase1" and "stage1" alike where their masks are
            there, "coverage" where the summary tells phase 1's box, "volumes_ml"}.
        summary: stage -> score -> {"mean", "low", "high", "n"}; "coverage" stands
            under "phase1".
        missing: ids with a label and no prediction.
        failed: [{"id", "reason"}], cases that could not be read or compared.
        extra: ids with a prediction and no label, such as KiTS19's 210 to 299.
        chosen_on: which cases chose checkpoints and thresholds ("same cases",
            "cross-fitted", "held out"); "" where nobody said.
    """

    cases: list[dict] = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failed: list[dict] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    chosen_on: str = ""

    def as_dict(self) -> dict:
        """Plain types, for JSON."""
        return asdict(self)


def score_folder(
    predictions: str | Path,
    labels: str | Path,
    *,
    classes: Mapping[int, int] = KITS19_CLASSES,
    seed: int = 0,
    shown: bool = False,
) -> Report:
    """Scores each label whose prediction is there.

    Args:
        predictions: folder of `<id>.nii.gz`, with `<id>.json`, `<id>_phase1.nii.gz`
            and `<id>_stage1.nii.gz` beside it where inference wrote them.
        labels: a KiTS19 tree, an nnU-Net raw folder, or a folder of `<id>.nii.gz`.
        classes: value in the label files -> class; any other value refuses the case.
        seed: of the bootstrap.
        shown: whether to show on stderr how far it is.

    Raises:
        InputError: no labels, or not one prediction for any of them.
    """
    predictions, truths = Path(predictions), find_labels(labels)
    if not predictions.is_dir():
        raise InputError(predictions, "no such folder", "check --predictions")
    report = Report(extra=_extra(predictions, set(truths)))
    masks = {name: _nifti(predictions, name) for name in truths}
    report.missing = [name for name, mask in masks.items() if mask is None]
    present = [name for name, mask in masks.items() if mask is not None]
    if not present:
        raise InputError(
            predictions,
            f"holds no prediction for any of the {len(truths)} labels in {labels}",
            f"a prediction is called {next(iter(truths))}.nii.gz, like its case",
        )
    with Progress("evaluate", len(present), unit="case", shown=shown) as progress:
        for name in present:
            try:
                case = score_case(predictions, name, truths[name], classes)
                report.cases.append(case)
            except InputError as error:
                report.failed.append({"id": name, "reason": str(error)})
            progress.advance(note=name)
    report.summary = summarise(report.cases, seed)
    return report


def find_labels(folder: str | Path) -> dict[str, Path]:
    """Finds label maps: id -> file, in the order of the ids.

    Args:
        folder: a KiTS19 tree (`case_00000/segmentation.nii.gz`; images need not be
            there), or a clone of its repository; an nnU-Net raw folder, of which
            `labelsTr` and `labelsTs` are read; or a folder of `<id>.nii.gz`.

    Raises:
        InputError: no such folder, or no label map in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "check --labels")
    parts = [p for p in (folder / "labelsTr", folder / "labelsTs") if p.is_dir()]
    found = _tree(folder) or _tree(folder / "data")
    if not found:
        found = {stem(f): f for part in parts or [folder] for f in _files(part)}
    if not found:
        raise InputError(
            folder,
            "holds no label maps",
            "expected case_*/segmentation.nii.gz, labelsTr/*.nii.gz or *.nii.gz",
        )
    return dict(sorted(found.items()))


def score_case(
    predictions: Path, name: str, truth: Path, classes: Mapping[int, int]
) -> dict:
    """Scores one case and its stages; see `Report.cases`.

    Raises:
        InputError: a file that cannot be read, a value that is no class, or a mask on
            another grid than its label.
    """
    label = _classed(read_labels(truth, sorted(classes)).volume, classes)
    scores: dict = {"id": name}
    for stage, ending in STAGES.items():
        file = _nifti(predictions, name + ending)
        if file is not None:
            mask = read_labels(file, (0, 1, 2)).volume
            mask, on_grid = aligned(mask, label, file, truth)
            scores[stage] = dice.kits19(mask.array, on_grid.array)
            alone = dice.kidney_alone(mask.array, on_grid.array)
            scores[stage]["kidney_alone"] = alone
    # The mask as delivered comes last: its volumes are the ones to compare.
    scores["volumes_ml"] = _volumes_ml(mask, on_grid)
    known, box = read_box(predictions / f"{name}.json")
    if known:
        scores["coverage"] = coverage(label.array, label.grid, box)
    return scores


def aligned(
    mask: Volume, label: Volume, mask_path: Path, label_path: Path
) -> tuple[Volume, Volume]:
    """The two on one grid: as they are, or both with their axes put in one order.

    Returns:
        (mask, label): the same voxels in the same order.

    Raises:
        InputError: when they lie on different grids (1e-3 mm).
    """
    if mask.grid.same_place(label.grid):
        return mask, label
    mask, label = to_canonical(mask), to_canonical(label)
    if mask.grid.same_place(label.grid):
        return mask, label
    raise InputError(
        mask_path,
        f"lies on another grid than {label_path}: {_place(mask)}, not {_place(label)}",
        "scores are taken on the label's grid; predict on the CT that it belongs to",
    )


def read_box(path: Path) -> tuple[bool, Grid | None]:
    """Phase 1's box from a case's summary.

    Args:
        path: `<id>.json`, whose "box" is {"affine": 4 x 4, voxel of the box -> mm,
            "shape": (d, h, w)}, or null where phase 1 found nothing.

    Returns:
        (whether the summary tells, the box).

    Raises:
        InputError: a summary that is no JSON, or whose box is none.
    """
    if not path.is_file():
        return False, None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if "box" not in summary:
            return False, None
        box = summary["box"]
        if box is not None:
            box = Grid(tuple(box["shape"]), np.asarray(box["affine"], np.float64))
        return True, box
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            path, f"no summary of a case ({error!r})", "run bin/infer.py again"
        ) from None


def summarise(cases: list[dict], seed: int) -> dict:
    """Means over the cases, with 95 % bootstrap intervals; see `Report.summary`."""
    summary: dict = {}
    for stage in STAGES:
        for key in ("kidney", "tumour", "mean", "kidney_alone"):
            values = [case[stage][key] for case in cases if stage in case]
            if values:
                summary.setdefault(stage, {})[key] = _interval(values, seed)
    covered = [case["coverage"] for case in cases if "coverage" in case]
    if covered:
        summary.setdefault("phase1", {})["coverage"] = _interval(covered, seed)
    return summary


def _interval(values: list[float], seed: int) -> dict:
    mean, low, high = mean_interval(values, seed)
    return {"mean": mean, "low": low, "high": high, "n": len(values)}


def _classed(volume: Volume, classes: Mapping[int, int]) -> Volume:
    """A label map's values as classes."""
    if all(value == kind for value, kind in classes.items()):
        return volume
    mapped = np.zeros(volume.array.shape, np.uint8)
    for value, kind in classes.items():
        mapped[volume.array == value] = kind
    return Volume(mapped, volume.grid)


def _volumes_ml(mask: Volume, label: Volume) -> dict[str, float]:
    """Millilitres of kidney (tumour included) and tumour, predicted and true."""
    volumes = {}
    for prefix, volume in (("", mask), ("true_", label)):
        for key, above in (("kidney", 0), ("tumour", 1)):
            count = np.count_nonzero(volume.array > above)
            volumes[prefix + key] = count * volume.grid.voxel_ml
    return volumes


def _place(volume: Volume) -> str:
    spacing = " x ".join(f"{s:.4g}" for s in volume.grid.spacing_mm)
    origin = ", ".join(f"{o:.4g}" for o in volume.grid.affine[:3, 3])
    shape = " x ".join(str(n) for n in volume.array.shape)
    return f"{shape} voxels of {spacing} mm from ({origin})"


def _tree(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    cases = [case for case in folder.iterdir() if case.is_dir()]
    found = {case.name: _nifti(case, "segmentation") for case in cases}
    return {name: file for name, file in found.items() if file is not None}


def _files(folder: Path) -> list[Path]:
    files = (f for f in folder.iterdir() if is_nifti_name(f) and f.is_file())
    return [f for f in files if not f.name.startswith(".")]


def _nifti(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}{ending}" for ending in ENDINGS)
    return next((file for file in files if file.is_file()), None)


def _extra(predictions: Path, names: set[str]) -> list[str]:
    """Predictions without a label; a stage's mask beside its case's is none of them."""
    stems = {stem(file) for file in _files(predictions)}
    endings = [*filter(None, STAGES.values()), *BESIDE]
    stage_masks = {s + ending for s in stems for ending in endings}
    return sorted(stems - names - stage_masks)
