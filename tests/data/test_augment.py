import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vnet_jax.data import augment as module
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


OLD = dict(
    flip=(0.5, 0.5, 0.5),
    rotation=15.0,
    stretch=0.2,
    contrast=0.2,
    brightness=0.1,
    noise=0.05,
)
NEW = dict(
    scaling=0.2,
    elastic_mm=2.0,
    elastic_grid_mm=8.0,
    blur_mm=4.0,
    low_resolution=(2.0, 3.0, 3.0),
    gamma=0.5,
)


def as_before(image, label, rng, spacing_mm, *, flip, rotation, stretch, **amounts):
    """What version 0.1.0 computed before elastic changes and the like, in its order."""
    mirrored = np.flatnonzero(rng.random(3) < np.asarray(flip))
    gain, offset = rng.uniform(-1, 1, 2)
    turn, stretches, level = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3), rng.random()
    image, label = np.flip(image, mirrored), np.flip(label, mirrored)
    matrix = Rotation.from_rotvec(np.deg2rad(rotation * turn)).as_matrix()
    matrix = matrix @ np.diag(1 + stretch * stretches)
    image, label = warp(image, label, matrix, spacing_mm)
    image = image * np.float32(1 + amounts["contrast"] * gain)
    image = image + np.float32(amounts["brightness"] * offset)
    grain = rng.standard_normal(image.shape, np.float32)
    image = image + np.float32(amounts["noise"] * level) * grain
    return np.clip(image, -1, 1), label


def test_runs_without_the_younger_changes_see_the_samples_they_saw(sample):
    for i in range(8):
        rngs = np.random.default_rng(i), np.random.default_rng(i)
        now = augment(*sample, rngs[0], SPACING_MM, **OLD)
        before = as_before(*sample, rngs[1], SPACING_MM, **OLD)
        assert np.array_equal(now[0], before[0]) and np.array_equal(now[1], before[1])


RECORDED = {
    "scaling": ("warp", lambda image, label, matrix, *_: matrix[0, 0]),
    "elastic_mm": ("warp", lambda *given: given[4].control_mm.copy()),
    "blur_mm": ("blurred", lambda image, sigma_mm, _: sigma_mm),
    "low_resolution": ("coarsened", lambda image, factors: factors),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_on_moves_no_number_of_another(sample, name, monkeypatch):
    """Each change's own draw is the same, alone and among all the others."""
    drawn = []
    function, look = RECORDED[name]
    real = getattr(module, function)

    def watched(*args):
        drawn.append(look(*args))
        return real(*args)

    monkeypatch.setattr(module, function, watched)
    grid = {"elastic_grid_mm": 8.0}
    off = {"rotation": 0.0, "stretch": 0.0}
    for settings in ({name: NEW[name]} | grid, OLD | NEW | off):
        augment(*sample, np.random.default_rng(3), SPACING_MM, **settings)
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_chance_is_the_share_of_samples_that_change(sample):
    settings = dict(contrast=0.2, chance={"contrast": 0.25})
    changed = [
        not np.array_equal(
            augment(*sample, np.random.default_rng(i), SPACING_MM, **settings)[0],
            sample[0],
        )
        for i in range(400)
    ]
    assert 0.18 < np.mean(changed) < 0.32  # 0.25, three standard deviations
    never = dict(OLD, **NEW, flip=(0, 0, 0), chance=dict.fromkeys(module.KINDS, 0.0))
    image, label = augment(*sample, np.random.default_rng(0), SPACING_MM, **never)
    assert np.array_equal(image, sample[0]) and np.array_equal(label, sample[1])


def test_mirroring_x_swaps_the_classes_of_a_side():
    label = np.zeros((2, 2, 4), np.uint8)
    label[..., 0], label[..., 3], label[..., 1] = 1, 2, 3  # left, right, neither
    image = label[..., None].astype(np.float32) / 3
    rng = np.random.default_rng
    for axis, expected in ((2, [1, 0, 3, 2]), (1, [1, 3, 0, 2])):
        flip = np.eye(3)[axis]
        _, seen = augment(image, label, rng(0), SPACING_MM, flip=flip, swap=((1, 2),))
        assert seen[0, 0].tolist() == expected
    _, plain = augment(image, label, rng(0), SPACING_MM, flip=(0, 0, 1))
    assert plain[0, 0].tolist() == [2, 0, 3, 1]


def test_scaling_keeps_shapes_and_its_range():
    spacing, volumes = (2.0, 2.0, 2.0), []
    label = ball((33,) * 3, 18, spacing).astype(np.uint8)
    image = label[..., None].astype(np.float32)
    for i in range(60):
        rng = np.random.default_rng(i)
        _, seen = augment(image, label, rng, spacing, scaling=0.2)
        extent = np.ptp(np.argwhere(seen), axis=0)
        assert np.ptp(extent) <= 1  # a ball
        volumes.append(seen.sum() / label.sum())
    assert 1 / 1.2**3 - 0.02 < min(volumes) < 0.75
    assert 1.5 < max(volumes) < 1 / 0.8**3 + 0.05


def test_gamma_is_a_power_of_the_intensities_from_0_to_1():
    image = np.array([-1, -0.5, 0, 1], np.float32).reshape(1, 1, 4, 1)
    label, powers = np.zeros((1, 1, 4), np.uint8), []
    for i in range(200):
        rng = np.random.default_rng(i)
        seen = augment(image, label, rng, SPACING_MM, gamma=0.5)[0].ravel()
        power = np.log2(2 / (seen[2] + 1))  # 0 is the half of the range
        np.testing.assert_allclose(seen[1], 2 * 0.25**power - 1, atol=1e-6)
        assert seen[0] == -1 and seen[3] == 1 and seen.dtype == np.float32
        powers.append(power)
    assert 1 / 1.5 <= min(powers) < 0.69 and 1.46 < max(powers) <= 1.5 + 1e-6
    assert abs(np.mean(np.log(powers))) < 0.05


def test_the_same_seed_gives_the_same_sample_with_everything_on(sample):
    one, two = (
        augment(*sample, np.random.default_rng(7), SPACING_MM, **OLD, **NEW)
        for _ in range(2)
    )
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert one[0].shape == sample[0].shape and one[0].dtype == np.float32
    assert np.abs(one[0]).max() <= 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"elastic_mm": 17.0},
            "elastic_mm 17.0, not from 0 to 0.4 of elastic_grid_mm 40",
        ),
        ({"noise": -0.1}, "noise -0.1, not from 0 on"),
        ({"nois": 0.1}, "nois, which is no field"),
        ({"elastic_grid_mm": 1.0}, "elastic_grid_mm 1.0, not from 5.0 on"),
        ({"scaling": 1.0}, "scaling 1.0, not from 0 to below 1"),
        ({"flip": (0, 0, 1.5)}, "probabilities"),
        ({"chance": {"blur": 2.0}}, "probabilities"),
        ({"chance": {"blurr": 0.5}}, r"chance\.blurr, not one of rotation"),
        ({"swap": (1, 2)}, "not pairs of classes"),
        ({"low_resolution": (0.5, 1, 1)}, "not z y x from 1 on"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    module.check(**OLD, **NEW)
    with pytest.raises(ValueError, match=told):
        module.check(**settings)
