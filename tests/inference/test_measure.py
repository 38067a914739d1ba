import numpy as np
import pytest
from scipy.spatial.distance import pdist

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.inference import measure as m
from vnet_jax.inference.components import find_components

UNIT = Grid((40, 40, 40), np.eye(4))
# I, P, L as in KiTS: the third index grows towards the patient's left, x falls.
IPL = Grid(
    (40, 60, 100),
    np.array([[0, 0, -2.0, 99], [0, -2.0, 0, 59], [-3.0, 0, 0, 60], [0, 0, 0, 1]]),
)


def diameter(mask, grid=UNIT):
    return m.max_diameter_mm(mask, grid)


def test_diameters_by_hand():
    mask = np.zeros((40, 40, 40), bool)
    assert diameter(mask) == 0
    mask[5, 5, 5] = True
    assert diameter(mask) == 1
    thick = Grid(mask.shape, np.diag([3, 0.8, 0.8, 1]))
    assert diameter(mask, thick) == pytest.approx(0.8)
    mask[5, 5, 5:15] = True  # a line of 10 voxels: 9 steps
    assert diameter(mask) == pytest.approx(9)
    mask[5, 5:15, 5:15] = True  # a flat square
    assert diameter(mask) == pytest.approx(np.hypot(9, 9))
    mask[5:8] |= mask[5]
    assert diameter(mask, thick) == pytest.approx(np.sqrt(6**2 + 2 * 7.2**2))


@pytest.mark.parametrize("direction", [(1, 1, 0), (1, 1, 1), (0, 1, 0), (1, 0, 0)])
def test_slanted_lines_and_planes_have_a_diameter_too(direction):
    mask = np.zeros((40, 40, 40), bool)
    steps = np.arange(10)[:, None] * direction
    mask[tuple((steps + 5).T)] = True
    length = 9 * np.linalg.norm(direction)
    assert diameter(mask) == pytest.approx(length)
    mask |= np.roll(mask, 7, axis=2)  # two lines make a plane
    points = np.argwhere(mask)
    assert diameter(mask) == pytest.approx(pdist(points).max())


def test_the_diameter_of_a_ball_is_its_own():
    at = np.indices((40, 40, 40)) - 19.7
    for radius in (6.0, 10.0, 15.3):
        ball = (at**2).sum(axis=0) <= radius**2
        assert diameter(ball) == pytest.approx(2 * radius, abs=0.25)


def test_the_diameter_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3))
    grid = Grid((6, 7, 8), affine)
    for share in np.linspace(0.02, 1, 20):
        mask = rng.random(grid.shape) < share
        mask[3, 3, 3:5] = True
        points = grid.to_mm(np.argwhere(mask))
        assert diameter(mask, grid) == pytest.approx(pdist(points).max())


def body(kidneys, grid=IPL):
    """A trunk of 0 HU in air, and a mask with the given boxes."""
    hu = np.full(grid.shape, -1000, np.int16)
    hu[:, 5:55, 10:90] = 0
    mask = np.zeros(grid.shape, np.uint8)
    for box in kidneys:
        mask[box] = 1
    return mask, Volume(hu, grid)


# World x = 99 - 2 * index: columns 20 to 29 lie at x 41 to 59, the patient's right.
RIGHT = (slice(10, 20), slice(30, 35), slice(20, 30))
LEFT = (slice(10, 20), slice(30, 35), slice(70, 78))


def test_two_kidneys_and_a_tumour():
    mask, ct = body([RIGHT, LEFT])
    mask[12:14, 31:33, 72:74] = 2
    ct.array[mask == 1] = 180
    ct.array[mask == 2] = 50
    got = m.measure(mask, ct)
    ml = 12 / 1000  # 3 x 2 x 2 mm
    assert got["volumes_ml"] == pytest.approx(
        {
            "kidney_right": 500 * ml,
            "kidney_right_with_tumour": 500 * ml,
            "kidney_left": 392 * ml,
            "kidney_left_with_tumour": 400 * ml,
            "tumour": 8 * ml,
        }
    )
    (tumour,) = got["tumours"]
    assert tumour["side"] == "left"
    assert tumour["ml"] == pytest.approx(8 * ml)
    assert tumour["mean_hu"] == 50
    assert tumour["diameter_mm"] == pytest.approx(np.sqrt(3**2 + 2**2 + 2**2))
    assert tumour["centre_mm"] == pytest.approx([-46, -4, 22.5])
    assert got["kidney_median_hu"] == 180


