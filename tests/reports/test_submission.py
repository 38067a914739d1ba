import os
import zipfile

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.errors import InputError
from vnet_jax.reports.submission import listed, write_submission

GRID = Grid((4, 5, 6), np.diag([-3.0, 2.0, 2.0, 1.0]))
NUMBERS = (210, 211)


def mask():
    out = np.zeros(GRID.shape, np.uint8)
    out[1:3, 1:4, 1:4], out[1, 2, 2] = 1, 2
    return out


@pytest.fixture
def folders(tmp_path):
    for number in NUMBERS:
        case = tmp_path / "cts" / f"case_{number:05d}"
        case.mkdir(parents=True)
        write_image(case / "imaging.nii.gz", np.zeros(GRID.shape, np.int16), GRID)
    (tmp_path / "masks").mkdir()
    for name in ("case_00210.nii.gz", "prediction_00211.nii", "case_00000.nii.gz"):
        write_mask(tmp_path / "masks" / name, mask(), GRID)
    return tmp_path


def write(folder, **options):
    given = {"numbers": NUMBERS, **options}
    path = folder / "predictions.zip"
    return write_submission(path, folder / "masks", folder / "cts", **given)


def test_the_archive_as_the_site_takes_it(folders):
    assert write(folders) == []
    with zipfile.ZipFile(folders / "predictions.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "prediction_00210.nii.gz",
            "prediction_00211.nii.gz",
        ]
        archive.extractall(folders / "out")
    for number in NUMBERS:
        image = nib.load(folders / "out" / f"prediction_{number:05d}.nii.gz")
        assert image.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.asarray(image.dataobj), mask())
        np.testing.assert_allclose(image.affine, GRID.affine)


def test_the_same_masks_give_the_same_bytes(folders):
    write(folders)
    first = (folders / "predictions.zip").read_bytes()
    write(folders)
    assert (folders / "predictions.zip").read_bytes() == first


def test_a_cyst_is_written_as_kidney(folders):
    four = mask()
    four[2, 3, 3] = 3
    write_mask(folders / "masks" / "case_00210.nii.gz", four, GRID)
    write(folders)
    with zipfile.ZipFile(folders / "predictions.zip") as archive:
        archive.extract("prediction_00210.nii.gz", folders)
    image = nib.load(folders / "prediction_00210.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask())


def test_missing_cases_are_named_and_nothing_is_written(folders):
    with pytest.raises(InputError, match="2 of 4 predictions are missing: 298 to 299"):
        write(folders, numbers=(*NUMBERS, 298, 299))
    assert sorted(os.listdir(folders)) == ["cts", "masks"]
    missing = write(folders, numbers=(*NUMBERS, 298, 299), allow_missing=True)
    assert missing == [298, 299]
    with pytest.raises(InputError, match="1 of 1"):  # nothing is no submission
        write(folders, numbers=(298,), allow_missing=True)


def test_a_mask_on_another_grid_leaves_the_old_archive_alone(folders):
    (folders / "predictions.zip").write_bytes(b"of yesterday")
    moved = GRID.affine.copy()
    moved[0, 3] += 1
    write_mask(
        folders / "masks" / "prediction_00211.nii", mask(), Grid(GRID.shape, moved)
    )
    with pytest.raises(InputError, match=r"prediction_00211\.nii: 4 x 5 x 6 voxels"):
        write(folders)
    assert (folders / "predictions.zip").read_bytes() == b"of yesterday"
    assert len(os.listdir(folders)) == 3


@pytest.mark.parametrize("trouble", ["value", "ct", "folder"])
def test_other_bad_input(folders, trouble):
    if trouble == "value":
        write_mask(folders / "masks" / "case_00210.nii.gz", mask() * 2, GRID)
    elif trouble == "ct":
        (folders / "cts" / "case_00211" / "imaging.nii.gz").unlink()
    else:
        (folders / "cts").rename(folders / "elsewhere")
    with pytest.raises(InputError, match=r"4|no CT of case_00211|no such folder"):
        write(folders)


def test_runs_of_numbers():
    assert listed([7, 1, 2, 3]) == "1 to 3, 7"
    assert listed([]) == ""
