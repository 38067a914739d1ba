import time

import numpy as np
import pytest

from tests.measures.shapes import EVEN, KITS, ball, ellipsoid, grid, turned, world
from vnet_jax.ct.geometry import Volume, bounding_box
from vnet_jax.inference.measure import measure
from vnet_jax.measures.kidney import look_at
from vnet_jax.measures.tumour import describe

ORDERS = [((0, 1, 2), (1, 1, 1)), ((2, 1, 0), (-1, 1, -1)), ((1, 2, 0), (1, -1, 1))]
FAT, TISSUE, KIDNEY_HU = -100, 40, 160


def case(g, kidney, tumour, fat=None):
    """A CT of soft tissue, and its mask."""
    labels = np.zeros(g.shape, np.uint8)
    labels[kidney] = 1
    hu = np.full(g.shape, TISSUE, np.int16)
    hu[kidney] = KIDNEY_HU
    if fat is not None:
        hu[fat] = FAT
        labels[fat] = 0
    labels[tumour], hu[tumour] = 2, 60
    return labels, hu


def only(g, labels, hu):
    """The one tumour, measured against the one kidney, on whichever side it is."""
    kidney = look_at(labels, hu, (0, 0, 0), g)
    start, shape = bounding_box(labels == 2)
    part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    one = describe(labels[part] == 2, start, labels, kidney, g)
    return one | {"length_mm": kidney.length_mm}


@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_a_ball_half_sunk_in_a_half_space(spacing):
    g = grid((80, 80, 80), spacing)
    x, y, z = world(g)
    block = (x < 0) & (np.abs(x) < 36) & (np.abs(y) < 36) & (np.abs(z) < 36)
    one = only(g, *case(g, block, ball(g, 15)))
    # The half-space ends midway between two columns, `beyond` from the ball's centre.
    beyond = x[block].max() + spacing[2] / 2
    share = 0.5 - 0.75 * beyond / 15
    assert abs(share - 0.5) < 0.02
    assert one["exophytic_share"] == pytest.approx(share, abs=0.003)
    assert one["contact_mm2"] == pytest.approx(2 * np.pi * 15**2, rel=0.05)
    assert one["sinus_fat_mm"] is None
    assert one["axial_diameter_mm"] == pytest.approx(30, abs=1)
    assert one["pole"] == "middle"


@pytest.mark.parametrize(("shift", "share"), [(0, 0.0), (60, 1.0)])
def test_wholly_in_and_wholly_out(shift, share):
    g = grid((80, 60, 170), KITS)
    kidney = ellipsoid(g, (25, 22, 35), (-20, 0, 0))
    one = only(g, *case(g, kidney, ball(g, 9, (shift - 20, 0, 0))))
    assert one["exophytic_share"] == share
    if share:
        assert one["contact_mm2"] == 0
    else:
        assert one["contact_mm2"] == pytest.approx(4 * np.pi * 81, rel=0.05)


def bean(g):
    """A kidney of the right side with a sinus of fat that opens to the midline."""
    kidney = ellipsoid(g, (25, 22, 55))
    sinus = ellipsoid(g, (14, 9, 22), (-18, 0, 0))
    return kidney, sinus


@pytest.mark.parametrize("spacing", [EVEN, KITS])
def test_the_distance_to_the_sinus_fat(spacing):
    g = grid((130, 60, 80), spacing)
    kidney, sinus = bean(g)
    mass = ball(g, 6, (16, 0, 0))  # its inner end at x = 10, the fat's at -4
    one = only(g, *case(g, kidney, mass, sinus))
    assert one["sinus_fat_mm"] == pytest.approx(14, abs=1)
    touching = ball(g, 6, (1, 0, 0))
    assert only(g, *case(g, kidney, touching, sinus))["sinus_fat_mm"] <= 1
    # Fat in a dent of the outer surface is not the sinus'.
    dent = ball(g, 3.5, (25, 0, 0))
    hu_labels = case(g, kidney & ~dent, ball(g, 5, (12, 0, 0)), dent)
    assert only(g, *hu_labels)["sinus_fat_mm"] is None


def test_a_mask_that_fills_the_sinus_has_the_same_distance():
    g = grid((130, 60, 80), KITS)
    kidney, sinus = bean(g)
    mass = ball(g, 6, (16, 0, 0))
    labels, hu = case(g, kidney, mass, sinus)
    want = only(g, labels, hu)["sinus_fat_mm"]
    labels[kidney & sinus] = 1
    # The filled hull reaches a little further towards the midline, not inwards.
    assert only(g, labels, hu)["sinus_fat_mm"] == pytest.approx(want, abs=0.5)


