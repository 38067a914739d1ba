import numpy as np
import pytest
from scipy import stats

from vnet_jax.scores import paired


def test_by_hand():
    """Three differences of one sign: 2 of the 8 sign patterns are as extreme."""
    tests = paired.compare(
        {"dice": {"a": 0.9, "b": 0.8, "c": 0.7, "own": 0.1}},
        {"dice": {"a": 0.8, "b": 0.6, "c": 0.6}, "other": {"a": 1}},
        seed=0,
    )
    found = tests["dice"]
    assert list(tests) == ["dice"]
    assert (found["n"], found["higher"], found["lower"]) == (3, 3, 0)
    assert found["first"] == pytest.approx(0.8)
    assert found["difference"]["mean"] == pytest.approx(0.4 / 3)
    assert found["difference"]["low"] == pytest.approx(0.1)
    assert found["p"] == found["p_holm"] == 0.25


@pytest.mark.parametrize("n", [9, 40])
def test_agrees_with_scipys_permutation_test(n):
    rng = np.random.default_rng(n)
    differences = rng.normal(0.3, 1, n)
    theirs = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=1,
    )
    ours = paired.sign_flip(differences, seed=2)
    assert ours == pytest.approx(theirs.pvalue, abs=1e-12 if n == 9 else 0.015)


def test_equal_folders_differ_in_nothing():
    values = {"dice": {str(i): 0.1 * i for i in range(30)}}
    found = paired.compare(values, values, seed=0)["dice"]
    assert (found["p"], found["equal"]) == (1.0, 30)


def test_many_equal_cases_leave_the_test_exact():
    differences = np.array([0.0] * 50 + [1.0] * 5)
    assert paired.sign_flip(differences, seed=0) == 2 / 32


def test_alike_folders_are_called_different_as_often_as_said():
    rng = np.random.default_rng(0)
    p = [paired.sign_flip(rng.normal(size=10), seed=0) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_holm_by_hand():
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired.holm([0.6, 0.9]) == [1.0, 1.0]
    assert paired.holm([]) == []
