"""How well volumes agree: errors, and Bland and Altman's limits of agreement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vnet_jax.scores.bootstrap import mean_interval

#: Standard deviations between which 95 % of normal differences lie.
NORMAL_95 = 1.959963984540054


def agreement(
    predicted_ml: Sequence[float], true_ml: Sequence[float], seed: int
) -> dict:
    """Predicted against true volumes over cases (Bland and Altman, 1986).

    Args:
        predicted_ml: (n,) n >= 1.
        true_ml: (n,) of the same cases.
        seed: of the bootstrap intervals.

    Returns:
        {"bias_ml", "absolute_ml", "absolute_percent"}: mean of predicted - true, of its
        size, and of its size in % of the true volume over the cases that have one; each
        {"mean", "low", "high", "n"}, the last None where no case has one. "limits_ml":
        (low, high), the bias -+ 1.96 standard deviations (n - 1) of the differences,
        None for one case.
    """
    predicted, true = np.asarray(predicted_ml, float), np.asarray(true_ml, float)
    error = predicted - true
    there = true > 0
    percent = 100 * np.abs(error[there]) / true[there]
    return {
        "bias_ml": _interval(error, seed),
        "limits_ml": _limits(error),
        "absolute_ml": _interval(np.abs(error), seed),
        "absolute_percent": _interval(percent, seed),
    }


def _limits(error: np.ndarray) -> list[float] | None:
    if len(error) < 2:
        return None
    half = NORMAL_95 * error.std(ddof=1)
    return [float(error.mean() - half), float(error.mean() + half)]


def _interval(values: np.ndarray, seed: int) -> dict | None:
    if not len(values):
        return None
    mean, low, high = mean_interval(values, seed)
    return {"mean": mean, "low": low, "high": high, "n": len(values)}
