import numpy as np
import pytest

from vnet_jax.measures.matching import balls, match


def groups(overlap, gap, before, after):
    return [(g.kind, g.before, g.after) for g in match(overlap, gap, before, after)]


def test_overlap_decides():
    overlap = [[0, 8.0], [1.0, 0]]
    assert groups(overlap, np.zeros((2, 2)), [10, 2], [3, 12]) == [
        ("matched", (0,), (1,)),
        ("matched", (1,), (0,)),
    ]


def test_near_ones_are_one_and_far_ones_are_not():
    far = np.inf
    assert groups([[0.0]], [[4.0]], [1], [1]) == [("matched", (0,), (0,))]
    assert groups([[0.0]], [[40.0]], [2], [1]) == [
        ("gone", (0,), ()),
        ("new", (), (0,)),
    ]
    assert groups([[0.0]], [[far]], [2], [1])[0][0] == "gone"


def test_two_neighbours_are_not_taken_for_a_split():
    # Both of each date lie within NEAR_MM of both of the other.
    overlap, gap = [[4.0, 0], [0, 3.0]], [[0, 5.0], [5.0, 0]]
    assert [g[0] for g in groups(overlap, gap, [5, 4], [6, 5])] == ["matched"] * 2


def test_split_merged_and_mixed():
    assert groups([[5.0, 3.0]], [[0, 0]], [10], [5, 3]) == [("split", (0,), (0, 1))]
    assert groups([[5.0], [3.0]], [[0], [0]], [5, 3], [10]) == [
        ("merged", (0, 1), (0,))
    ]
    overlap = [[5.0, 3.0, 0], [0, 4.0, 3.5]]
    assert groups(overlap, np.zeros((2, 3)), [9, 8], [5, 7, 4])[0][0] in (
        "split",
        "mixed",
    )


def test_nothing_at_all():
    assert match(np.zeros((0, 0)), np.zeros((0, 0)), [], []) == []
    assert groups(np.zeros((0, 2)), np.zeros((0, 2)), [], [1, 2]) == [
        ("new", (), (1,)),
        ("new", (), (0,)),
    ]


def test_balls_share_what_geometry_says():
    ml = 4 / 3 * np.pi * 10**3 / 1000  # a ball of 10 mm radius
    overlap, gap = balls(
        [(0, 0, 0)], [ml], [(10, 0, 0), (0, 0, 0), (25, 0, 0)], [ml] * 3
    )
    lens = np.pi * (4 * 10 + 10) * (2 * 10 - 10) ** 2 / 12 / 1000
    assert overlap[0] == pytest.approx([lens, ml, 0])
    assert gap[0] == pytest.approx([0, 0, 5])
    inner, _ = balls([(2, 0, 0)], [ml / 8], [(0, 0, 0)], [ml])
    assert inner[0, 0] == pytest.approx(ml / 8)
