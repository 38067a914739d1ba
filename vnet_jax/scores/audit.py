"""How far a prediction and a label disagree, and where: which labels to look at.

A model that has not seen a case (out of fold) errs in its own way; where it disagrees
most, the label is worth a look. It may be the label that is wrong, or the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import Grid, bounding_box
from vnet_jax.ct.nifti import read_labels
from vnet_jax.scores import dice
from vnet_jax.scores.folder import aligned, as_classes

CLASSES = ("background", "kidney", "tumour")
#: Organ -> the lowest class that counts; KiTS19 takes the tumour as part of the kidney.
ORGANS = {"kidney": 1, "tumour": 2}


def audit_case(
    name: str, prediction: Path, truth: Path, classes: Mapping[int, int]
) -> dict:
    """Compares one prediction with its label; see `compare`.

    Args:
        name: the case.
        prediction: its mask; 1 kidney, 2 tumour.
        truth: its label map.
        classes: value in the label map -> class.

    Returns:
        {"id", ...} of `compare`.

    Raises:
        InputError: a file that cannot be read, or two grids.
    """
    label = as_classes(read_labels(truth, sorted(classes)).volume, classes)
    mask = read_labels(prediction, (0, 1, 2)).volume
    mask, label = aligned(mask, label, prediction, truth)
    return {"id": name, **compare(mask.array, label.array, label.grid)}


def compare(mask: np.ndarray, label: np.ndarray, grid: Grid) -> dict:
    """How far two masks disagree.

    Args:
        mask: (D, H, W) predicted classes 0, 1, 2.
        label: (D, H, W) labelled classes.
        grid: of both.

    Returns:
        "disagreement": 1 - the mean Dice of kidney and tumour, from 0 to 1; "dice" of
        each; "label_ml" and "prediction_ml" of each; "only_label_ml" and
        "only_prediction_ml", what one of the two has alone; "region", the largest
        place where they differ, {"ml", "centre_mm" (x, y, z), "label", "prediction"}
        or None; "reasons" in words.
    """
    scores = dice.kits19(mask, label)
    facts = {
        "disagreement": 1 - scores["mean"],
        "dice": {organ: scores[organ] for organ in ORGANS},
        "label_ml": {},
        "prediction_ml": {},
        "only_label_ml": {},
        "only_prediction_ml": {},
    }
    for organ, lowest in ORGANS.items():
        predicted, labelled = mask >= lowest, label >= lowest
        counted = {
            "label_ml": labelled,
            "prediction_ml": predicted,
            "only_label_ml": labelled & ~predicted,
            "only_prediction_ml": predicted & ~labelled,
        }
        for key, inside in counted.items():
            facts[key][organ] = float(np.count_nonzero(inside) * grid.voxel_ml)
    facts["region"] = _region(mask, label, grid)
    return {**facts, "reasons": _reasons(facts)}


def largest_region(mask: np.ndarray, label: np.ndarray) -> np.ndarray | None:
    """The largest place where two masks differ by more than a thin shell.

    A contour drawn a little wider differs in a shell around the whole kidney; so what
    is thinner than three voxels is left aside (an opening), unless nothing else is.

    Args:
        mask: (D, H, W) classes.
        label: (D, H, W) classes.

    Returns:
        (D, H, W) uint8, 1 inside, of one connected place; None where they agree.
    """
    differing = mask != label
    box = bounding_box(differing)
    if box is None:
        return None
    part = tuple(slice(a, a + n) for a, n in zip(*box, strict=True))
    inner = differing[part]
    thick = ndimage.binary_opening(inner)
    parts, _ = ndimage.label(thick if thick.any() else inner)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    region = np.zeros(mask.shape, np.uint8)
    region[part] = parts == np.argmax(sizes)
    return region


def ranked(cases: Iterable[dict]) -> list[dict]:
    """The cases from the largest disagreement to the smallest, with their "rank"."""
    ordered = sorted(cases, key=lambda case: (-case["disagreement"], case["id"]))
    return [{"rank": rank, **case} for rank, case in enumerate(ordered, 1)]


def _region(mask: np.ndarray, label: np.ndarray, grid: Grid) -> dict | None:
    region = largest_region(mask, label)
    if region is None:
        return None
    inside = np.nonzero(region)
    centre = grid.to_mm(np.array([indices.mean() for indices in inside]))
    return {
        "ml": float(len(inside[0]) * grid.voxel_ml),
        "centre_mm": [round(float(c), 1) for c in centre],
        "label": CLASSES[np.bincount(label[inside]).argmax()],
        "prediction": CLASSES[np.bincount(mask[inside]).argmax()],
    }


def _reasons(facts: dict) -> list[str]:
    """What stands out, in words."""
    reasons = []
    for organ in ORGANS:
        labelled, predicted = facts["label_ml"][organ], facts["prediction_ml"][organ]
        if not labelled and predicted:
            reasons.append(f"no {organ} in the label, {predicted:.1f} ml predicted")
        if labelled and not predicted:
            reasons.append(f"no {organ} predicted, {labelled:.1f} ml in the label")
    if region := facts["region"]:
        x, y, z = region["centre_mm"]
        reasons.append(
            f"largest difference {region['ml']:.1f} ml at ({x:.0f}, {y:.0f}, {z:.0f}) "
            f"mm: labelled {region['label']}, predicted {region['prediction']}"
        )
    return reasons
