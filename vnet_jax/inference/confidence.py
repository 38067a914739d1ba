"""How far to trust a case: a score from the softmax, volume intervals, a flag.

The score needs nothing but the case. Interval and flag need a calibration, which
`bin/tune.py` makes on out-of-fold predictions; without one there is neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from vnet_jax.scores import conformal

#: Share of new cases like those calibrated on whose volume lies in the interval.
LEVEL = 0.9
#: Added to volumes before their ratio is taken: 1 ml is a ball of 12 mm, the smallest
#: tumour of KiTS19 has 0.8 ml.
OFFSET_ML = 1.0
#: Least doubt that an interval is scaled by: a softmax is often surer than right.
LEAST_DOUBT = 0.05
#: An interval whose ends differ by more than this factor is a reason to look.
WIDE = 2.0
#: Volumes of the summary -> the structure whose confidence scales their intervals.
#: The kidney is scored with its tumour, as KiTS19 does.
STRUCTURES = {
    "kidney_left": "kidney",
    "kidney_right": "kidney",
    "kidney_left_with_tumour": "kidney",
    "kidney_right_with_tumour": "kidney",
    "tumour": "tumour",
}
#: Warnings that are a reason to look at a case.
REASONS = ("incomplete", "box_cut", "no_contrast", "not_abdomen")


def confidence(probabilities: np.ndarray) -> dict[str, float]:
    """How good the likeliest labels are, as the softmax itself expects.

    For kidney (tumour included) and tumour the soft Dice of the mean probability with
    the mask that it gives: 2 sum(p in mask) / (|mask| + sum(p)). Where that mask is
    empty, Dice is 1 if the truth is empty too; that chance is at most 1 - max(p).
    Post-processing plays no part.

    Args:
        probabilities: (D, H, W, 3) float32, the mean over the ensemble.

    Returns:
        {"kidney", "tumour", "score"}: each in [0, 1], the score their mean.
    """
    labels = probabilities.argmax(axis=-1)
    kidney = _soft_dice(1 - probabilities[..., 0], labels > 0)
    tumour = _soft_dice(probabilities[..., 2], labels == 2)
    return {"kidney": kidney, "tumour": tumour, "score": (kidney + tumour) / 2}


def _soft_dice(chance: np.ndarray, mask: np.ndarray) -> float:
    inside = np.count_nonzero(mask)
    if not inside:
        return float(np.clip(1 - chance.max(), 0, 1))
    total = inside + chance.sum(dtype=np.float64)
    return float(np.clip(2 * chance[mask].sum(dtype=np.float64) / total, 0, 1))


@dataclass(frozen=True)
class Calibration:
    """What `bin/tune.py` learned from out-of-fold cases.

    Attributes:
        residuals: volume -> the `LEVEL` quantile of its residual; None where there were
            too few cases for one.
        review_at_most: scores up to this are to be reviewed; None where nothing was
            learned.
        cases: how many there were.
    """

    residuals: Mapping[str, float | None] = field(default_factory=dict)
    review_at_most: float | None = None
    cases: int = 0

    def as_dict(self) -> dict:
        """Plain types, for JSON."""
        return asdict(self)


def doubt(score: Mapping[str, float], volume: str) -> float:
    """What a volume's interval is scaled by: 1 - confidence, and a little more."""
    return 1 - score[STRUCTURES[volume]] + LEAST_DOUBT


def intervals(
    volumes_ml: Mapping[str, float | None],
    score: Mapping[str, float],
    calibration: Calibration,
) -> dict[str, list[float] | None]:
    """An interval of `LEVEL` for each volume.

    Args:
        volumes_ml: of the summary; None (a kidney that was not found) counts as 0.
        score: from `confidence`.
        calibration: from out-of-fold cases.

    Returns:
        [low, high] in ml; None where there were too few cases.
    """
    out = {}
    for volume, ml in volumes_ml.items():
        residual = calibration.residuals.get(volume)
        out[volume] = None
        if residual is not None:
            scale = doubt(score, volume)
            ends = conformal.ratio_interval(ml or 0.0, residual, OFFSET_ML, scale)
            out[volume] = [round(end, 3) for end in ends]
    return out


def assess(
    facts: Mapping,
    score: Mapping[str, float] | None,
    calibration: Calibration | None,
    why_not: str = "",
) -> dict:
    """The summary's fields on confidence.

    Args:
        facts: the summary so far: status, warnings and volumes.
        score: from `confidence`; None where there was nothing to see.
        calibration: None where there is none, or none that holds here.
        why_not: why there is none.

    Returns:
        "confidence", "intervals_ml" and "review"; `docs/summary.md` states them.
    """
    if calibration is None or score is None:
        found = None
        note = why_not or ("not calibrated" if calibration is None else "no kidney")
    else:
        found = intervals(facts["volumes_ml"], score, calibration)
        note = f"calibrated on {calibration.cases} out-of-fold cases"
        if None in found.values():
            note += ", too few for some intervals"
    reasons = _reasons(facts, score, calibration, found)
    return {
        "confidence": {
            **(score or dict.fromkeys(("kidney", "tumour", "score"))),
            "calibrated": found is not None,
            "note": note,
        },
        "intervals_ml": found and {"level": LEVEL, **found},
        "review": {"flag": bool(reasons), "reasons": reasons},
    }


def _reasons(facts, score, calibration, found) -> list[str]:
    """Why a person should look; without a calibration what needs none."""
    codes = {warning["code"] for warning in facts["warnings"]}
    reasons = ["no_kidney"] if facts["status"] == "no_kidney" else []
    reasons += [code for code in REASONS if code in codes]
    limit = calibration.review_at_most if calibration else None
    if score and limit is not None and score["score"] <= limit:
        reasons.append("low_confidence")
    if found and any(ends and _wide(ends) for ends in found.values()):
        reasons.append("wide_interval")
    return reasons


def _wide(ends: Sequence[float]) -> bool:
    """More than `WIDE` times apart; below 1 ml ratios mean nothing."""
    low, high = ends
    return high + OFFSET_ML > WIDE * (low + OFFSET_ML)
