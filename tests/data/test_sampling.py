from types import MappingProxyType

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, bounding_box
from vnet_jax.data.cached_case import CachedCase
from vnet_jax.data.cases import Case
from vnet_jax.data.sampling import sample_patch, sample_roi

CLIP = (-250.0, 250.0)
SPACING_MM = (3.0, 1.0, 0.5)


def cached(image, label):
    """A case in memory; sampling sees no difference to a memory-mapped one."""
    image.flags.writeable = label.flags.writeable = False
    grid = Grid(image.shape, np.diag([*SPACING_MM, 1.0]))
    box = bounding_box(label > 0)
    header = MappingProxyType({"foreground_box": box and [list(p) for p in box]})
    return CachedCase("x", image, label, grid, Case("x", None), header)


def numbered(shape):
    """Voxel i has the value i - 200 HU, so that every voxel tells where it is from."""
    assert np.prod(shape) <= 400
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 200


def where(image):
    """Numbers of the voxels in a cut, undoing the scaling."""
    return np.rint(image[..., 0] * 250 + 200).astype(int)


def starts(draw, case, n=300):
    """Starts of n cuts of a numbered volume that need no padding."""
    found = []
    for seed in range(n):
        image, _ = draw(np.random.default_rng(seed))
        first = where(image)[0, 0, 0]
        found.append(np.unravel_index(first, case.image.shape))
    return np.array(found)


def test_a_patch_is_the_same_box_of_image_and_label():
    label = np.zeros((4, 8, 10), np.uint8)
    label[1, 3:6, 4:8] = 1
    label[2, 4, 5] = 2
    case = cached(numbered(label.shape), label)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        image, cut = sample_patch(case, rng, (2, 4, 6), 0.5, CLIP, 0.0)
        assert image.shape == (2, 4, 6, 1)
        assert (image.dtype, cut.dtype) == (np.float32, np.uint8)
        np.testing.assert_array_equal(cut, label.ravel()[where(image)])


def test_patches_anywhere_reach_both_ends_and_nothing_beyond():
    case = cached(numbered((4, 8, 10)), np.zeros((4, 8, 10), np.uint8))
    found = starts(lambda rng: sample_patch(case, rng, (2, 4, 6), 0.0, CLIP, 0.0), case)
    for axis, last in enumerate((2, 4, 4)):
        np.testing.assert_array_equal(np.unique(found[:, axis]), np.arange(last + 1))


def test_patches_around_foreground_hold_it_in_their_middle():
    label = np.zeros((5, 8, 10), np.uint8)
    label[2, 3, 4] = label[3, 5, 6] = 1
    case = cached(numbered(label.shape), label)
    found = starts(lambda rng: sample_patch(case, rng, (2, 4, 6), 1.0, CLIP, 0.0), case)
    # Centres (2, 3, 4) and (3, 5, 6), less half of (2, 4, 6).
    assert {tuple(int(n) for n in s) for s in found} == {(1, 1, 1), (2, 3, 3)}
    share = (found[:, 0] == 1).mean()
    assert 0.4 < share < 0.6


def test_patches_around_foreground_at_the_edge_stay_inside():
    label = np.zeros((5, 8, 10), np.uint8)
    label[0, 0, 9] = 1
    case = cached(numbered(label.shape), label)
    found = starts(
        lambda rng: sample_patch(case, rng, (2, 4, 6), 1.0, CLIP, 0.0), case, 3
    )
    np.testing.assert_array_equal(found, [[0, 0, 4]] * 3)


def test_the_share_of_foreground_patches():
    label = np.zeros((3, 10, 13), np.uint8)
    label[1, 5, 6] = 1  # centred only by the start (1, 5, 6), else one draw in 390
    case = cached(numbered(label.shape), label)
    found = starts(
        lambda rng: sample_patch(case, rng, (1, 1, 1), 0.5, CLIP, 0.0), case, 400
    )
    share = (found == (1, 5, 6)).all(axis=1).mean()
    assert 0.42 < share < 0.58


def test_a_case_without_foreground_gives_patches_too():
    case = cached(numbered((4, 8, 10)), np.zeros((4, 8, 10), np.uint8))
    _, cut = sample_patch(case, np.random.default_rng(0), (2, 4, 6), 1.0, CLIP, 0.0)
    assert not cut.any()


@pytest.mark.parametrize("pad_value", [0.0, -1.0])
def test_a_small_volume_is_whole_in_the_patch_and_padded_after_scaling(pad_value):
    label = np.ones((2, 3, 4), np.uint8)
    image = np.full(label.shape, 125, np.int16)
    case = cached(image, label)
    placed = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        cut, mask = sample_patch(case, rng, (4, 3, 6), 0.5, CLIP, pad_value)
        assert np.count_nonzero(mask) == mask.sum() == 24
        np.testing.assert_array_equal(cut[mask == 1], np.float32(0.5))
        np.testing.assert_array_equal(cut[mask == 0], np.float32(pad_value))
        placed.add(bounding_box(mask > 0)[0])
    assert {p[0] for p in placed} == {0, 1, 2}
    assert {p[2] for p in placed} == {0, 1, 2}


