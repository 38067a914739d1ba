import numpy as np
import pytest

from vnet_jax.scores import dice
from vnet_jax.scores.challenges import CHALLENGES


def line(*values):
    return np.array(values).reshape(1, 1, -1)


def test_half_overlap_by_hand():
    # 2 and 2 voxels, 1 shared: 2 * 1 / 4
    assert dice.dice(line(1, 1, 0, 0), line(0, 1, 1, 0)) == 0.5


def test_unequal_sizes_by_hand():
    # 3 and 1 voxels, 1 shared: 2 * 1 / 4; intersection over union would be 1/3
    assert dice.dice(line(1, 1, 1, 0), line(0, 1, 0, 0)) == 0.5


@pytest.mark.parametrize(
    ("a", "b", "score"), [((0, 0), (0, 0), 1.0), ((0, 0), (1, 0), 0.0)]
)
def test_empty_masks(a, b, score):
    assert dice.dice(line(*a), line(*b)) == score
    assert dice.dice(line(*b), line(*a)) == score


def test_kidney_of_kits19_includes_the_tumour():
    truth = line(0, 1, 1, 2, 2, 0)
    taken_for_kidney = line(0, 1, 1, 1, 1, 0)
    scores = dice.kits19(taken_for_kidney, truth)
    assert scores == {"kidney": 1.0, "tumour": 0.0, "mean": 0.5}
    # class 1 alone: 4 and 2 voxels, 2 shared: 2 * 2 / 6
    assert dice.kidney_alone(taken_for_kidney, truth) == pytest.approx(2 / 3)


def test_case_without_tumour_scores_one_when_none_is_predicted():
    truth = line(1, 1, 0)
    assert dice.kits19(truth, truth)["tumour"] == 1.0
    assert dice.kits19(line(1, 2, 0), truth) == {
        "kidney": 1.0,
        "tumour": 0.0,
        "mean": 0.5,
    }


def test_agrees_with_the_challenges_formula_on_noise():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 7, 8, 9))
    scores = dice.kits19(a, b)
    for name, above in (("kidney", 0), ("tumour", 1)):
        p, t = (set(np.flatnonzero(x > above)) for x in (a, b))
        assert scores[name] == pytest.approx(2 * len(p & t) / (len(p) + len(t)))


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4\) and \(4, 4\)"):
        dice.dice(np.ones((1, 4)), np.ones((4, 4)))


def test_a_cyst_is_kidney_and_no_tumour():
    truth, prediction = line(1, 1, 2, 2, 3, 3), line(1, 1, 2, 3, 3, 0)
    scores = dice.kits19(prediction, truth)
    assert scores["kidney"] == pytest.approx(10 / 11)
    assert scores["tumour"] == pytest.approx(2 / 3)  # 1 and 2 voxels, 1 shared


def test_kits23_has_three_regions():
    truth, prediction = line(1, 1, 2, 2, 3, 3), line(1, 1, 2, 3, 3, 0)
    scores = dice.of_regions(prediction, truth, CHALLENGES["kits23"])
    assert scores == pytest.approx(
        dict(
            kidney_and_masses=10 / 11,
            masses=6 / 7,  # 3 and 4 voxels, 3 shared
            tumour=2 / 3,
            mean=(10 / 11 + 6 / 7 + 2 / 3) / 3,
        )
    )
