"""Heads, chests, legs and phantoms drawn from ellipses, and what is none of them."""

from pathlib import Path

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.nifti import read_ct
from vnet_jax.data.phantom import draw_case
from vnet_jax.inference.anatomy import not_an_abdomen, sections

REAL = Path(__file__).parents[3] / "shared" / "data" / "real_ct"
SHAPE, SPACING = (24, 96, 128), (5.0, 4.0, 4.0)
IPL = np.array([[0, 0, -4.0, 0], [0, -4.0, 0, 0], [-5.0, 0, 0, 0], [0, 0, 0, 1]])


def disk(x_mm, y_mm, width_mm, depth_mm):
    """(96, 128) bool: an ellipse about a point, mm from the picture's middle."""
    y, x = np.indices(SHAPE[1:]) * 4.0
    x, y = x - 254 - x_mm, y - 190 - y_mm
    return (2 * x / width_mm) ** 2 + (2 * y / depth_mm) ** 2 <= 1


def painted(*parts):
    """A CT whose slices are all alike: (region, HU), the later over the earlier."""
    plane = np.full(SHAPE[1:], -1000.0)
    for region, hu in parts:
        plane[region] = hu
    rng = np.random.default_rng(0)
    hu = plane + rng.normal(0, 12, SHAPE)
    return Volume(hu.round().astype(np.int16), Grid(SHAPE, IPL))


TRUNK = [(disk(0, 0, 330, 230), -100), (disk(0, 0, 290, 190), 50)]
SPINE = (disk(0, 70, 40, 40), 400)


def legs(apart_mm):
    parts = []
    for x in (-apart_mm, apart_mm):
        parts += [(disk(x, 0, 150, 160), -90), (disk(x, 0, 130, 140), 55)]
        parts += [(disk(x, 0, 28, 28), 900)]
    return painted(*parts)


OTHERS = {
    "a head or a joint": painted(
        (disk(0, 0, 150, 190), 900), (disk(0, 0, 134, 174), 35)
    ),
    "a chest": painted(
        *TRUNK, SPINE, (disk(-70, 0, 110, 150), -850), (disk(70, 0, 110, 150), -850)
    ),
    "legs": legs(90),
    "a limb": painted(
        (disk(0, 0, 120, 120), -100),
        (disk(0, 0, 100, 100), 55),
        (disk(0, 0, 28, 28), 900),
        (disk(30, 0, 16, 16), 900),
    ),
    "a phantom of one material": painted((disk(0, 0, 200, 200), 0)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_abdomen_is_named(kind):
    assert (
        not_an_abdomen(OTHERS[kind])
        == f"its cross-sections look like {kind} (24 of 24)"
    )


def test_air_shows_no_body():
    assert not_an_abdomen(painted()) == "it shows no body"


@pytest.mark.parametrize("children", [1.0, 0.35])
def test_a_trunk_is_one_also_a_newborns(children):
    trunk = painted(
        (disk(0, 0, 330 * children, 230 * children), -100),
        (disk(0, 0, 290 * children, 190 * children), 50),
        (disk(0, 70 * children, 40 * children, 40 * children), 400),
    )
    assert not_an_abdomen(trunk) == ""


def test_arms_beside_the_trunk_change_nothing():
    arms = [(disk(x, 0, 70, 70), 50) for x in (-215, 215)]
    assert not_an_abdomen(painted(*TRUNK, SPINE, *arms)) == ""


def test_50_mm_of_abdomen_are_enough():
    chest, trunk = OTHERS["a chest"].array, painted(*TRUNK, SPINE).array
    for slices, found in (
        (11, ""),
        (8, "its cross-sections look like a chest (16 of 24)"),
    ):
        both = np.concatenate([chest[: 24 - slices], trunk[:slices]])
        assert not_an_abdomen(Volume(both, Grid(SHAPE, IPL))) == found


def test_axes_and_spacing_change_nothing():
    ct = OTHERS["a chest"]
    turned = np.moveaxis(ct.array, 0, 2)
    affine = IPL[:, [1, 2, 0, 3]]
    assert not_an_abdomen(Volume(turned, Grid(turned.shape, affine))).endswith(
        "(24 of 24)"
    )
    fine = ct.array.repeat(2, axis=1).repeat(2, axis=2)
    half = IPL @ np.diag([1, 0.5, 0.5, 1])
    found, step_mm = sections(Volume(fine, Grid(fine.shape, half)))
    assert step_mm == 5.0
    assert found[0].area_cm2 == pytest.approx(np.pi / 4 * 33 * 23, rel=0.02)
    assert found[0].lung == pytest.approx(2 * 11 * 15 / (33 * 23), rel=0.03)


def test_synthetic_abdomens_are_abdomens():
    hu, _, _, grid, _ = draw_case(3, (6.0, 4.0, 4.0))
    assert not_an_abdomen(Volume(hu, grid)) == ""


def test_a_real_abdomen_is_one():
    path = REAL / "ct_noncontrast_3mm.nii.gz"
    if not path.exists():
        pytest.skip("the real CT is not there")
    ct = read_ct(path).volume
    assert not_an_abdomen(ct) == ""
    part = ct.array[:, :, 80:90]  # 30 mm of it, with the kidneys
    assert not_an_abdomen(Volume(part, ct.grid.crop((0, 0, 80), part.shape))) == ""
