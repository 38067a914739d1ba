import warnings

import numpy as np
import pytest
from scipy import ndimage

from vnet_jax.scores import surface

SPACING = (3.0, 0.78, 0.5)


def voxel(z):
    mask = np.zeros((9, 3, 3), bool)
    mask[z, 1, 1] = True
    return mask


def test_two_voxels_by_hand():
    """Four voxels apart: half of either surface is 4 steps from the other, half 3."""
    found = surface.distances(voxel(2), voxel(6), SPACING)
    assert sorted(set(found.of_truth_mm)) == [9.0, 12.0]
    assert surface.average_mm(found) == pytest.approx(10.5)
    assert surface.hausdorff_mm(found) == 12
    assert surface.hausdorff_mm(found, 49) == 9
    assert surface.surface_dice(found, 8.99) == 0
    assert surface.surface_dice(found, 9.0) == pytest.approx(0.5)  # the edge counts
    assert surface.surface_dice(found, 12.0) == 1


def test_the_larger_direction_decides():
    truth = voxel(2)
    both = truth | voxel(6)
    found = surface.distances(both, truth, SPACING)
    assert found.of_truth_mm.max() == 0
    assert surface.hausdorff_mm(found, 100) == 12
    assert surface.hausdorff_mm(surface.distances(truth, both, SPACING), 100) == 12
    # of the prediction's area a quarter lies 12 mm off, a quarter 9, half 0
    assert surface.average_mm(found) == pytest.approx((0.25 * 12 + 0.25 * 9) * 2 / 3)


def test_a_large_wall_shifted_by_a_slice():
    """Two plates, four slices thick: the large faces lie one slice apart."""
    prediction, truth = np.zeros((2, 12, 200, 200), bool)
    prediction[4:8], truth[5:9] = True, True
    found = surface.distances(prediction, truth, SPACING)
    assert surface.hausdorff_mm(found) == 3.0
    assert surface.surface_dice(found, 3.0) == 1
    # Three slices of the side walls coincide, and one edge of each with the fourth.
    around, edge = 2 * 199 * (0.78 + 0.5), np.hypot(3, 0.78) / 2
    walls, faces = 3 * 3 * around, 2 * 199**2 * 0.78 * 0.5
    expected = (walls + edge * around) / (walls + 2 * edge * around + faces)
    assert surface.surface_dice(found, 0.4) == pytest.approx(expected, rel=0.01)


def test_equal_masks():
    mask = np.random.default_rng(0).random((5, 6, 7)) < 0.4
    assert surface.score(mask, mask, SPACING, 0.0) == dict(
        surface_dice=1.0, hd95_mm=0.0, assd_mm=0.0
    )


def test_empty_masks():
    none, some = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)
    nothing = dict(surface_dice=0.0, hd95_mm=None, assd_mm=None)
    assert surface.score(some, none, SPACING, 1) == nothing
    assert surface.score(none, some, SPACING, 1) == nothing
    agreed = dict(surface_dice=1.0, hd95_mm=0.0, assd_mm=0.0)
    assert surface.score(none, none, SPACING, 1) == agreed
    with pytest.raises(ValueError, match="no surface"):
        surface.distances(some, none, SPACING)


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3, 3\) and \(3, 3, 4\)"):
        surface.distances(np.ones((3, 3, 3), bool), np.ones((3, 3, 4), bool), SPACING)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_published_program(seed):
    """DeepMind's `surface-distance`, with which KiTS21 and KiTS23 are scored."""
    oracle = pytest.importorskip("surface_distance")
    rng = np.random.default_rng(seed)
    spacing, shape = tuple(rng.uniform(0.4, 3, 3)), rng.integers(6, 24, 3)
    noise = rng.normal(size=(2, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, *[seed % 3] * 3))
    truth, prediction = smooth > 0.02
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses names that SciPy has retired
        theirs = oracle.compute_surface_distances(truth, prediction, spacing)
    found = surface.distances(prediction, truth, spacing)
    for tolerance in (spacing[0], 1.0331, 2.0):
        expected = oracle.compute_surface_dice_at_tolerance(theirs, tolerance)
        assert surface.surface_dice(found, tolerance) == pytest.approx(expected)
    for percent in (51, 95, 100):
        expected = oracle.compute_robust_hausdorff(theirs, percent)
        assert surface.hausdorff_mm(found, percent) == pytest.approx(expected)
    means = oracle.compute_average_surface_distance(theirs)
    ours = [
        np.average(found.of_truth_mm, weights=found.truth_mm2),
        np.average(found.of_prediction_mm, weights=found.prediction_mm2),
    ]
    assert ours == pytest.approx(means)
