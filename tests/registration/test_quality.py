import dataclasses

import numpy as np
import pytest

from vnet_jax.registration.quality import Quality, measure, refusal, similarity

GOOD = Quality(0.2, 0.4, 0.6, 0.3, 0.4, 0.7, 0.1, 3.0, 0.0, 1.2, 1.1)


def test_similarity_is_the_correlation_of_what_is_clipped():
    rng = np.random.default_rng(0)
    a = rng.uniform(-200, 200, (4, 5, 6))
    b = a + rng.normal(0, 50, a.shape)
    assert similarity(a, b) == pytest.approx(
        np.corrcoef(a.ravel(), np.clip(b, -250, 250).ravel())[0, 1]
    )
    bone, metal = a.copy(), a.copy()
    bone[0, 0, 0], metal[0, 0, 0] = 300, 3000
    assert similarity(bone, metal) == pytest.approx(1)
    assert similarity(a, -a) == pytest.approx(-1)
    assert similarity(a, np.full_like(a, 40)) == 0


def test_measures_by_hand():
    label = np.zeros((2, 4, 4), np.uint8)
    label[0, :2, :4] = 1  # 8 voxels
    moved = np.zeros_like(label)
    moved[0, :2, :2] = 2  # 4 of them
    image = np.arange(32.0).reshape(label.shape)
    jacobian = np.ones(label.shape, np.float32)
    jacobian[0, 0, 0], jacobian[1, 3, 3] = -0.5, 4
    floating = np.zeros((3, 4, 4), np.uint8)
    floating[0, 0, :2], floating[1, 0, :3] = 2, 1
    same = (image, label)
    quality = measure(same, [same, same, (-image, moved)], jacobian, floating)
    assert quality.similarity_before == pytest.approx(1)
    assert quality.similarity == pytest.approx(-1)
    assert (quality.dice_affine, quality.dice) == (1, 2 * 4 / 12)
    assert (quality.jacobian_min, quality.jacobian_max) == (-0.5, 4)
    assert quality.folded == 1 / 32
    assert (quality.tumour_ratio, quality.kidney_ratio) == (2, 4 / 5)
    assert quality.facts()["dice"] == 0.6667


def test_a_good_pair_is_kept():
    assert refusal(GOOD) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"jacobian_min": 0.0, "folded": 1e-6}, "folds"),
        ({"jacobian_min": -3.0, "folded": 0.1}, "folds"),
        ({"jacobian_min": float("nan")}, "not finite"),
        ({"similarity": float("nan")}, "not finite"),
        ({"tumour_ratio": 0.49}, "tumour volume x 0.49"),
        ({"tumour_ratio": 2.01}, "tumour volume x 2.01"),
        ({"similarity": 0.4}, "not better than affine"),
    ],
)
def test_a_bad_pair_is_refused(change, reason):
    assert reason in refusal(dataclasses.replace(GOOD, **change))


@pytest.mark.parametrize("ratio", [0.5, 2.0, None])
def test_the_ends_of_the_tumours_range_are_in(ratio):
    quality = dataclasses.replace(GOOD, tumour_ratio=ratio)
    assert refusal(quality) == ""
    assert quality.facts()["tumour_ratio"] == ratio