@pytest.mark.parametrize(
    ("centre", "pole", "face"),
    [
        ((20, 0, 40), "upper", "neither"),
        ((15, 15, 0), "middle", "anterior"),
        ((15, -15, -40), "lower", "posterior"),
    ],
)
def test_pole_and_face(centre, pole, face):
    g = grid((130, 60, 80), KITS)
    kidney, sinus = bean(g)
    one = only(g, *case(g, kidney, ball(g, 5, centre), sinus))
    assert (one["pole"], one["face"]) == (pole, face)


def test_a_tilted_kidney_is_measured_along_itself():
    g = grid((130, 110, 80), KITS)
    x, y, z = world(g)
    turn = np.radians(25)  # its upper pole leans backwards, as it does
    up, front = z * np.cos(turn) - y * np.sin(turn), y * np.cos(turn) + z * np.sin(turn)
    kidney = (x / 25) ** 2 + (front / 20) ** 2 + (up / 55) ** 2 <= 1
    # On the axis, which is 17 mm behind the centre up there.
    at = (0, -45 * np.sin(turn), 45 * np.cos(turn))
    one = only(g, *case(g, kidney, ball(g, 6, at)))
    assert (one["pole"], one["face"]) == ("upper", "neither")
    assert one["length_mm"] == pytest.approx(110, abs=3)


def test_no_number_depends_on_the_axes():
    g = grid((130, 60, 80), KITS)
    kidney, sinus = bean(g)
    labels, hu = case(g, kidney, ball(g, 9, (18, 6, 15)), sinus)
    want, seen = only(g, labels, hu), []
    for order, flips in ORDERS:
        mask, ct = (turned(a, g, order, flips) for a in (labels, hu))
        got = only(mask.grid, mask.array, ct.array)
        seen.append(got.pop("axial_slice"))
        for name, value in got.items():
            if isinstance(value, float):
                assert value == pytest.approx(want[name], rel=1e-6, abs=1e-6), name
            elif isinstance(value, str):
                assert value == want[name], name
    assert seen[0] == want["axial_slice"]
    assert 0.05 < want["exophytic_share"] < 0.5
    assert want["sinus_fat_mm"] > 5


def test_without_parenchyma_there_is_nothing_to_measure_against():
    g = grid((40, 40, 40), KITS)
    labels = np.where(ball(g, 8), 2, 0).astype(np.uint8)
    found = measure(labels, Volume(np.full(g.shape, 50, np.int16), g))
    (one,) = found["tumours"]
    missing = ("exophytic_share", "sinus_fat_mm", "contact_mm2", "pole", "face")
    assert all(one[name] is None for name in missing)
    assert one["axial_diameter_mm"] == pytest.approx(16, abs=1)
    assert found["kidneys"] == {"left": None, "right": None}


def test_specks_do_not_widen_the_kidney():
    g = grid((80, 60, 170), KITS)
    kidney = ellipsoid(g, (25, 22, 35), (-20, 0, 0))
    labels, hu = case(g, kidney, ball(g, 12, (8, 0, 0)))
    want = only(g, labels, hu)["exophytic_share"]
    labels[5:7, 30:33, 110:112] = 1
    assert only(g, labels, hu)["exophytic_share"] == want


def test_a_real_size_mask_takes_seconds():
    g = grid((130, 60, 120), KITS)
    kidney, sinus = bean(g)
    part, part_hu = case(g, kidney, ball(g, 30, (30, 0, 20)), sinus)
    labels = np.zeros((100, 512, 512), np.uint8)
    hu = np.full(labels.shape, TISSUE, np.int16)
    for x in (20, 300):
        box = np.s_[20 : 20 + g.shape[0], 100 : 100 + g.shape[1], x : x + g.shape[2]]
        labels[box], hu[box] = part, part_hu
    began = time.process_time()
    found = measure(labels, Volume(hu, g.crop((0, 0, 0), labels.shape)))
    took = time.process_time() - began
    assert [t["side"] for t in found["tumours"]] == ["right", "left"]
    assert found["tumours"][0]["sinus_fat_mm"] > 0
    assert took < 10  # 0.4 s on one core of a Zen 5
