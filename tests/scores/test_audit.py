import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.scores.audit import compare, largest_region, ranked

GRID = Grid((20, 20, 20), np.diag([10.0, 10.0, 10.0, 1.0]))  # a voxel is 1 ml


def label() -> np.ndarray:
    """Two kidneys of 6 x 6 x 6, a tumour of 3 x 3 x 3 in the first."""
    array = np.zeros(GRID.shape, np.uint8)
    array[2:8, 2:8, 2:8] = array[12:18, 12:18, 12:18] = 1
    array[3:6, 3:6, 3:6] = 2
    return array


def test_two_equal_masks_have_nothing_to_tell():
    facts = compare(label(), label(), GRID)
    assert facts["disagreement"] == 0
    assert facts["region"] is None and facts["reasons"] == []
    assert facts["label_ml"] == {"kidney": 432.0, "tumour": 27.0}
    assert facts["only_label_ml"] == {"kidney": 0.0, "tumour": 0.0}


def test_a_label_without_its_tumour():
    predicted, wrong = label(), np.minimum(label(), 1)
    facts = compare(predicted, wrong, GRID)
    assert facts["disagreement"] == 0.5  # kidney Dice 1, tumour Dice 0
    assert facts["only_prediction_ml"] == {"kidney": 0.0, "tumour": 27.0}
    assert facts["region"]["ml"] == 27
    assert facts["region"]["centre_mm"] == [40.0, 40.0, 40.0]
    assert facts["reasons"][0] == "no tumour in the label, 27.0 ml predicted"
    assert facts["reasons"][1].endswith("labelled kidney, predicted tumour")


def test_a_kidney_that_the_label_lacks_counts_more_than_a_wider_contour():
    predicted, wrong = label(), label()
    wrong[12:18, 12:18, 12:18] = 0  # 216 ml
    predicted[1:9, 1:9, 1:9] = np.maximum(predicted[1:9, 1:9, 1:9], 1)  # shell: 296 ml
    region = largest_region(predicted, wrong)
    assert region[12:18, 12:18, 12:18].all() and region.sum() == 216
    assert compare(predicted, wrong, GRID)["region"]["label"] == "background"


def test_a_shell_is_shown_where_there_is_nothing_else():
    predicted = label()
    predicted[1:9, 1:9, 1:9] = np.maximum(predicted[1:9, 1:9, 1:9], 1)
    assert np.count_nonzero(largest_region(predicted, label())) == 8**3 - 6**3


def test_the_largest_disagreement_comes_first_and_ties_by_id():
    cases = [
        {"id": name, "disagreement": value}
        for name, value in (("b", 0.2), ("c", 0.9), ("a", 0.2))
    ]
    assert [(c["rank"], c["id"]) for c in ranked(cases)] == [
        (1, "c"),
        (2, "a"),
        (3, "b"),
    ]


def test_a_spoilt_label_is_found_among_good_ones():
    rng = np.random.default_rng(0)
    cases = []
    for number in range(8):
        truth = label()
        predicted = np.roll(truth, rng.integers(0, 2, 3), (0, 1, 2))
        if number == 5:
            truth[2:8] = 0  # somebody forgot the first kidney, with its tumour
        cases.append({"id": str(number), **compare(predicted, truth, GRID)})
    first = ranked(cases)[0]
    assert first["id"] == "5"
    assert "no tumour in the label, 27.0 ml predicted" in first["reasons"]


def test_shapes_must_match():
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(label()[1:], label(), GRID)
