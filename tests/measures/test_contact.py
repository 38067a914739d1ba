import numpy as np
import pytest

from tests.measures.shapes import EVEN, KITS, ball, grid, turned, world
from vnet_jax.measures.contact import contact_mm2, reach


def sunk(g, radius, depth, normal, centre=(0, 0, 0)):
    """A ball that reaches `depth` into a half-space: its voxels, and the rest of it."""
    normal = np.array(normal) / np.linalg.norm(normal)
    mass = ball(g, radius, centre)
    height = np.tensordot(normal, world(g) - np.reshape(centre, (3, 1, 1, 1)), 1)
    return mass, (height <= depth - radius) & ~mass


NORMALS = [(1, 0, 0), (0, 0, 1), (1, 2, 3), (-2, 1, 0.4)]


@pytest.mark.parametrize("normal", NORMALS)
@pytest.mark.parametrize(("spacing", "radius"), [(EVEN, 20), (KITS, 20), (KITS, 8)])
def test_a_ball_half_sunk_touches_with_half_its_surface(spacing, radius, normal):
    g = grid((2 * radius + 20,) * 3, spacing)
    got = contact_mm2(*sunk(g, radius, radius, normal, (0.3, 0.2, 0.4)), g)
    assert got == pytest.approx(2 * np.pi * radius**2, rel=0.03 if radius > 8 else 0.07)


@pytest.mark.parametrize("depth", [8, 32])
@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_a_cap_has_hsieh_s_area(spacing, depth):
    g = grid((60, 60, 60), spacing)
    got = contact_mm2(*sunk(g, 20, depth, (1, 2, 2)), g)
    # 2 pi r d; a shallow cap has a wedge of a gap along its rim, which is bridged.
    assert got == pytest.approx(
        2 * np.pi * 20 * depth, rel=0.12 if depth < 20 else 0.03
    )


def test_a_whole_ball_and_none():
    g = grid((60, 60, 60), KITS)
    mass = ball(g, 15)
    assert contact_mm2(mass, ~mass, g) == pytest.approx(4 * np.pi * 225, rel=0.02)
    assert contact_mm2(mass, np.zeros_like(mass), g) == 0
    far = ball(g, 5, (25, 25, 25)) & ~ball(g, 20)
    assert contact_mm2(mass, far, g) == 0


@pytest.mark.parametrize("spacing", [EVEN, KITS])
@pytest.mark.parametrize("axis", [0, 2])
def test_planes_along_the_axes_are_the_worst_case(spacing, axis):
    g = grid((70, 70, 70), spacing)
    mask, other = np.zeros((2, *g.shape), bool)
    patch = [slice(10, n - 10) for n in g.shape]
    patch[axis] = slice(10, g.shape[axis] // 2)
    mask[tuple(patch)] = True
    other[(slice(None),) * axis + (slice(g.shape[axis] // 2, None),)] = True
    sides = np.array(g.extent_mm) - 20 * np.array(g.spacing_mm)
    got = contact_mm2(mask, other, g) / np.delete(sides, axis).prod()
    assert got == pytest.approx(1, abs=0.08)


def test_no_number_depends_on_the_axes():
    g = grid((50, 50, 50), KITS)
    mass, rest = sunk(g, 12, 9, (1, -2, 1))
    want = contact_mm2(mass, rest, g)
    order, flips = (2, 0, 1), (-1, 1, -1)
    a, b = (turned(m, g, order, flips) for m in (mass, rest))
    assert contact_mm2(a.array, b.array, a.grid) == pytest.approx(want)


def test_pairs_reach_as_far_as_a_slice_is_thick():
    assert reach(grid((9, 9, 9), KITS)) == (1, 3, 3)
    assert reach(grid((9, 9, 9), EVEN)) == (1, 1, 1)
