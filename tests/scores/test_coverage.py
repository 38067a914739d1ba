import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume, to_canonical
from vnet_jax.scores.coverage import coverage

AFFINE = np.array([[0, 0, -2, 50], [0, -2, 0, 60], [-3, 0, 0, 70], [0, 0, 0, 1.0]])


def grid(shape):
    return Grid(shape, AFFINE)


def test_by_hand():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[1, 2, 1:5] = (1, 1, 2, 2)  # columns 1 to 4; the box holds 2 to 5
    box = grid((6, 6, 6)).crop((0, 0, 2), (6, 6, 4))
    assert coverage(truth, grid((6, 6, 6)), box) == 0.75


def test_faces_belong_to_the_box_and_what_is_beyond_does_not():
    truth = np.ones((4, 4, 4), np.uint8)
    whole = grid((4, 4, 4))
    assert coverage(truth, whole, whole) == 1.0
    assert coverage(truth, whole, whole.crop((0, 0, 0), (3, 4, 4))) == 0.75


def test_box_of_other_spacing_covers_the_same_voxels():
    # Blocks of 2: 3 blocks from voxel 2 on reach from 2 to 7.
    truth = np.ones((10, 10, 10), np.uint8)
    fine = grid((10, 10, 10))
    box = fine.crop((2, 2, 2), (6, 6, 6)).downsample((2, 2, 2))
    assert coverage(truth, fine, box) == pytest.approx(0.6**3)


def test_axis_order_and_flips_change_nothing():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (5, 6, 7))
    source = Grid((5, 6, 7), np.diag([2.0, 3.0, 1.5, 1.0]))  # RAS
    turned = to_canonical(Volume(truth, source))
    box = source.crop((1, 2, 3), (3, 3, 3))
    expected = np.count_nonzero(truth[1:4, 2:5, 3:6]) / np.count_nonzero(truth)
    assert coverage(truth, source, box) == pytest.approx(expected)
    assert coverage(turned.array, turned.grid, box) == pytest.approx(expected)


def test_no_box_loses_everything_and_no_truth_loses_nothing():
    some, none = np.ones((2, 2, 2)), np.zeros((2, 2, 2))
    assert coverage(some, grid((2, 2, 2)), None) == 0.0
    assert coverage(none, grid((2, 2, 2)), None) == 1.0


def test_box_beyond_the_volume_covers_it():
    truth = np.ones((3, 3, 3), np.uint8)
    assert (
        coverage(truth, grid((3, 3, 3)), grid((3, 3, 3)).crop([-5] * 3, [20] * 3)) == 1
    )
