import numpy as np
import pytest

from vnet_jax.data.phantom import draw_case
from vnet_jax.data.phantom_contrast import PHASES, TUMOURS, pick
from vnet_jax.data.phantom_kidney import SIZES, TUMOUR_ML, TumourSizes
from vnet_jax.data.phantom_strata import STRATA, even_draws


def table(seed, count):
    return np.array([list(even_draws((seed, k)).values()) for k in range(count)])


@pytest.mark.parametrize("count", [2, 4, 8, 16, 64])
@pytest.mark.parametrize("seed", [0, 1, 2, 11])
def test_every_part_of_each_range_is_drawn_once(seed, count):
    cells = np.floor(table(seed, count) * count)
    for column in cells.T:
        assert sorted(column) == list(range(count))


def test_strata_are_independent_of_each_other():
    corners = [tuple(row) for row in (table(3, 64) * 2).astype(int)]
    assert {corners.count(corner) for corner in set(corners)} == {4}
    assert len(set(corners)) == 2 ** len(STRATA)


def test_draws_follow_from_the_seed_and_differ_between_seeds():
    assert even_draws((0, 5)) == even_draws((0, 5))
    assert even_draws((0, 5)) != even_draws((1, 5))
    assert even_draws(5) == even_draws([5])
    assert list(even_draws(0)) == list(STRATA)
    frozen = {"phase": 0.6724, "kind": 0.8215, "volume": 0.5995, "depth": 0.8908}
    assert even_draws(7) == pytest.approx(frozen, abs=1e-4)


def test_pick_gives_each_name_its_share():
    places = (np.arange(1000) + 0.5) / 1000
    names = [pick(PHASES, at) for at in places]
    for phase, share in PHASES.items():
        assert names.count(phase) == pytest.approx(1000 * share, abs=1)
    assert pick(PHASES, 0.0) == "arterial"
    assert pick(PHASES, 1.0) == "excretory"


def test_volumes_are_log_normal_within_their_limits():
    low, high, median = TUMOUR_ML
    assert SIZES.volume_ml(0.5) == pytest.approx(median)
    assert SIZES.volume_ml(0.8413) == pytest.approx(median * np.exp(1.1), rel=1e-3)
    assert SIZES.volume_ml(0.0) == low
    assert SIZES.volume_ml(1.0) == high


def test_tumours_are_as_large_as_asked_for():
    def drawn(median_ml):
        sizes = TumourSizes(median_ml, 0.1, 1, 1000)
        record = draw_case(3, (6.0, 4.0, 4.0), sizes=sizes)[-1]
        return sum(tumour["volume_ml"] for tumour in record["tumours"])

    assert drawn(2) < 10 < 100 < drawn(300)


def test_the_first_tumours_of_a_data_set_are_of_all_kinds_in_all_phases():
    shares = {kind: share for kind, (share, _, _) in TUMOURS.items()}
    drawn = [even_draws((1, k)) for k in range(4)]
    kinds = {pick(shares, draw["kind"]) for draw in drawn}
    assert len(kinds) >= 2
    record = draw_case((1, 2), (6.0, 10.0, 10.0), (144, 320, 320))[-1]
    assert record["tumours"][0]["kind"] == pick(shares, drawn[2]["kind"])
    assert record["contrast_phase"] == pick(PHASES, drawn[2]["phase"])
