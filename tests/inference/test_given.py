import nibabel as nib
import numpy as np
import pytest

from tests.measures.shapes import turned
from vnet_jax.ct.nifti import Scan, write_mask
from vnet_jax.errors import InputError
from vnet_jax.inference.given import OWN, parse_labels, read_given


@pytest.fixture
def scan(ct):
    return Scan(ct, None, "0", ())


def save(path, array, affine, dtype=np.uint8):
    nib.Nifti1Image(array.astype(dtype), affine).to_filename(path)
    return path


def codes(given):
    return [warning["code"] for warning in given.warnings]


def test_a_mask_on_the_ct_s_voxels_is_taken_as_it_is(tmp_path, scan, truth):
    write_mask(tmp_path / "x.nii.gz", truth, scan.volume.grid)
    given = read_given(tmp_path / "x.nii.gz", OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert given.facts["fit"] == "same"
    assert given.warnings == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("order", "flips"), [((2, 1, 0), (-1, -1, -1)), ((1, 2, 0), (1, -1, 1))]
)
def test_another_axis_order_and_type_change_nothing(
    tmp_path, scan, truth, order, flips, dtype
):
    v = turned(truth, scan.volume.grid, order, flips)
    path = save(tmp_path / "x.nii.gz", v.array, v.grid.affine, dtype)
    given = read_given(path, OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert given.facts["fit"] == "moved"
    assert given.warnings == []


def test_a_cropped_and_a_larger_extent_are_moved(tmp_path, scan, truth):
    grid = scan.volume.grid
    cropped = grid.crop((5, 10, 4), (14, 20, 40))
    path = save(tmp_path / "a.nii.gz", truth[5:19, 10:30, 4:44], cropped.affine)
    given = read_given(path, OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    larger = grid.crop((-3, -2, -4), np.array(grid.shape) + 9)
    padded = np.pad(truth, [(3, 6), (2, 7), (4, 5)])
    given = read_given(save(tmp_path / "b.nii", padded, larger.affine), OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert (given.facts["fit"], given.warnings) == ("moved", [])


def test_labels_beyond_the_ct_are_told(tmp_path, scan, truth):
    grid = scan.volume.grid
    larger = grid.crop((-3, 0, 0), np.add(grid.shape, (3, 0, 0)))
    padded = np.pad(truth, [(3, 0), (0, 0), (0, 0)])
    padded[0, :10, :10] = 1
    given = read_given(save(tmp_path / "x.nii", padded, larger.affine), OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert codes(given) == ["mask_cut"]
    assert f"{100 * grid.voxel_ml:.1f} ml" in given.warnings[0]["text"]


def test_an_origin_that_was_rounded_is_the_same_place(tmp_path, scan, truth):
    affine = scan.volume.grid.affine.copy()
    affine[:3, 3] += 0.05
    given = read_given(save(tmp_path / "x.nii", truth, affine), OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert (given.facts["fit"], given.warnings) == ("same", [])


def test_other_voxels_take_the_nearest_label_and_say_so(tmp_path, scan, truth):
    grid = scan.volume.grid
    fine = np.repeat(np.repeat(truth, 2, axis=1), 2, axis=2)
    affine = grid.affine @ np.diag([1, 0.5, 0.5, 1.0])
    affine[:3, 3] = grid.to_mm((0, -0.25, -0.25))
    given = read_given(save(tmp_path / "x.nii", fine, affine), OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert (given.facts["fit"], codes(given)) == ("resampled", ["mask_resampled"])
    ml = np.count_nonzero(truth) * grid.voxel_ml
    assert f"({ml:.1f} ml became {ml:.1f} ml)" in given.warnings[0]["text"]


def test_a_turned_grid_is_resampled(tmp_path, scan, truth):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    path = save(tmp_path / "x.nii", truth, turn @ scan.volume.grid.affine)
    given = read_given(path, OWN, scan)
    assert given.facts["fit"] == "resampled"
    count = np.count_nonzero(given.mask)
    assert count == pytest.approx(np.count_nonzero(truth), rel=0.05)


def test_a_mask_of_another_place_is_refused(tmp_path, scan, truth):
    affine = scan.volume.grid.affine.copy()
    affine[0, 3] += 400
    path = save(tmp_path / "x.nii", truth, affine)
    with pytest.raises(InputError, match=r"x\.nii: its labels, around .* lie outside"):
        read_given(path, OWN, scan)


def test_an_empty_mask_is_empty_wherever_it_lies(tmp_path, scan, truth):
    path = save(tmp_path / "x.nii", truth * 0, np.eye(4))
    assert not read_given(path, OWN, scan).mask.any()


def test_values_are_what_labels_says(tmp_path, scan, truth):
    grid = scan.volume.grid
    other = np.array([0, 7, 300], np.int16)[truth]
    other[0, 0, 0] = 12
    path = save(tmp_path / "x.nii", other, grid.affine, np.int16)
    with pytest.raises(InputError, match=r"has the label values 7, 12, 300, and"):
        read_given(path, OWN, scan)
    given = read_given(path, parse_labels(["kidney=7", "Tumor=300"]), scan)
    np.testing.assert_array_equal(given.mask, truth)
    assert codes(given) == ["mask_labels"]
    assert "label values 12 were taken" in given.warnings[0]["text"]


@pytest.mark.parametrize(
    "pairs",
    [["liver=1"], ["kidney"], ["kidney=x"], ["kidney=-1"], ["kidney=1", "cyst=1"]],
)
def test_labels_that_cannot_be_meant(pairs):
    with pytest.raises(InputError, match="--labels"):
        parse_labels(pairs)


def test_a_folder_with_a_mask_for_each_organ(tmp_path, scan, truth):
    affine = scan.volume.grid.affine
    left = np.indices(truth.shape)[2] >= 24
    organs = {
        "kidney_left": (truth > 0) & left,
        "kidney_right": (truth > 0) & ~left,
        "kidney_tumor": truth == 2,
        "liver": np.ones_like(truth),
    }
    for name, organ in organs.items():
        save(tmp_path / f"{name}.nii.gz", organ, affine)
    given = read_given(tmp_path, OWN, scan)
    np.testing.assert_array_equal(given.mask, truth)
    save(tmp_path / "kidney_cyst_left.nii.gz", truth[1:], affine)
    with pytest.raises(InputError, match="lies on another grid than kidney_left"):
        read_given(tmp_path, OWN, scan)


def test_a_folder_without_kidneys_is_refused(tmp_path, scan):
    with pytest.raises(InputError, match=r"holds no kidney_left\.nii\.gz"):
        read_given(tmp_path, OWN, scan)
