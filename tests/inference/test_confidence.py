import json

import numpy as np
import pytest

from vnet_jax.inference import confidence as c

SURE = {"kidney": 1.0, "tumour": 1.0, "score": 1.0}
VOLUMES = {
    "kidney_left": 150.0,
    "kidney_right": None,
    "kidney_left_with_tumour": 160.0,
    "kidney_right_with_tumour": None,
    "tumour": 10.0,
}
FACTS = {"status": "ok", "warnings": [], "volumes_ml": VOLUMES}


def softmax(kidney, tumour):
    """(4, 1, 1, 3) probabilities of four voxels."""
    kidney, tumour = np.array(kidney), np.array(tumour)
    p = np.stack([1 - kidney - tumour, kidney, tumour], axis=-1)
    return p[:, None, None].astype(np.float32)


def test_by_hand():
    got = c.confidence(softmax([0.9, 0.6, 0.2, 0.1], [0.05, 0.3, 0.7, 0.0]))
    # Kidney and tumour: 0.95, 0.9, 0.9 inside, 0.1 outside; tumour: 0.7 inside.
    assert got["kidney"] == pytest.approx(2 * 2.75 / (3 + 2.85))
    assert got["tumour"] == pytest.approx(2 * 0.7 / (1 + 1.05))
    assert got["score"] == pytest.approx((got["kidney"] + got["tumour"]) / 2)


def test_an_empty_mask_is_as_sure_as_its_likeliest_voxel_is_not():
    got = c.confidence(softmax([0.9, 0.6, 0.2, 0.1], [0.05, 0.3, 0.0, 0.0]))
    assert got["tumour"] == pytest.approx(0.7)
    sure = c.confidence(softmax([1, 1, 0, 0], [0, 0, 0, 0]))
    assert sure == SURE


def test_the_soft_dice_is_the_dice_to_expect():
    """Truths drawn from the probabilities score what the softmax promises."""
    rng = np.random.default_rng(0)
    p = np.clip(rng.beta(0.3, 0.3, (20, 20, 20)), 0, 1).astype(np.float32)
    got = c.confidence(np.stack([1 - p, p, 0 * p], axis=-1))["kidney"]
    mask = p > 0.5
    truths = (rng.random(p.shape) < p for _ in range(50))
    dices = [2 * (mask & t).sum() / (mask.sum() + t.sum()) for t in truths]
    assert got == pytest.approx(np.mean(dices), abs=0.01)


def test_intervals_are_wide_where_the_case_is_doubtful():
    calibration = c.Calibration(dict.fromkeys(c.STRUCTURES, 1.0), 0.5, 20)
    sure = c.intervals(VOLUMES, SURE, calibration)
    doubtful = c.intervals(VOLUMES, {**SURE, "tumour": 0.5}, calibration)
    assert sure["tumour"] == pytest.approx(
        [11 / np.exp(0.05) - 1, 11 * np.exp(0.05) - 1], abs=1e-3
    )
    assert doubtful["tumour"][0] < sure["tumour"][0]
    assert doubtful["tumour"][1] > sure["tumour"][1]
    assert doubtful["kidney_left"] == sure["kidney_left"]
    assert sure["kidney_right"][0] == 0  # not found: as if 0 ml


def test_without_a_calibration_nothing_is_claimed():
    got = c.assess(FACTS, SURE, None)
    assert got["intervals_ml"] is None
    assert got["confidence"] == {**SURE, "calibrated": False, "note": "not calibrated"}
    assert got["review"] == {"flag": False, "reasons": []}
    assert c.assess(FACTS, SURE, None, "why")["confidence"]["note"] == "why"


def test_too_few_cases_are_said():
    few = c.Calibration(dict.fromkeys(c.STRUCTURES), None, 5)
    got = c.assess(FACTS, SURE, few)
    assert got["intervals_ml"]["tumour"] is None
    assert "too few" in got["confidence"]["note"]
    json.dumps(got, allow_nan=False)


def test_reasons():
    calibration = c.Calibration({"tumour": 1.0, "kidney_left": 1.0}, 0.6, 20)
    low = {"kidney": 0.7, "tumour": 0.5, "score": 0.6}
    assert c.assess(FACTS, low, calibration)["review"] == {
        "flag": True,
        "reasons": ["low_confidence", "wide_interval"],
    }
    assert not c.assess(FACTS, SURE, calibration)["review"]["flag"]
    warned = {**FACTS, "status": "no_kidney", "warnings": [{"code": "incomplete"}]}
    got = c.assess(warned, None, calibration)
    assert got["review"]["reasons"] == ["no_kidney", "incomplete"]
    assert got["confidence"]["note"] == "no kidney"
    assert got["confidence"]["score"] is None
