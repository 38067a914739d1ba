"""How far confidence and volumes were off on out-of-fold cases, for the next ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from vnet_jax.inference.confidence import (
    LEVEL,
    OFFSET_ML,
    STRUCTURES,
    Calibration,
    doubt,
    intervals,
)
from vnet_jax.scores import conformal

#: Share of the cases that are flagged where too few were poor to learn from them.
LOWEST = 0.1


def residuals_of(
    cases: Sequence[tuple[Mapping, Mapping, Mapping]],
) -> dict[str, list[float]]:
    """The residual of each volume of each case.

    Args:
        cases: (predicted ml, true ml, confidence) of each; a missing kidney is 0 ml.
    """
    return {
        volume: [
            conformal.ratio_residual(
                true[volume] or 0.0,
                predicted[volume] or 0.0,
                OFFSET_ML,
                doubt(score, volume),
            )
            for predicted, true, score in cases
        ]
        for volume in STRUCTURES
    }


def review_limit(scores: Sequence[float], poor: Sequence[bool]) -> float | None:
    """The score up to which a case is to be reviewed.

    With 9 poor cases or more, the limit under which a new poor one falls with a chance
    of at least 0.9; with fewer, the one under which at most a tenth of all do.

    Args:
        scores: (n,) in [0, 1].
        poor: (n,) whether the case scored badly.

    Returns:
        None where there are too few cases for either.
    """
    scores, poor = np.asarray(scores, float), np.asarray(poor, bool)
    limit = conformal.quantile(scores[poor], LEVEL)
    if limit is not None:
        return limit
    rank = math.floor((len(scores) + 1) * LOWEST + 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank else None


def calibrate(
    cases: Sequence[tuple[Mapping, Mapping, Mapping]],
    dices: Sequence[float],
    poor_dice: float,
) -> tuple[Calibration, dict]:
    """Learns quantiles and limit, and says how they do on cases left out.

    Args:
        cases: (predicted ml, true ml, confidence) of each.
        dices: mean Dice of each.
        poor_dice: below this a case is poor.

    Returns:
        The calibration, and what the report says of it.
    """
    residuals = residuals_of(cases)
    scores = [score["score"] for _, _, score in cases]
    poor = [value < poor_dice for value in dices]
    calibration = Calibration(
        {volume: conformal.quantile(r, LEVEL) for volume, r in residuals.items()},
        review_limit(scores, poor),
        len(cases),
    )
    volumes = {
        volume: {
            "cases": len(values),
            "coverage_leave_one_out": conformal.covered_without(values, LEVEL),
            "median_width_ml": _median_width(cases, volume, calibration),
        }
        for volume, values in residuals.items()
    }
    review = _review(scores, poor, poor_dice, dices)
    return calibration, {"level": LEVEL, "volumes_ml": volumes, "review": review}


def _median_width(cases, volume: str, calibration: Calibration) -> float | None:
    ends = [
        intervals({volume: predicted[volume]}, score, calibration)[volume]
        for predicted, _, score in cases
    ]
    if None in ends:
        return None
    return float(np.median([high - low for low, high in ends]))


def _review(scores, poor, poor_dice: float, dices) -> dict:
    """Each case judged by the limit that the others give."""
    scores, poor = np.asarray(scores), np.asarray(poor, bool)
    learned = int(poor.sum()) >= math.ceil(LEVEL / (1 - LEVEL) - 1e-9)
    flagged = []
    for i, score in enumerate(scores):
        limit = review_limit(np.delete(scores, i), np.delete(poor, i))
        flagged.append(limit is not None and bool(score <= limit))
    flagged = np.array(flagged)
    return {
        "poor_dice": poor_dice,
        "poor_cases": int(poor.sum()),
        "rule": "9 in 10 poor cases" if learned else "the lowest tenth of all cases",
        "flagged_leave_one_out": float(flagged.mean()),
        "poor_flagged_leave_one_out": float(flagged[poor].mean())
        if poor.any()
        else None,
        "rank_correlation_with_dice": _rank_correlation(scores, dices),
    }


def _rank_correlation(a, b) -> float | None:
    """Spearman's; None where one of the two does not vary."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)
