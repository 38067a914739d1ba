"""How far two surfaces lie apart: surface Dice, HD95, average surface distance.

All of it by surface element, each weighed with its area (Nikolov et al., 2018,
"Deep learning to achieve clinically applicable segmentation of head and neck anatomy
for radiotherapy", the definition that KiTS21 and KiTS23 score with). An element's
distance is that of its cell's centre to the nearest cell of the other surface.

Other programs take the border voxels instead, each as one, and their figures differ:
on one pair of masks surface Dice by element was 0.81, by voxel 0.67.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from vnet_jax.scores.elements import Elements, find

MEASURES = ("surface_dice", "hd95_mm", "assd_mm")


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances from each surface to the other, and the areas they stand for.

    Attributes:
        of_prediction_mm: (n,) from the predicted surface to the true one.
        prediction_mm2: (n,) areas of those elements.
        of_truth_mm: (m,) from the true surface to the predicted one.
        truth_mm2: (m,) areas of those elements.
    """

    of_prediction_mm: np.ndarray
    prediction_mm2: np.ndarray
    of_truth_mm: np.ndarray
    truth_mm2: np.ndarray


def distances(
    prediction: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float]
) -> Distances:
    """Measures two masks that are not empty.

    Args:
        prediction: (D, H, W) bool.
        truth: (D, H, W) bool, on the same grid.
        spacing_mm: (z, y, x).

    Raises:
        ValueError: masks of different shapes, or an empty one.
    """
    if prediction.shape != truth.shape:
        shapes = f"{prediction.shape} and {truth.shape}"
        raise ValueError(f"masks of shapes {shapes} cannot be compared")
    a, b = find(prediction, spacing_mm), find(truth, spacing_mm)
    if not len(a) or not len(b):
        raise ValueError("an empty mask has no surface")
    return Distances(
        of_prediction_mm=_nearest_mm(a, b, spacing_mm),
        prediction_mm2=a.areas_mm2,
        of_truth_mm=_nearest_mm(b, a, spacing_mm),
        truth_mm2=b.areas_mm2,
    )


def _nearest_mm(source: Elements, target: Elements, spacing_mm) -> np.ndarray:
    """(n,) from each element of a surface to the nearest of another.

    A tree of the elements: a distance transform would fill the box around them, whose
    voxels outnumber the elements the more, the finer the grid is.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    tree = cKDTree(target.places * spacing, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(source.places * spacing)
    # From whole steps, so that a distance of exactly the tolerance is not rounded up.
    steps = source.places - target.places[nearest]
    return np.sqrt(np.sum(np.square(steps * spacing), axis=1))


def surface_dice(found: Distances, tolerance_mm: float) -> float:
    """Share of both surfaces, by area, that lies within a tolerance of the other.

    Args:
        found: of two masks.
        tolerance_mm: elements at just this distance count as within.

    Returns:
        A number in [0, 1].
    """
    within = found.prediction_mm2[found.of_prediction_mm <= tolerance_mm].sum()
    within += found.truth_mm2[found.of_truth_mm <= tolerance_mm].sum()
    return float(within / (found.prediction_mm2.sum() + found.truth_mm2.sum()))


def hausdorff_mm(found: Distances, percent: float = 95.0) -> float:
    """The distance within which `percent` of either surface's area lies of the other.

    The larger of the two directions: the robust Hausdorff distance, HD95 for 95.

    Args:
        found: of two masks.
        percent: in (0, 100]; 100 is the Hausdorff distance.
    """
    return max(
        _percentile(found.of_prediction_mm, found.prediction_mm2, percent),
        _percentile(found.of_truth_mm, found.truth_mm2, percent),
    )


def _percentile(values: np.ndarray, weights: np.ndarray, percent: float) -> float:
    """The smallest value that at least `percent` of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order])
    place = np.searchsorted(share, percent / 100 * share[-1])
    return float(values[order][min(place, len(order) - 1)])


def average_mm(found: Distances) -> float:
    """Mean distance over both surfaces, each element weighed with its area (ASSD)."""
    moment = np.sum(found.of_prediction_mm * found.prediction_mm2)
    moment += np.sum(found.of_truth_mm * found.truth_mm2)
    return float(moment / (found.prediction_mm2.sum() + found.truth_mm2.sum()))


def score(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> dict[str, float | None]:
    """The three measures of a pair of masks, empty ones included.

    Two empty masks agree: 1, 0 mm and 0 mm. Beside one empty mask nothing lies within
    the tolerance, and no distance is defined: 0, None and None.

    Args:
        prediction: (D, H, W) bool.
        truth: (D, H, W) bool, on the same grid.
        spacing_mm: (z, y, x).
        tolerance_mm: of surface Dice.

    Returns:
        {"surface_dice", "hd95_mm", "assd_mm"}.

    Raises:
        ValueError: masks of different shapes.
    """
    empty = [not prediction.any(), not truth.any()]
    if all(empty):
        return dict(zip(MEASURES, (1.0, 0.0, 0.0), strict=True))
    if any(empty):
        return dict(zip(MEASURES, (0.0, None, None), strict=True))
    found = distances(prediction, truth, spacing_mm)
    values = (surface_dice(found, tolerance_mm), hausdorff_mm(found), average_mm(found))
    return dict(zip(MEASURES, values, strict=True))
