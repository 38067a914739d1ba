import pytest

from vnet_jax.scores.volumes import agreement


def test_by_hand():
    found = agreement([11, 18, 3], [10, 20, 0], seed=0)
    assert found["bias_ml"]["mean"] == pytest.approx(2 / 3)
    # differences 1, -2, 3: variance ((1/3)^2 + (8/3)^2 + (7/3)^2) / 2 = 19 / 3
    half = 1.959964 * (19 / 3) ** 0.5
    assert found["limits_ml"] == pytest.approx([2 / 3 - half, 2 / 3 + half])
    assert found["absolute_ml"]["mean"] == 2
    assert found["absolute_percent"]["mean"] == pytest.approx(10)
    assert found["absolute_percent"]["n"] == 2  # the third case has none


def test_one_case_has_no_limits_and_no_true_volume_no_percent():
    found = agreement([5.0], [0.0], seed=0)
    assert found["limits_ml"] is None
    assert found["absolute_percent"] is None
    assert found["bias_ml"] == {"mean": 5, "low": 5, "high": 5, "n": 1}
