import numpy as np
import pytest
from scipy import ndimage

from vnet_jax.data.augment import augment
from vnet_jax.data.warp import warp

SPACING_MM = (6.0, 3.0, 3.0)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 4, 5, 1)).astype(np.float32)
    return image, (image[..., 0] > 0).astype(np.uint8)


def test_off_changes_nothing(sample):
    image, label = augment(*sample, np.random.default_rng(1), SPACING_MM)
    assert np.array_equal(image, sample[0])
    assert np.array_equal(label, sample[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_certain_flip_mirrors_image_and_label_alike(sample, axis):
    flip = np.eye(3)[axis]
    image, label = augment(*sample, np.random.default_rng(1), SPACING_MM, flip=flip)
    assert np.array_equal(image, np.flip(sample[0], axis))
    assert np.array_equal(label, np.flip(sample[1], axis))


def test_contrast_and_brightness_stay_within_their_range():
    grey = np.full((2, 2, 2, 1), 0.5, np.float32)
    label = np.zeros((2, 2, 2), np.uint8)
    settings = dict(contrast=0.2, brightness=0.1)
    seen = [
        augment(grey, label, np.random.default_rng(i), SPACING_MM, **settings)
        for i in range(200)
    ]
    values = np.array([image[0, 0, 0, 0] for image, _ in seen])
    # 0.5 x 0.8 - 0.1 to 0.5 x 1.2 + 0.1, and most of that range is met.
    assert 0.3 <= values.min() < 0.36
    assert 0.64 < values.max() <= 0.7
    assert all(image.dtype == np.float32 for image, _ in seen)


def test_intensities_stay_in_the_scaled_range_and_the_input_is_kept(sample):
    before = sample[0].copy()
    settings = dict(flip=(0.5,) * 3, contrast=0.5, brightness=0.5, noise=0.5)
    for i in range(20):
        rng = np.random.default_rng(i)
        image, _ = augment(*sample, rng, SPACING_MM, rotation=30, **settings)
        assert np.abs(image).max() <= 1
    assert np.array_equal(sample[0], before)


def test_the_same_generator_gives_the_same_sample(sample):
    settings = dict(flip=(0.5, 0.5, 0.5), rotation=15, stretch=0.2, noise=0.1)
    one = augment(*sample, np.random.default_rng(7), SPACING_MM, **settings)
    two = augment(*sample, np.random.default_rng(7), SPACING_MM, **settings)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])


def ball(shape, radius_mm, spacing_mm, centre_mm=(0, 0, 0)):
    """A ball about a place counted from the sample's middle, in mm."""
    middle = (np.array(shape) - 1) / 2
    place = (np.stack(np.indices(shape), -1) - middle) * spacing_mm - centre_mm
    return np.linalg.norm(place, axis=-1) < radius_mm


def test_warp_knows_the_voxel_spacing():
    # A quarter turn about z takes what lies 30 mm along y to 30 mm along x, whatever
    # the voxels; and a ball stays a ball.
    spacing, shape = (6.0, 2.0, 4.0), (15, 61, 31)
    before = ball(shape, 15, spacing, (0, 30, 0))
    quarter = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64)
    image = before[..., None].astype(np.float32)
    moved, label = warp(image, before.astype(np.uint8), quarter, spacing)
    after = ball(shape, 15, spacing, (0, 0, 30))
    assert (label != after).sum() < 0.12 * after.sum()
    assert ((moved[..., 0] > 0.5) != after).sum() < 0.12 * after.sum()
    assert moved.shape == image.shape and moved.dtype == np.float32
    assert label.dtype == np.uint8


def test_warp_stretches_by_the_factor():
    before = ball((40, 40, 40), 20, (2.0, 2.0, 2.0))
    image, label = before[..., None].astype(np.float32), before.astype(np.uint8)
    _, label = warp(image, label, np.diag([1.25, 1.0, 1.0]), (2.0, 2.0, 2.0))
    extent = np.ptp(np.argwhere(label), axis=0) * 2 + 2
    assert extent.tolist() == [32, 40, 40]  # shows what lay 1.25 times as far out


def test_rotation_and_stretch_stay_within_their_range():
    shape, spacing = (33, 33, 33), (2.0, 2.0, 2.0)
    rod = np.zeros(shape, np.uint8)
    rod[:, 15:18, 15:18] = 1
    image, tilts, volumes = rod[..., None].astype(np.float32), [], []
    sphere = ball(shape, 20, spacing).astype(np.uint8)
    for i in range(60):
        rng = np.random.default_rng(i)
        _, turned = augment(image, rod, rng, spacing, rotation=20)
        ends = [np.argwhere(turned[z])[:, 1].mean() for z in (4, 28)]
        tilts.append(np.rad2deg(np.arctan2(ends[1] - ends[0], 24)))
        _, label = augment(image, sphere, rng, spacing, stretch=0.2)
        volumes.append(label.sum() / sphere.sum())
    assert 12 < np.max(np.abs(tilts)) < 24
    assert 1 / 1.2**3 - 0.02 < min(volumes) < 0.8
    assert 1.3 < max(volumes) < 1 / 0.8**3 + 0.05


def test_noise_has_up_to_its_standard_deviation():
    grey, label = np.zeros((16, 16, 16, 1), np.float32), np.zeros((16,) * 3, np.uint8)
    seen = [
        augment(grey, label, np.random.default_rng(i), SPACING_MM, noise=0.05)[0].std()
        for i in range(40)
    ]
    assert min(seen) < 0.01
    assert 0.04 < max(seen) < 0.052


def test_what_is_off_leaves_the_others_as_they_were(sample):
    mirrored = dict(flip=(0.5, 0.5, 0.5), contrast=0.2)
    for i in range(8):
        a, b = (np.random.default_rng(i) for _ in range(2))
        plain, _ = augment(*sample, a, SPACING_MM, **mirrored)
        noisy, _ = augment(*sample, b, SPACING_MM, **mirrored, noise=1e-6)
        np.testing.assert_allclose(plain, noisy, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 12, 10), (1, 8, 7), (5, 1, 1)])
def test_warp_reads_as_scipy_does(shape):
    rng = np.random.default_rng(4)
    image = rng.standard_normal(shape).astype(np.float32)
    label = rng.integers(0, 3, shape).astype(np.uint8)
    matrix = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
    moved, moved_label = warp(image[..., None], label, matrix, (3.0, 0.8, 0.8))

    spacing = np.array([3.0, 0.8, 0.8])
    in_voxels = matrix * spacing / spacing[:, None]
    middle = (np.array(shape) - 1) / 2
    place = dict(matrix=in_voxels, offset=middle - in_voxels @ middle, mode="nearest")
    expected = ndimage.affine_transform(image, **place, order=1)
    np.testing.assert_allclose(moved[..., 0], expected, atol=1e-5)
    assert moved.dtype == np.float32 and moved_label.dtype == np.uint8
    nearest = ndimage.affine_transform(label, **place, order=0)
    np.testing.assert_array_equal(moved_label, nearest)
