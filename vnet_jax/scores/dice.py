"""The Dice coefficient, and which voxels KiTS19 compares with it."""

from __future__ import annotations

import numpy as np


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


def kits19(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Scores one case as the KiTS19 challenge does.

    "Kidney" is everything that is not background, tumour included, so a tumour taken
    for kidney costs nothing there; "tumour" is class 2 alone. The challenge ranks by
    the mean of the two. Its own script gives NaN where both masks are empty; here that
    is 1 (the rule of KiTS21 and KiTS23), so that no mean over cases becomes NaN.

    Args:
        prediction: (D, H, W) classes 0 background, 1 kidney, 2 tumour.
        label: (D, H, W) the truth, on the same grid.

    Returns:
        {"kidney": Dice of > 0, "tumour": Dice of > 1, "mean": of the two}.
    """
    kidney = dice(prediction > 0, label > 0)
    tumour = dice(prediction > 1, label > 1)
    return {"kidney": kidney, "tumour": tumour, "mean": (kidney + tumour) / 2}


def kidney_alone(prediction: np.ndarray, label: np.ndarray) -> float:
    """Dice of healthy kidney: class 1 against class 1; a mistaken tumour costs here.

    Args:
        prediction: (D, H, W) classes 0 background, 1 kidney, 2 tumour.
        label: (D, H, W) the truth, on the same grid.
    """
    return dice(prediction == 1, label == 1)
