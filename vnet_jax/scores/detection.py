"""Which tumours were found, and which findings are none.

A tumour is a 26-connected component of the tumour class. Components below `LEAST_ML`
are left out on both sides: a label map's specks are no tumours. A true and a predicted
component belong together where their intersection over union is at least `LEAST_IOU`,
the threshold of nnDetection (Baumgartner et al., 2021); each has one partner at most,
chosen so that the sum of the overlaps is largest. A true one without a partner is
missed, a predicted one without is a false positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from vnet_jax.scores.bootstrap import mean_interval, ratio_interval

#: A ball of 5.8 mm; the smallest tumour of a KiTS19 case has 0.82 ml.
LEAST_ML = 0.1
LEAST_IOU = 0.1
#: Diameters, mm, where one size ends and the next begins. 40 and 70 divide the stages
#: T1a, T1b and T2 of renal tumours (TNM, 8th edition).
SIZES_MM = (20.0, 40.0, 70.0)
CONNECTED = np.ones((3, 3, 3), bool)


def lesions(
    prediction: np.ndarray,
    truth: np.ndarray,
    voxel_ml: float,
    *,
    least_ml: float = LEAST_ML,
    least_iou: float = LEAST_IOU,
) -> dict[str, list[dict]]:
    """Matches the tumours of one case.

    Args:
        prediction: (D, H, W) bool, predicted tumour.
        truth: (D, H, W) bool, true tumour, on the same grid.
        voxel_ml: volume of a voxel.
        least_ml: smaller components are left out.
        least_iou: of a pair, > 0.

    Returns:
        {"true": [{"ml", "diameter_mm", "iou"}], "false": [{"ml", "diameter_mm"}]}, the
        largest first. The diameter is that of a ball of that volume; "iou" is 0 for a
        missed tumour.
    """
    found, found_voxels = _components(prediction, least_ml / voxel_ml)
    true, true_voxels = _components(truth, least_ml / voxel_ml)
    iou = _overlaps(true, true_voxels, found, found_voxels)
    iou[iou < least_iou] = 0
    pairs = [p for p in zip(*linear_sum_assignment(-iou), strict=True) if iou[p]]
    partner = dict(pairs)
    taken = set(partner.values())
    told = {
        "true": [
            {**_size(n * voxel_ml), "iou": float(iou[i, partner[i]])}
            if i in partner
            else {**_size(n * voxel_ml), "iou": 0.0}
            for i, n in enumerate(true_voxels)
        ],
        "false": [
            _size(n * voxel_ml) for i, n in enumerate(found_voxels) if i not in taken
        ],
    }
    return {kind: sorted(those, key=_falling) for kind, those in told.items()}


def _components(mask: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """(D, H, W) number of each voxel's component from 1, 0 outside; (n,) their voxels.

    A component below `least` voxels is outside.
    """
    index, count = ndimage.label(mask, CONNECTED)
    voxels = np.bincount(index.ravel(), minlength=count + 1)
    keep = voxels >= least
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0)
    return number[index], voxels[keep]


def _overlaps(a, a_voxels, b, b_voxels) -> np.ndarray:
    """(n, m) intersection over union of each pair of components."""
    shape = (len(a_voxels) + 1, len(b_voxels) + 1)
    pairs = np.ravel_multi_index((a.ravel(), b.ravel()), shape)
    shared = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:]
    return shared / (a_voxels[:, None] + b_voxels[None, :] - shared)


def _size(ml: float) -> dict[str, float]:
    diameter_mm = (6000 * ml / np.pi) ** (1 / 3)
    return {"ml": float(ml), "diameter_mm": float(diameter_mm)}


def _falling(lesion: dict) -> float:
    return -lesion["ml"]


def size_names() -> list[str]:
    """The sizes in words, the smallest first."""
    ends = [f"{end:.0f}" for end in SIZES_MM]
    between = [f"{a} to {b} mm" for a, b in itertools.pairwise(ends)]
    return [f"below {ends[0]} mm", *between, f"{ends[-1]} mm and more"]


def summarise(cases: Sequence[dict], seed: int) -> dict:
    """Sensitivity and false positives a case, of all sizes and of each.

    Args:
        cases: one `lesions` a case, at least one.
        seed: of the bootstrap, which draws cases.

    Returns:
        "all" and each of `size_names()` -> {"lesions", "found", "sensitivity",
        "false_positives", "false_positives_per_case"}. Sensitivity and false positives
        a case are {"mean", "low", "high", "n"}; sensitivity is None without a tumour.
        A tumour counts in its own size, a false positive in its.
    """
    groups = {"all": range(len(SIZES_MM) + 1)}
    groups |= {name: [i] for i, name in enumerate(size_names())}
    return {name: _of_sizes(cases, sizes, seed) for name, sizes in groups.items()}


def _of_sizes(cases, sizes, seed: int) -> dict:
    def of(case, kind):
        return [x for x in case[kind] if _bin(x["diameter_mm"]) in sizes]

    true = [len(of(case, "true")) for case in cases]
    found = [sum(x["iou"] > 0 for x in of(case, "true")) for case in cases]
    false = [len(of(case, "false")) for case in cases]
    share = ratio_interval(found, true, seed)
    return {
        "lesions": sum(true),
        "found": sum(found),
        "sensitivity": share and _interval(share, sum(true)),
        "false_positives": sum(false),
        "false_positives_per_case": _interval(mean_interval(false, seed), len(cases)),
    }


def _bin(diameter_mm: float) -> int:
    return int(np.searchsorted(SIZES_MM, diameter_mm, side="right"))


def _interval(found: tuple[float, float, float], n: int) -> dict:
    return dict(zip(("mean", "low", "high"), found, strict=True), n=n)
