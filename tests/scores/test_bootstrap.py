import numpy as np
import pytest

from vnet_jax.scores import bootstrap
from vnet_jax.scores.bootstrap import mean_interval, ratio_interval


def test_one_case_is_its_own_interval():
    assert mean_interval([0.7], seed=0) == (0.7, 0.7, 0.7)


def test_two_cases_by_hand():
    # Resampled means are 0, 0.5, 1 with probabilities 1/4, 1/2, 1/4: both tails of
    # 2.5 % lie at the ends; in the middle 40 % every mean is 0.5.
    assert mean_interval([0.0, 1.0], seed=0) == (0.5, 0.0, 1.0)
    assert mean_interval([0.0, 1.0], seed=0, level=0.4) == (0.5, 0.5, 0.5)


def test_equals_the_normal_interval_for_many_cases():
    values = np.random.default_rng(1).normal(0.8, 0.1, 400)
    mean, low, high = mean_interval(values, seed=2)
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=5e-4)
    assert high == pytest.approx(mean + half, abs=5e-4)


def test_the_seed_decides():
    values = np.random.default_rng(3).random(9)
    assert mean_interval(values, 4) == mean_interval(values, 4)
    assert mean_interval(values, 4) != mean_interval(values, 5)


def test_blocks_cover_all_draws(monkeypatch):
    monkeypatch.setattr(
        bootstrap, "BLOCK", 7 * 3
    )  # 3 rows at a time, 10000 = 3 * 3333 + 1
    means = bootstrap._resampled_means(np.arange(7.0), seed=0)
    assert means.shape == (bootstrap.DRAWS,)
    assert means.mean() == pytest.approx(3.0, abs=0.03)


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [[0.1, 0.2]]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match=r"value|finite"):
        mean_interval(values, seed=0)


def test_a_level_that_is_a_percentage_is_refused():
    with pytest.raises(ValueError, match="95"):
        mean_interval([0.1, 0.2], seed=0, level=95)


def test_a_ratio_draws_cases_not_parts():
    # Draws of 2 cases: (1/1 twice), (0/3 twice) or both, 1/4, with chances 1/4 1/4 1/2.
    assert ratio_interval([1, 0], [1, 3], seed=0) == (0.25, 0.0, 1.0)
    assert ratio_interval([1, 0], [1, 3], seed=0, level=0.4) == (0.25, 0.25, 0.25)


def test_a_ratio_leaves_out_draws_without_any_whole():
    assert ratio_interval([1, 0], [1, 0], seed=0) == (1.0, 1.0, 1.0)
    assert ratio_interval([0, 0], [0, 0], seed=0) is None
