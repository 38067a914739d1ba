import numpy as np
import pytest

from vnet_jax.data.augment import augment


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 4, 5, 1)).astype(np.float32)
    return image, (image[..., 0] > 0).astype(np.uint8)


def test_off_changes_nothing(sample):
    image, label = augment(*sample, np.random.default_rng(1))
    assert np.array_equal(image, sample[0])
    assert np.array_equal(label, sample[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_certain_flip_mirrors_image_and_label_alike(sample, axis):
    flip = np.eye(3)[axis]
    image, label = augment(*sample, np.random.default_rng(1), flip=flip)
    assert np.array_equal(image, np.flip(sample[0], axis))
    assert np.array_equal(label, np.flip(sample[1], axis))


def test_contrast_and_brightness_stay_within_their_range():
    grey = np.full((2, 2, 2, 1), 0.5, np.float32)
    label = np.zeros((2, 2, 2), np.uint8)
    seen = [
        augment(grey, label, np.random.default_rng(i), contrast=0.2, brightness=0.1)
        for i in range(200)
    ]
    values = np.array([image[0, 0, 0, 0] for image, _ in seen])
    # 0.5 x 0.8 - 0.1 to 0.5 x 1.2 + 0.1, and most of that range is met.
    assert 0.3 <= values.min() < 0.36
    assert 0.64 < values.max() <= 0.7
    assert all(image.dtype == np.float32 for image, _ in seen)


def test_intensities_stay_in_the_scaled_range_and_the_input_is_kept(sample):
    before = sample[0].copy()
    for i in range(20):
        rng = np.random.default_rng(i)
        image, _ = augment(*sample, rng, (0.5,) * 3, contrast=0.5, brightness=0.5)
        assert np.abs(image).max() <= 1
    assert np.array_equal(sample[0], before)


def test_the_same_generator_gives_the_same_sample(sample):
    settings = dict(flip=(0.5, 0.5, 0.5), contrast=0.2, brightness=0.1)
    one = augment(*sample, np.random.default_rng(7), **settings)
    two = augment(*sample, np.random.default_rng(7), **settings)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