def test_values_are_clipped_to_the_range():
    image = np.array([-1000, -250, 0, 100, 250, 3000], np.int16).reshape(1, 1, 6)
    case = cached(image, np.zeros((1, 1, 6), np.uint8))
    rng = np.random.default_rng(0)
    cut, _ = sample_patch(case, rng, (1, 1, 6), 0.0, CLIP, 0.0)
    np.testing.assert_allclose(cut[0, 0, :, 0], [-1, -1, 0, 0.4, 1, 1])


def one_box(shape=(4, 8, 12), start=(1, 2, 3), size=(1, 2, 4)):
    label = np.zeros(shape, np.uint8)
    label[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = 1
    return cached(numbered(shape), label)


def test_the_region_is_centred_on_the_box():
    case = one_box()
    # Middle of the box (1.5, 3, 5), in edges of voxels; half of (1, 4, 6) less.
    (found,) = starts(
        lambda rng: sample_roi(case, rng, (1, 4, 6), 1.0, (0, 0, 0), CLIP, 0.0), case, 1
    )
    np.testing.assert_array_equal(found, [1, 1, 2])


def test_the_jitter_reaches_its_ends_in_mm_and_no_further():
    case = one_box((4, 8, 12), (1, 3, 5), (1, 1, 1))
    # 3 mm are 1 slice, 1 mm one row, 1.5 mm three columns of 0.5 mm. The region (3, 5,
    # 9) starts at (0, 1, 1) without jitter.
    found = starts(
        lambda rng: sample_roi(case, rng, (3, 5, 9), 1.0, (3, 1, 1.5), CLIP, 0.0), case
    )
    for axis, expected in enumerate(([0, 1], [0, 1, 2], [0, 1, 2, 3])):
        np.testing.assert_array_equal(np.unique(found[:, axis]), expected)


@pytest.mark.parametrize("jitter_mm", [(0, 0, 0), (2, 2, 2), (50, 50, 50)])
def test_all_foreground_stays_inside_whatever_the_jitter(jitter_mm):
    rng = np.random.default_rng(1)
    for _ in range(200):
        shape = rng.integers(3, 7, 3)
        start = [int(rng.integers(0, n)) for n in shape]
        size = [
            int(rng.integers(1, n - a + 1)) for a, n in zip(start, shape, strict=True)
        ]
        case = one_box(tuple(shape), start, size)
        region = [int(rng.integers(n, 9)) for n in size]
        _, cut = sample_roi(case, rng, region, 1.0, jitter_mm, CLIP, 0.0)
        assert cut.sum() == case.label.sum()


def test_the_region_pads_only_where_the_volume_is_smaller():
    rng = np.random.default_rng(2)
    for _ in range(200):
        shape = tuple(int(n) for n in rng.integers(3, 7, 3))
        case = one_box(shape, (0, 0, 0), (1, 2, 1))
        region = [int(n) for n in rng.integers(2, 9, 3)]
        image, _ = sample_roi(case, rng, region, 1.0, (9, 9, 9), CLIP, -7.0)
        real = image[..., 0] != -7
        expected = np.minimum(region, shape)
        assert bounding_box(real)[1] == tuple(expected)
        assert real.sum() == np.prod(expected)


def test_a_region_smaller_than_the_foreground_stays_inside_it():
    case = one_box((4, 8, 12), (0, 0, 2), (4, 8, 8))
    for seed in range(50):
        rng = np.random.default_rng(seed)
        _, cut = sample_roi(case, rng, (4, 8, 5), 1.0, (9, 9, 9), CLIP, 0.0)
        assert cut.all()


def test_regions_off_the_kidneys_lie_anywhere_in_the_ct():
    case = one_box((4, 8, 12), (1, 3, 5), (1, 1, 1))
    draw = (3, 5, 9), 0.0, (0, 0, 0), CLIP, 0.0
    found = starts(lambda rng: sample_roi(case, rng, *draw), case, 400)
    for axis, last in enumerate((1, 3, 3)):
        np.testing.assert_array_equal(np.unique(found[:, axis]), range(last + 1))


def test_a_share_of_the_regions_is_around_the_kidneys():
    case = one_box((1, 1, 400), (0, 0, 5), (1, 1, 1))
    rng = np.random.default_rng(3)
    draw = (1, 1, 1), 0.75, (0, 0, 0), CLIP, 0.0
    around = [bool(sample_roi(case, rng, *draw)[1].any()) for _ in range(400)]
    assert 270 <= sum(around) <= 330  # 300, and 1 in 400 of the others


def test_without_foreground_the_region_is_in_the_middle_of_the_volume():
    case = cached(numbered((4, 8, 12)), np.zeros((4, 8, 12), np.uint8))
    (found,) = starts(
        lambda rng: sample_roi(case, rng, (2, 4, 6), 1.0, (0, 0, 0), CLIP, 0.0), case, 1
    )
    np.testing.assert_array_equal(found, [1, 2, 3])


def test_the_generator_is_all_the_randomness():
    case = one_box()
    for draw, args in (
        (sample_patch, ((2, 4, 6), 0.5)),
        (sample_roi, ((2, 4, 6), 0.5, (3, 3, 3))),
    ):
        one, two = (
            draw(case, np.random.default_rng(5), *args, CLIP, 0.0) for _ in range(2)
        )
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
