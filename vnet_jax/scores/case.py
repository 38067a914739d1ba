"""All scores of one case, on its label's own grid.

Nothing is resampled: that would score the resampling as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, bounding_box, to_canonical
from vnet_jax.ct.nifti import read_labels
from vnet_jax.errors import InputError
from vnet_jax.scores import dice, surface
from vnet_jax.scores.challenges import TUMOUR, Challenge, classed, region
from vnet_jax.scores.coverage import coverage
from vnet_jax.scores.detection import lesions
from vnet_jax.scores.labels import nifti_named

#: Key in the scores -> what ends the file's name. "phase2" is the mask as delivered:
#: stage 2 after post-processing.
STAGES = {"phase1": "_phase1", "stage1": "_stage1", "phase2": ""}


def score_case(
    predictions: Path,
    name: str,
    truth: Path,
    classes: Mapping[int, int],
    challenge: Challenge,
    surfaces: bool = True,
) -> dict:
    """Scores one case and its stages.

    Args:
        predictions: folder of `<name>.nii.gz` and, where inference wrote them, its
            stages and `<name>.json`.
        name: the case's id.
        truth: its label map.
        classes: value in the label map -> class.
        challenge: whose regions.
        surfaces: whether to measure surface distances, which take longest.

    Returns:
        See `scores.folder.Report.cases`.

    Raises:
        InputError: a file that cannot be read, a value that is no class, or a mask on
            another grid than its label.
    """
    read = read_labels(truth, sorted(classes)).volume
    label = Volume(classed(read.array, classes), read.grid)
    scores: dict = {"id": name}
    for stage, ending in STAGES.items():
        file = nifti_named(predictions, name + ending)
        if file is not None:
            read = read_labels(file, sorted(challenge.predictions)).volume
            read = Volume(classed(read.array, challenge.predictions), read.grid)
            mask, on_grid = aligned(read, label, file, truth)
            both = _foreground(mask.array, on_grid.array)
            scores[stage] = dice.of_regions(*both, challenge)
            scores[stage]["kidney_alone"] = dice.kidney_alone(*both)
    # The mask as delivered comes last: the rest is about it.
    scores["volumes_ml"] = _volumes_ml(*both, challenge, mask.grid.voxel_ml)
    if surfaces:
        scores["surface"] = _surfaces(*both, challenge, mask.grid.spacing_mm)
    tumours = (region(part, (TUMOUR,)) for part in both)
    scores["lesions"] = lesions(*tumours, mask.grid.voxel_ml)
    known, box = read_box(predictions / f"{name}.json")
    if known:
        scores["coverage"] = coverage(label.array, label.grid, box)
    return scores


def _foreground(mask: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to the box of what either calls foreground; one voxel where neither."""
    boxes = [
        box for box in (bounding_box(mask), bounding_box(label)) if box is not None
    ]
    if not boxes:
        boxes = [((0, 0, 0), (1, 1, 1))]
    starts, shapes = (np.array(sides) for sides in zip(*boxes, strict=True))
    ends = zip(starts.min(axis=0), (starts + shapes).max(axis=0), strict=True)
    box = tuple(slice(a, b) for a, b in ends)
    return mask[box], label[box]


def _surfaces(mask, label, challenge: Challenge, spacing_mm) -> dict:
    """Region -> surface Dice, HD95 and average distance."""
    return {
        name: surface.score(
            region(mask, joined),
            region(label, joined),
            spacing_mm,
            challenge.tolerances_mm[name],
        )
        for name, joined in challenge.regions.items()
    }


def _volumes_ml(mask, label, challenge: Challenge, voxel_ml: float) -> dict[str, float]:
    """Millilitres of each region, predicted and, after "true_", true."""
    return {
        prefix + name: np.count_nonzero(region(part, joined)) * voxel_ml
        for prefix, part in (("", mask), ("true_", label))
        for name, joined in challenge.regions.items()
    }


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


def _place(volume: Volume) -> str:
    spacing = " x ".join(f"{s:.4g}" for s in volume.grid.spacing_mm)
    origin = ", ".join(f"{o:.4g}" for o in volume.grid.affine[:3, 3])
    shape = " x ".join(str(n) for n in volume.array.shape)
    return f"{shape} voxels of {spacing} mm from ({origin})"


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