@pytest.mark.parametrize(("box", "side"), [(RIGHT, "right"), (LEFT, "left")])
def test_one_kidney_is_told_by_the_midline(box, side):
    mask, ct = body([box])
    volumes = m.measure(mask, ct)["volumes_ml"]
    other = {"left": "right", "right": "left"}[side]
    assert volumes[f"kidney_{side}"] > 0
    assert volumes[f"kidney_{other}"] is None
    assert volumes[f"kidney_{other}_with_tumour"] is None


@pytest.mark.parametrize("flips", [(1, 1, 1), (1, 1, -1), (-1, -1, 1)])
def test_sides_do_not_depend_on_the_axes(flips):
    mask, ct = body([RIGHT])
    turn = tuple(slice(None, None, f) for f in flips)
    affine = IPL.affine @ np.diag([*flips, 1.0])
    affine[:3, 3] = IPL.to_mm((np.array(IPL.shape) - 1) * (np.array(flips) < 0))
    order = (2, 0, 1)
    grid = Grid([IPL.shape[a] for a in order], affine[:, [*order, 3]])
    turned = Volume(ct.array[turn].transpose(order), grid)
    got = m.measure(mask[turn].transpose(order), turned)
    assert got["volumes_ml"]["kidney_right"] == pytest.approx(6.0)
    assert got["volumes_ml"]["kidney_left"] is None


def test_two_kidneys_in_an_off_centre_picture_are_still_left_and_right():
    mask, ct = body([RIGHT, LEFT])
    ct.array[:, 5:55, :60] = -1000  # now the body's middle lies left of both
    ct.array[:, 5:55, 60:] = 0
    volumes = m.measure(mask, ct)["volumes_ml"]
    assert volumes["kidney_right"] == pytest.approx(6.0)
    assert volumes["kidney_left"] == pytest.approx(4.8)


def test_two_pieces_of_one_kidney_are_one():
    mask, ct = body([RIGHT, (slice(25, 30), slice(30, 35), slice(22, 32))])
    volumes = m.measure(mask, ct)["volumes_ml"]
    assert volumes["kidney_right"] == pytest.approx(9.0)
    assert volumes["kidney_left"] is None


def test_a_horseshoe_kidney_is_cut_at_the_midline():
    bridge = (slice(10, 11), slice(30, 31), slice(20, 78))
    mask, ct = body([RIGHT, LEFT, bridge])
    volumes = m.measure(mask, ct)["volumes_ml"]
    # The body's columns are 10 to 89, its middle 49.5: columns 30 to 49 of the bridge
    # are right, 50 to 69 left.
    assert volumes["kidney_right"] == pytest.approx((500 + 20) * 0.012, rel=0.01)
    assert volumes["kidney_left"] == pytest.approx((400 + 20) * 0.012, rel=0.01)


def test_nothing_to_measure():
    mask, ct = body([])
    got = m.measure(mask, ct)
    assert got["tumours"] == []
    assert got["kidney_median_hu"] is None
    assert got["volumes_ml"]["kidney_left"] is None
    assert got["volumes_ml"]["tumour"] == 0


def test_the_largest_tumours_are_listed_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(m, "TUMOURS", 2)
    mask, ct = body([RIGHT, LEFT])
    for column, size in ((21, 1), (24, 3), (72, 2)):
        mask[11 : 11 + size, 31:33, column] = 2
    got = m.measure(mask, ct)
    assert got["tumour_count"] == 3
    assert [t["side"] for t in got["tumours"]] == ["right", "left"]
    assert [t["ml"] for t in got["tumours"]] == pytest.approx([6 * 0.012, 4 * 0.012])


def test_midline_of_air_is_the_picture_s_middle():
    air = Volume(np.full(IPL.shape, -1000, np.int16), IPL)
    assert m.body_midline_mm(air) == pytest.approx(0)


def test_border():
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[1:4, 1:5, 1:6] = 1
    assert not m.touches_border(mask)
    for at in [(0, 2, 2), (4, 2, 2), (2, 0, 2), (2, 5, 2), (2, 2, 0), (2, 2, 6)]:
        touching = mask.copy()
        touching[at] = 2
        assert m.touches_border(touching)


def test_components_of_sides_cover_the_mask_once():
    mask, ct = body([RIGHT, LEFT])
    kidneys = find_components(mask > 0)
    left, right = m.split_sides(kidneys, ct.grid, 0.0)
    assert not (left & right).any()
    np.testing.assert_array_equal(left | right, kidneys.index > 0)
