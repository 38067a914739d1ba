import numpy as np
import pytest

from vnet_jax.data.phantom_field import FAR_MM, Field, Space, ellipsoid
from vnet_jax.data.phantom_layers import Coat, Layer, Raster, Scene
from vnet_jax.data.phantom_paint import (
    Canvas,
    noise_filter,
    noise_level,
    noise_slice,
    paint,
)

AXES = (np.arange(-6.0, 7.0, 3), np.arange(-20.0, 21.0, 2), np.arange(-20.0, 21.0, 2))


def ball(radius=12.0, centre=(0, 0, 0)):
    space = Space((-40,) * 3, 2.0, (41,) * 3)
    return space.field(ellipsoid(space.at, centre, (radius,) * 3))


def flat(values=0.0):
    return Field(np.full((30, 30, 30), values), (-45,) * 3, 3.0)


def canvas(*layers, textures=None):
    return Canvas(layers, textures or (flat(), flat()), AXES)


def test_coats_lie_under_each_other_and_outside_is_air():
    hu = canvas(Layer("ball", ball(), (Coat(0, 100), Coat(6, 20)))).slice_hu(0.0)
    assert hu[10, 10] == pytest.approx(20)  # the middle
    assert hu[10, 14] == pytest.approx(100)  # 8 mm from it, 4 mm deep
    assert hu[10, 19] == -1000  # 18 mm from it


def test_an_edge_is_a_mixture():
    # A slab whose surface runs through the voxels at x = 0: half of each.
    x = np.broadcast_to(np.arange(-45.0, 46, 3), (31, 31, 31))
    slab = Layer("slab", Field(x, (-45,) * 3, 3.0), (Coat(0, 50),))
    hu = canvas(slab).slice_hu(0.0)
    assert hu[10, 10] == pytest.approx((50 - 1000) / 2, abs=1)
    assert hu[10, 8] == 50
    assert hu[10, 12] == -1000


def test_later_layers_cover_earlier_ones_and_texture_adds():
    below = Layer("fat", ball(30), (Coat(0, -100),))
    above = Layer("organ", ball(12), (Coat(0, 60, texture_hu=10),))
    hu = canvas(below, above, textures=(flat(1.0), flat(9.0))).slice_hu(0.0)
    assert hu[10, 10] == pytest.approx(70, abs=0.01)
    assert hu[10, 19] == pytest.approx(-100)


def test_labels_and_numbers_follow_the_roles():
    layers = (
        Layer("kidney", ball(16), (Coat(0, 150),), "kidney"),
        Layer("medulla", ball(4), (Coat(0, 90),)),
        Layer("cyst", ball(6, (0, 0, -12)), (Coat(0, 0),), "cyst"),
        Layer("tumour", ball(6, (0, 0, 14)), (Coat(0, 60),), "tumour"),
    )
    labels, owner = canvas(*layers).labels()
    row = [labels[2, 10, 10], labels[2, 10, 4], labels[2, 10, 17], labels[2, 0, 0]]
    assert row == [1, 1, 2, 0]
    assert [owner[2, 10, 10], owner[2, 10, 4], owner[2, 10, 17]] == [0, 1, 2]
    want_ml = 4 / 3 * np.pi * 6**3 / 1000
    assert (labels == 2).sum() * 12 / 1000 == pytest.approx(want_ml, rel=0.15)


def test_a_raster_is_painted_on_its_own_voxels():
    values = np.full((2, 3, 4), np.float32(-9))
    shape = Raster(values, (1, 5, 6), AXES[0])
    painter = canvas(Layer("kidney", shape, (Coat(0, 150),), "kidney"))
    labels, _ = painter.labels()
    assert labels.sum() == 24
    assert labels[1:3, 5:8, 6:10].all()
    assert (painter.slice_hu(AXES[0][1])[5:8, 6:10] == 150).all()
    assert (painter.slice_hu(AXES[0][0]) == -1000).all()


def test_noise_has_unit_variance_and_the_ramp_of_a_reconstruction():
    gain = noise_filter((128, 128), 0.78)
    rng = np.random.default_rng(0)
    noise = np.stack([noise_slice(rng, gain, (128, 128)) for _ in range(20)])
    assert noise.std() == pytest.approx(1, rel=0.03)
    # Back-projection suppresses slow waves: blocks of 16 x 16 average to less than the
    # 1 / 16 of white noise.
    blocks = noise.reshape(20, 8, 16, 8, 16).mean(axis=(2, 4))
    assert blocks.std() < 0.8 / 16


def test_noise_is_highest_in_the_middle():
    level = noise_level(
        np.arange(-150.0, 151), np.arange(-200.0, 201), 10, 0, (120, 170)
    )
    assert level[150, 200] == pytest.approx(12.5)
    assert level[0, 0] == pytest.approx(6)


def test_the_ct_is_int16_noisy_within_and_padded_without_the_circle():
    painter = canvas(Layer("ball", ball(30), (Coat(0, 50),)))
    sigma = np.full((21, 21), 10.0, np.float32)
    ct = paint(painter, sigma, True, np.random.default_rng(0))
    assert ct.dtype == np.int16
    assert ct.shape == (5, 21, 21)
    assert (ct[:, 0, 0] == -1024).all()
    inside = ct[:, 5:16, 5:16]
    assert inside.mean() == pytest.approx(50, abs=3)
    assert inside.std() == pytest.approx(10, rel=0.15)
    again = paint(painter, sigma, False, np.random.default_rng(0))
    assert (again[:, 0, 0] > -1024).any()


def test_places_are_given_once():
    space = Space((-20,) * 3, 2.0, (21,) * 3)
    blank = np.full(space.shape, np.float32(FAR_MM))
    scene = Scene(space, -blank, blank.copy())
    first = scene.place("first", ellipsoid(space.at, (0, 0, 0), (8, 8, 8)), Coat(0, 1))
    second = scene.place(
        "second", ellipsoid(space.at, (0, 0, 9), (8, 8, 8)), Coat(0, 2)
    )
    assert (first < 0).any()
    assert (second < 0).any()
    assert not ((first < 0) & (second < 0)).any()
    assert [layer.name for layer in scene.layers] == ["first", "second"]


def test_a_box_of_a_scene_writes_to_the_whole():
    space = Space((-20,) * 3, 2.0, (21,) * 3)
    blank = np.full(space.shape, np.float32(FAR_MM))
    scene = Scene(space, -blank, blank.copy())
    part = scene.around((-4, -4, -4), (4, 4, 4), 6.0)
    part.place("organ", ellipsoid(part.space.at, (0, 0, 0), (5, 5, 5)), Coat(0, 1))
    assert scene.taken[10, 10, 10] < 0
    assert scene.taken[0, 0, 0] == FAR_MM
    assert len(scene.layers) == 1
