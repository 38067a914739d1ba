import numpy as np
import pytest

from vnet_jax.scores.conformal import (
    covered_without,
    quantile,
    ratio_interval,
    ratio_residual,
)


@pytest.mark.parametrize(
    ("n", "level", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (4, 0.8, 4)]
)
def test_the_rank_by_hand(n, level, rank):
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert quantile(values, level) == rank


@pytest.mark.parametrize(("n", "level"), [(8, 0.9), (0, 0.9), (3, 0.8), (18, 0.95)])
def test_too_few_cases_give_no_interval(n, level):
    assert quantile(np.arange(float(n)), level) is None
    assert covered_without(np.arange(float(n)), level) is None


@pytest.mark.parametrize("n", [9, 20, 57])
def test_a_new_case_is_covered_with_the_stated_chance(n):
    """Exchangeable cases whose errors have heavy tails and grow with the doubt."""
    rng = np.random.default_rng(n)
    draws, covered = 3000, 0
    for _ in range(draws):
        doubt = rng.uniform(0.05, 1, n + 1)
        true = rng.lognormal(3, 1.5, n + 1) * rng.integers(0, 2, n + 1)
        noise = doubt * rng.standard_t(2, n + 1)
        predicted = np.maximum((true + 1) * np.exp(0.3 * noise) - 1, 0)
        rows = list(zip(true, predicted, np.ones(n + 1), doubt, strict=True))
        limit = quantile([ratio_residual(*row) for row in rows[:-1]])
        low, high = ratio_interval(predicted[-1], limit, 1.0, doubt[-1])
        covered += low - 1e-9 <= true[-1] <= high + 1e-9
    # The chance is ceil(0.9 (n + 1)) / (n + 1); 3000 draws are within 0.02 of it.
    expected = np.ceil(0.9 * (n + 1) - 1e-9) / (n + 1)
    assert covered / draws >= 0.9 - 0.02
    assert covered / draws == pytest.approx(expected, abs=0.02)


def test_leaving_one_out_by_hand():
    # Without the 10, the largest of the others is 9: not covered. Any other one is.
    assert covered_without(np.arange(1.0, 11)) == pytest.approx(0.9)


def test_interval_and_residual_are_each_other_s_inverse():
    for predicted in (0.0, 3.0, 150.0):
        low, high = ratio_interval(predicted, 2.0, 1.0, 0.2)
        assert low <= predicted <= high
        assert ratio_residual(high, predicted, 1.0, 0.2) == pytest.approx(2.0)
        if low > 0:
            assert ratio_residual(low, predicted, 1.0, 0.2) == pytest.approx(2.0)
    assert ratio_interval(0.0, 0.0, 1.0, 0.2) == (0, 0)
    assert np.isfinite(ratio_interval(100.0, 1e6, 1.0, 1.0)).all()


def test_what_has_no_quantile_is_refused():
    with pytest.raises(ValueError, match="90"):
        quantile([1.0], 90)
    with pytest.raises(ValueError, match="finite"):
        quantile([1.0, np.inf])
