import numpy as np
import pytest

from tests.measures.shapes import EVEN, KITS, ball, ellipsoid, grid, turned, world
from vnet_jax.ct.geometry import Grid
from vnet_jax.measures.axial import axial


def test_a_box_by_hand():
    mask = np.zeros((6, 30, 30), bool)
    mask[1:3, 5:10, 5:10] = True
    mask[3, 5:14, 5:20] = True  # the longest: 8 and 14 steps of 0.5 and 2 mm
    found = axial(mask, Grid(mask.shape, np.diag([2.0, 0.5, 4.0, 1])))
    # The third axis is the one along z: slice 5 of it is the first with all rows.
    assert found.slice in range(5, 20)
    g = Grid(
        mask.shape,
        np.array([[0, 0, 2, 0], [0, 0.5, 0, 0], [3, 0, 0, 0.0], [0, 0, 0, 1]]),
    )
    found = axial(mask, g)
    assert found.slice == 3
    assert found.longest_mm == pytest.approx(np.hypot(8 * 0.5, 14 * 2))
    # Across a 4 x 28 rectangle's diagonal, from a corner: 4 / cos of its slope.
    assert found.across_mm == pytest.approx(4 / np.cos(np.arctan2(4, 28)))
    low, high = sorted(found.ends_mm)
    assert high == pytest.approx((38, low[1] + 4, 9)) or high == pytest.approx(
        (38, low[1] - 4, 9)
    )


@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_an_ellipsoid_has_its_axes(spacing):
    g = grid((60, 80, 80), spacing)
    found = axial(ellipsoid(g, (30, 18, 24)), g)  # x, y, z
    step = spacing[2]
    assert found.longest_mm == pytest.approx(60, abs=1.5 * step)
    assert found.across_mm == pytest.approx(36, abs=1.5 * step)
    assert g.to_mm((found.slice, 0, 0))[2] == pytest.approx(0, abs=3)
    assert abs(found.ends_mm[0][0] - found.ends_mm[1][0]) == pytest.approx(
        60, abs=1.5 * step
    )


def test_a_slanted_bar_is_measured_along_and_across_itself():
    g = grid((20, 90, 90), (2.0, 0.5, 0.5))
    x, y, z = world(g)
    along, across = (x + 2 * y) / np.sqrt(5), (2 * x - y) / np.sqrt(5)
    bar = (np.abs(along) <= 30) & (np.abs(across) <= 6) & (np.abs(z) <= 5)
    found = axial(bar, g)
    assert found.longest_mm == pytest.approx(np.hypot(60, 12), abs=1)
    assert found.across_mm == pytest.approx(12 / np.cos(np.arctan2(12, 60)), abs=1)


@pytest.mark.parametrize(
    ("order", "flips"), [((2, 1, 0), (1, 1, 1)), ((1, 2, 0), (-1, 1, -1))]
)
def test_no_number_depends_on_the_axes(order, flips):
    g = grid((40, 50, 60), KITS)
    mask = ellipsoid(g, (22, 15, 12), (3, -2, 4)) | ball(g, 6, (-15, 8, 4))
    want = axial(mask, g)
    v = turned(mask, g, order, flips)
    got = axial(v.array, v.grid)
    assert got.longest_mm == pytest.approx(want.longest_mm)
    assert got.across_mm == pytest.approx(want.across_mm)
    assert sorted(got.ends_mm)[0] == pytest.approx(sorted(want.ends_mm)[0])


def test_the_least_there_is():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    g = grid((15, 3.9, 3.9), KITS)
    found = axial(mask, g)
    assert (found.longest_mm, found.across_mm) == pytest.approx((0.78, 0.78))
    mask[2, 2, 1:4] = True  # a line
    found = axial(mask, g)
    assert (found.longest_mm, found.across_mm) == pytest.approx((1.56, 0.78))
