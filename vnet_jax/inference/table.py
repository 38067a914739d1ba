"""What post-processing would leave of a case, for any thresholds, without its voxels.

Components are found once; a setting then only decides which of them count. The scores
are those of `postprocess.clean` and `scores.dice.kits19`, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vnet_jax.inference.components import (
    Components,
    bordering,
    find_components,
    find_holes,
)
from vnet_jax.inference.postprocess import PostProcessing
from vnet_jax.inference.rules import TUMOUR, hole_labels, largest


@dataclass(frozen=True, eq=False)
class Holes:
    """The holes of a mask, and what lies around them.

    Attributes:
        voxels: (h,) of each hole.
        hits: (h, 2) voxels of it that are kidney or tumour, and tumour, in truth.
        border: (m, 3) hole, tumour component plus 1 (0 for kidney), faces between.
    """

    voxels: np.ndarray
    hits: np.ndarray
    border: np.ndarray


@dataclass(frozen=True, eq=False)
class Table:
    """The components of one case.

    Attributes:
        voxel_ml: volume of a voxel.
        truth: voxels of the truth > 0 and > 1.
        kidneys: components of the labels > 0, largest first, without their voxels.
        hits: (n,) voxels of each that are > 0 in truth.
        parent: (t,) which of them each tumour component is part of.
        tumour_voxels: (t,) of each tumour component.
        tumour_hits: (t,) voxels of each that are tumour in truth.
        mean_hu: (t,) of each.
        holes: number of components kept -> the holes that are then there.
    """

    voxel_ml: float
    truth: tuple[int, int]
    kidneys: Components
    hits: np.ndarray
    parent: np.ndarray
    tumour_voxels: np.ndarray
    tumour_hits: np.ndarray
    mean_hu: np.ndarray
    holes: Mapping[int, Holes]


def tabulate(
    raw: np.ndarray, hu: np.ndarray, truth: np.ndarray, voxel_ml: float
) -> Table:
    """The table of a case.

    Args:
        raw: (D, H, W) uint8 labels before post-processing.
        hu: (D, H, W) the unclipped CT.
        truth: (D, H, W) uint8 labels.
        voxel_ml: volume of a voxel.
    """
    totals = (int(np.count_nonzero(truth > 0)), int(np.count_nonzero(truth > 1)))
    found = find_components(raw > 0)
    raw, hu, truth = raw[found.box], hu[found.box], truth[found.box]
    tumours = find_components(raw == TUMOUR, hu)
    parent = np.zeros(len(tumours) + 1, int)
    parent[tumours.index] = found.index[tumours.box] - 1  # one for all its voxels
    whole = np.zeros(raw.shape, np.int32)
    if len(tumours):
        whole[tumours.box] = tumours.index
    counts = {1, 2, len(found)} & set(range(1, len(found) + 1))
    return Table(
        voxel_ml,
        totals,
        Components(
            np.zeros((1, 1, 1), np.int32),
            found.start,
            found.voxels,
            found.mean_hu,
            found.centre_vox,
        ),
        _hits(found.index, truth > 0, len(found)),
        parent[1:],
        tumours.voxels,
        _hits(tumours.index, truth[tumours.box] > 1, len(tumours)),
        tumours.mean_hu,
        {kept: _holes(found.index, kept, whole, truth) for kept in counts},
    )


def _hits(index: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(index[truth], minlength=count + 1)[1:]


def _holes(index, kept: int, tumours: np.ndarray, truth: np.ndarray) -> Holes:
    """The holes of the first `kept` components."""
    found = find_holes((index > 0) & (index <= kept))
    if not len(found):
        return Holes(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 3), int))
    part = truth[found.box]
    hits = [_hits(found.index, part > above, len(found)) for above in (0, 1)]
    pairs = np.stack(bordering(found, tumours), axis=1)
    pairs, faces = np.unique(pairs, axis=0, return_counts=True)
    border = np.column_stack([pairs, faces])
    return Holes(found.voxels, np.stack(hits, axis=1), border)


def dice(table: Table, settings: PostProcessing) -> tuple[float, float]:
    """KiTS19's Dice of kidney (tumour included) and tumour after post-processing."""
    kept = len(table.kidneys)
    if "components" in settings.steps:
        kept = largest(table.kidneys, settings.second_share)
    tumour = table.parent < kept
    if "hu" in settings.steps:
        tumour &= ~(table.mean_hu < settings.cyst_hu)
    if "small" in settings.steps:
        tumour &= table.tumour_voxels * table.voxel_ml >= settings.min_tumour_ml
    voxels = [table.kidneys.voxels[:kept].sum(), table.tumour_voxels[tumour].sum()]
    hits = [table.hits[:kept].sum(), table.tumour_hits[tumour].sum()]
    if "holes" in settings.steps and kept:
        holes = table.holes[kept]
        filled = _filled_with_tumour(holes, tumour)
        voxels[0] += holes.voxels.sum()
        hits[0] += holes.hits[:, 0].sum()
        voxels[1] += holes.voxels[filled].sum()
        hits[1] += holes.hits[filled, 1].sum()
    kidney, tumour = (
        _dice(h, n, true) for h, n, true in zip(hits, voxels, table.truth, strict=True)
    )
    return kidney, tumour


def _filled_with_tumour(holes: Holes, tumour: np.ndarray) -> np.ndarray:
    which, behind, faces = holes.border.T
    of_tumour = np.concatenate([[False], tumour])[behind]
    return hole_labels(len(holes.voxels), which, of_tumour, faces) == TUMOUR


def _dice(hit, voxels, true) -> float:
    """Of two empty masks 1, as `scores.dice` has it."""
    return float(2.0 * hit / (voxels + true)) if voxels + true else 1.0
