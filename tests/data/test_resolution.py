import numpy as np
import pytest

from vnet_jax.data.resolution import blurred, coarsened


def test_blur_is_a_gaussian_in_millimetres():
    spacing = (3.0, 1.0, 1.5)
    image = np.zeros((21, 41, 31, 1), np.float32)
    image[10, 20, 15] = 1
    spot = blurred(image, 4.0, spacing)[..., 0].astype(float)
    assert spot.sum() == pytest.approx(1, abs=1e-5)
    for axis, step in enumerate(spacing):
        profile = spot.sum(tuple({0, 1, 2} - {axis}))
        place = (np.arange(len(profile)) - len(profile) // 2) * step
        # Cut off at three standard deviations it is 0.987 of one.
        assert np.sqrt((profile * place**2).sum()) == pytest.approx(4.0, rel=0.03)


def test_blur_keeps_what_is_even_and_the_range():
    rng = np.random.default_rng(0)
    assert np.allclose(
        blurred(np.full((4, 5, 6, 1), 0.3, np.float32), 2, (1, 1, 1)), 0.3
    )
    noise = rng.uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
    smooth = blurred(noise, 2.0, (1.0, 1.0, 1.0))
    assert np.abs(smooth).max() <= 1 and smooth.dtype == np.float32
    assert np.array_equal(blurred(noise, 0.0, (1.0, 1.0, 1.0)), noise)


def test_half_the_voxels_by_hand():
    # 6 voxels, 3 larger ones at 0.5, 2.5, 4.5, which take voxels 1, 3 and 5.
    image = np.array([0, 1, 2, 7, 4, 5], np.float32).reshape(1, 6, 1, 1)
    coarse = coarsened(image, (1, 2, 1)).ravel()
    # Places in them: -0.25 (0), 0.25, 0.75, 1.25, 1.75, 2.25 (2).
    assert coarse.tolist() == [1, 2.5, 5.5, 6.5, 5.5, 5]


def test_a_ramp_stays_where_it_was():
    ramp = np.linspace(-1, 1, 61, dtype=np.float32)
    image = np.broadcast_to(ramp[:, None, None, None], (61, 4, 3, 1))
    for factor in (1.3, 2.0, 2.7):
        seen = coarsened(image, (factor, 1, 1))[:, 0, 0, 0]
        # Nearest is off by half a voxel at most, and so is what lies between.
        assert np.abs(seen - ramp)[3:-3].max() <= 0.5 / 30 + 1e-6
        assert seen.shape == ramp.shape and seen.dtype == np.float32


def test_factor_1_and_axes_of_one_voxel_are_left_alone():
    image = np.random.default_rng(0).random((5, 1, 4, 1), np.float32)
    assert np.array_equal(coarsened(image, (1.0, 3.0, 1.05)), image)
    flat = coarsened(image, (9.0, 1.0, 1.0))  # one voxel of 5
    assert np.array_equal(flat, np.broadcast_to(image[2:3], image.shape))
