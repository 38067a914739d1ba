"""The Dice coefficient, and which voxels the KiTS challenges compare with it."""

from __future__ import annotations

import numpy as np

from vnet_jax.ct.labels import in_order_of
from vnet_jax.scores.challenges import CHALLENGES, KIDNEY, Challenge, region


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two sets of voxels: 2 |a and b| / (|a| + |b|).

    Two empty sets agree, which the formula leaves open (0 / 0): 1. One empty set gives
    0, as the formula says.

    Args:
        a: mask of any shape; non-zero means inside.
        b: mask of the same shape.

    Returns:
        A number in [0, 1], never NaN.

    Raises:
        ValueError: when the shapes differ (NumPy would broadcast them in silence).
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape:
        raise ValueError(f"masks of shapes {a.shape} and {b.shape} cannot be compared")
    total = np.count_nonzero(a) + np.count_nonzero(b)
    if total == 0:
        return 1.0
    return 2.0 * np.count_nonzero(a & b) / total


def of_regions(
    prediction: np.ndarray, label: np.ndarray, challenge: Challenge
) -> dict[str, float]:
    """Scores one case as a KiTS challenge does.

    KiTS19's "kidney" is everything that is not background, tumour included, so a tumour
    taken for kidney costs nothing there; KiTS21 and KiTS23 add the masses, tumours with
    cysts, as a third region. Each ranks by the mean of its regions. KiTS19's own script
    gives NaN where both masks are empty; here that is 1 (the rule of KiTS21 and
    KiTS23), so that no mean over cases becomes NaN.

    Args:
        prediction: (D, H, W) classes 0 background, 1 kidney, 2 tumour, 3 cyst.
        label: (D, H, W) the truth, on the same grid.
        challenge: whose regions.

    Returns:
        A Dice a region, and "mean", theirs.
    """
    prediction = in_order_of(prediction, label)
    scores = {
        name: dice(region(prediction, joined), region(label, joined))
        for name, joined in challenge.regions.items()
    }
    return scores | {"mean": sum(scores.values()) / len(scores)}


def kits19(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """`of_regions` of KiTS19: {"kidney", "tumour", "mean"}; a cyst counts as kidney.

    Args:
        prediction: (D, H, W) classes 0 background, 1 kidney, 2 tumour, 3 cyst.
        label: (D, H, W) the truth, on the same grid.
    """
    return of_regions(prediction, label, CHALLENGES["kits19"])


def kidney_alone(prediction: np.ndarray, label: np.ndarray) -> float:
    """Dice of healthy kidney: class 1 against class 1; a mistaken tumour costs here.

    Args:
        prediction: (D, H, W) classes 0 background, 1 kidney, 2 tumour, 3 cyst.
        label: (D, H, W) the truth, on the same grid.
    """
    return dice(prediction == KIDNEY, label == KIDNEY)
