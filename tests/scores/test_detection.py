import numpy as np
import pytest

from vnet_jax.scores import detection
from vnet_jax.scores.detection import lesions


def mask(*boxes):
    out = np.zeros((12, 40, 40), bool)
    for z, y, x, n in boxes:
        out[z : z + n, y : y + n, x : x + n] = True
    return out


def match(prediction, truth, voxel_ml=0.01, **options):
    return lesions(prediction, truth, voxel_ml, **options)


def test_found_missed_and_false():
    truth = mask((0, 0, 0, 4), (0, 20, 20, 5))
    found = match(mask((1, 0, 0, 4), (0, 0, 30, 3)), truth)
    assert [t["ml"] for t in found["true"]] == pytest.approx([1.25, 0.64])
    # 48 of 64 voxels shared: 48 / 80
    assert [t["iou"] for t in found["true"]] == pytest.approx([0, 0.6])
    assert [f["ml"] for f in found["false"]] == pytest.approx([0.27])
    # a ball of 0.27 ml
    assert found["false"][0]["diameter_mm"] == pytest.approx(8.02, abs=0.01)


def test_a_touch_is_no_find():
    truth, prediction = mask((0, 0, 0, 5)), mask((4, 4, 4, 5))  # 1 of 249 voxels
    found = match(prediction, truth)
    assert found["true"][0]["iou"] == 0
    assert len(found["false"]) == 1
    assert match(prediction, truth, least_iou=1e-9)["true"][0]["iou"] > 0


def test_one_finding_over_two_tumours_finds_the_better_one():
    truth = mask((0, 0, 0, 4), (0, 0, 6, 5))
    merged = np.zeros_like(truth)
    merged[:5, :5, :11] = True
    found = match(merged, truth)
    assert [t["iou"] > 0 for t in found["true"]] == [True, False]
    assert found["false"] == []


def test_pairs_are_chosen_for_the_sum_of_overlaps():
    """Greedy by the best pair would leave the other true tumour without a partner."""
    row = np.zeros((2, 1, 1, 40), bool)
    truth, prediction = row
    truth[0, 0, 0:10], truth[0, 0, 12:22] = True, True
    prediction[0, 0, 5:11], prediction[0, 0, 13:30] = True, True
    found = match(prediction, truth, voxel_ml=1)
    assert [t["iou"] > 0 for t in found["true"]] == [True, True]


def test_corners_connect_and_specks_are_left_out():
    truth = mask((0, 0, 0, 3), (3, 3, 3, 3), (0, 20, 20, 1))
    found = match(truth, truth)
    assert [(t["ml"], t["iou"]) for t in found["true"]] == [(0.54, 1.0)]
    assert found["false"] == []
    assert len(match(truth, truth, least_ml=0)["true"]) == 2


def test_nothing_there():
    none = mask()
    assert match(none, none) == {"true": [], "false": []}
    assert len(match(none, mask((0, 0, 0, 3)))["true"]) == 1
    assert len(match(mask((0, 0, 0, 3)), none)["false"]) == 1


def lesion(diameter_mm, iou=0.0):
    return {"ml": 1.0, "diameter_mm": diameter_mm, "iou": iou}


def test_summary_by_size():
    cases = [
        {"true": [lesion(10), lesion(30, 0.5)], "false": [lesion(10), lesion(10)]},
        {"true": [lesion(20, 0.2)], "false": []},
        {"true": [], "false": [lesion(70)]},
    ]
    summary = detection.summarise(cases, seed=0)
    assert list(summary) == [
        *("all", "below 20 mm", "20 to 40 mm", "40 to 70 mm", "70 mm and more")
    ]
    assert summary["all"]["sensitivity"]["mean"] == pytest.approx(2 / 3)
    assert summary["all"]["sensitivity"]["n"] == 3
    assert summary["all"]["false_positives_per_case"]["mean"] == 1
    assert summary["below 20 mm"]["sensitivity"]["mean"] == 0
    assert summary["below 20 mm"]["false_positives"] == 2
    assert summary["20 to 40 mm"]["found"] == 2
    assert summary["40 to 70 mm"]["sensitivity"] is None
    assert summary["70 mm and more"]["false_positives"] == 1
