import numpy as np
import pytest

from vnet_jax.experiments.calibration import calibrate, review_limit
from vnet_jax.inference.confidence import STRUCTURES, intervals


def cases(n, seed):
    """Volumes that are off by more where the confidence is low; Dice alike."""
    rng = np.random.default_rng(seed)
    rows, dices = [], []
    for _ in range(n):
        sure = rng.uniform(0.3, 1)
        score = dict.fromkeys(("kidney", "tumour", "score"), sure)
        true = {volume: rng.lognormal(3, 1) for volume in STRUCTURES}
        predicted = {
            volume: max(0.0, (ml + 1) * np.exp(rng.normal() * (1.1 - sure)) - 1)
            for volume, ml in true.items()
        }
        rows.append((predicted, true, score))
        dices.append(np.clip(sure + rng.normal(0, 0.1), 0, 1))
    return rows, dices


def test_new_cases_are_covered_and_the_report_says_how_many():
    rows, dices = cases(150, 0)
    calibration, report = calibrate(rows, dices, 0.7)
    new, _ = cases(400, 1)
    for volume in STRUCTURES:
        inside = []
        for predicted, true, score in new:
            low, high = intervals(predicted, score, calibration)[volume]
            inside.append(low <= true[volume] <= high)
        assert np.mean(inside) >= 0.9 - 0.05
        told = report["volumes_ml"][volume]
        assert told["coverage_leave_one_out"] == pytest.approx(0.9, abs=0.02)
        assert told["median_width_ml"] > 0


def test_nine_in_ten_poor_cases_are_flagged():
    rows, dices = cases(150, 2)
    calibration, report = calibrate(rows, dices, 0.7)
    new, new_dices = cases(400, 3)
    scores = np.array([score["score"] for _, _, score in new])
    poor = np.array(new_dices) < 0.7
    flagged = scores <= calibration.review_at_most
    assert flagged[poor].mean() >= 0.85
    assert flagged[~poor].mean() < 0.5
    review = report["review"]
    assert review["rule"] == "9 in 10 poor cases"
    assert review["poor_flagged_leave_one_out"] == pytest.approx(0.9, abs=0.03)
    assert review["rank_correlation_with_dice"] > 0.7


def test_with_few_poor_cases_the_lowest_tenth_is_flagged():
    scores = np.linspace(0, 1, 20)
    assert review_limit(scores, scores < 0.3) == scores[1]  # 21 / 10: two of them
    assert review_limit(scores[:8], scores[:8] < 0) is None
    rows, _ = cases(20, 4)
    _, report = calibrate(rows, np.ones(20), 0.7)
    review = report["review"]
    assert review["rule"] == "the lowest tenth of all cases"
    assert review["poor_flagged_leave_one_out"] is None
    assert review["rank_correlation_with_dice"] is None
    assert review["flagged_leave_one_out"] == pytest.approx(0.1, abs=0.06)


def test_a_kidney_that_is_missed_counts_as_0_ml():
    rows, dices = cases(20, 5)
    found, _ = calibrate(rows, dices, 0.7)
    for predicted, _, _ in rows[:5]:
        predicted["kidney_left"] = None
    missed, _ = calibrate(rows, dices, 0.7)
    assert missed.residuals["kidney_left"] > found.residuals["kidney_left"]
    assert missed.residuals["kidney_right"] == found.residuals["kidney_right"]
