import pytest

from vnet_jax.errors import InputError
from vnet_jax.measures import growth


def test_days():
    assert growth.days_between("2024-01-05", "2025-02-01") == 393
    for before, after in [("2025-02-01", "2024-01-05"), ("2024-01-05", "2024-01-05")]:
        with pytest.raises(InputError, match="is not after"):
            growth.days_between(before, after)
    for bad in ("5.1.2024", "2024-13-01", "", "2024"):
        with pytest.raises(InputError, match="--dates"):
            growth.days_between(bad, "2025-02-01")


def test_a_change():
    got = growth.change(10.0, 13.0, 730)
    assert got == {
        "before": 10.0,
        "after": 13.0,
        "change": 3.0,
        "percent": 30.0,
        "a_year": pytest.approx(1.5, rel=1e-3),
    }
    assert growth.change(10.0, 13.0, None)["a_year"] is None
    assert growth.change(None, 13.0, 100)["change"] is None
    assert growth.change(0.0, 13.0, 100)["percent"] is None


def test_doubling():
    assert growth.doubling_days(2.0, 8.0, 400) == pytest.approx(200)
    for before, after, days in [(2, 2, 400), (2, 1, 400), (None, 2, 400), (2, 8, None)]:
        assert growth.doubling_days(before, after, days) is None
    assert growth.doubling_days(0.0, 8.0, 400) is None


def test_error():
    assert growth.within_error(3.0, 1.0)
    assert not growth.within_error(3.5, 1.0)
    assert growth.within_error(-4.5, 5.0)
    assert growth.within_error(None, 5.0) is None


def test_interval_of_a_change():
    before = {"level": 0.9, "tumour": [9, 12], "kidney_left": None}
    after = {"level": 0.9, "tumour": [14, 20], "kidney_left": [1, 2]}
    got = growth.interval_of_change(before, after, "tumour")
    assert (got["low_ml"], got["high_ml"], got["grown"], got["shrunk"]) == (
        2,
        11,
        True,
        False,
    )
    assert growth.interval_of_change(after, before, "tumour")["shrunk"]
    assert growth.interval_of_change(before, after, "kidney_left") is None
    assert growth.interval_of_change(None, after, "tumour") is None
