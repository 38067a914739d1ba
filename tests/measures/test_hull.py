import numpy as np
import pytest

from tests.measures.shapes import EVEN, KITS, ball, ellipsoid, grid, world
from vnet_jax.measures.hull import hull_of


def everywhere(hull, g, depth_mm=0.0):
    return hull.inside((0, 0, 0), g.shape, depth_mm)


@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_a_convex_body_is_its_own_hull(spacing):
    g = grid((50, 60, 70), spacing)
    body = ellipsoid(g, (28, 20, 22), (1, 2, -1))
    np.testing.assert_array_equal(everywhere(hull_of(body, (0, 0, 0), g), g), body)


def test_a_bowl_is_filled_and_a_box_of_it_is_cut_out_of_the_whole():
    g = grid((50, 50, 50), EVEN)
    whole = ball(g, 20)
    bowl = whole & ~ball(g, 12, (20, 0, 0))
    found = everywhere(hull_of(bowl, (0, 0, 0), g), g)
    assert (found & whole & ~bowl).sum() > 0.5 * (whole & ~bowl).sum()
    hull = hull_of(bowl[5:, 3:, 2:], (5, 3, 2), g)
    np.testing.assert_array_equal(
        hull.inside((7, 9, 8), (20, 25, 30)), found[7:27, 9:34, 8:38]
    )


@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_depth_is_in_mm(spacing):
    g = grid((60, 60, 60), spacing)
    x, y, z = world(g)
    block = (np.abs(x) <= 24) & (np.abs(y) <= 20) & (np.abs(z) <= 18)
    deep = everywhere(hull_of(block, (0, 0, 0), g), g, 6.0)
    for axis, at in enumerate((x, y, z)):
        there, whole = np.abs(at[deep]).max(), np.abs(at[block]).max()
        step = spacing[2 - axis]
        assert whole - 6 - step < there <= whole - 6 + 1e-6


def test_what_is_flat_has_none():
    g = grid((20, 20, 20), EVEN)
    mask = np.zeros(g.shape, bool)
    assert hull_of(mask, (0, 0, 0), g) is None
    mask[3, 3, 3] = True
    assert hull_of(mask, (0, 0, 0), g) is None
    mask[3, 2:9, 2:9] = True
    assert hull_of(mask, (0, 0, 0), g) is None
