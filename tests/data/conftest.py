"""Tiny data sets in KiTS19's layout, whose anatomy is a few boxes."""

import nibabel as nib
import numpy as np
import pytest

SPACING_MM = (3.0, 1.0, 1.0)
#: The KiTS files' own axes: indices grow towards inferior, posterior and left.
AFFINE = np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])
SHAPE = (12, 40, 44)
#: First voxels and shape of the foreground, kidney and tumour together.
BOX = ((3, 10, 8), (6, 12, 30))


def anatomy(shape=SHAPE):
    """Air, a body of fat and muscle, two kidneys of 180 HU, a tumour of 60 HU.

    Returns:
        image int16 HU and label uint8 of `shape`, which is at least SHAPE.
    """
    image = np.full(shape, -1000, np.int16)
    image[:, 4:36, 3:41] = -100
    image[:, 6:34, 5:40] = 50
    label = np.zeros(shape, np.uint8)
    label[3:9, 10:22, 8:16] = 1
    label[3:9, 10:22, 30:38] = 1
    label[5:7, 14:18, 10:14] = 2
    image[label == 1] = 180
    image[label == 2] = 60
    return image, label


def save(path, array, affine=AFFINE):
    """Writes a NIfTI file with nibabel, an independent writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def add_case(tmp_path):
    """A function that adds a case to the tree at tmp_path / "kits"; returns its folder.

    `label` is an array, True for the anatomy's own, or None for a test case.
    """

    def add(name="case_00000", image=None, label=True, affine=AFFINE, cysts=None):
        folder = tmp_path / "kits" / name
        own_image, own_label = anatomy()
        save(folder / "imaging.nii.gz", own_image if image is None else image, affine)
        if label is not None:
            label = own_label if label is True else label
            save(folder / "segmentation.nii.gz", label, affine)
        if cysts is not None:
            save(folder / "cysts.nii.gz", cysts, affine)
        return folder

    return add


@pytest.fixture
def make_anatomy():
    """The function `anatomy`, for tests that change what it draws."""
    return anatomy


@pytest.fixture
def save_nifti():
    """The function `save`."""
    return save


@pytest.fixture
def kits_affine():
    """AFFINE, 3 x 1 x 1 mm."""
    return AFFINE.copy()


@pytest.fixture
def foreground_box():
    """BOX: (start, shape) of the anatomy's foreground."""
    return BOX
