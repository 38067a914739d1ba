"""A data set of three boxes a case, and an engine's place in it."""

import json

import nibabel as nib
import numpy as np
import pytest

SPACING_MM = (3.0, 1.0, 1.0)
AFFINE = np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])
SHAPE = (14, 40, 44)


def draw_anatomy(shift=(0, 0, 0)):
    """Air, fat, muscle, two kidneys of 180 HU and a tumour of 60 HU, shifted by voxels.

    Returns:
        image int16 HU, label uint8.
    """
    image = np.full(SHAPE, -1000, np.int16)
    image[:, 4:36, 3:41] = -100
    image[:, 6:34, 5:40] = 50
    label = np.zeros(SHAPE, np.uint8)
    z, y, x = shift
    label[4 + z : 10 + z, 10 + y : 22 + y, 8 + x : 16 + x] = 1
    label[4 + z : 10 + z, 10 + y : 22 + y, 30 + x : 36 + x] = 1
    label[6 + z : 8 + z, 14 + y : 18 + y, 10 + x : 14 + x] = 2
    image[label == 1] = 180
    image[label == 2] = 60
    return image, label


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)


@pytest.fixture
def anatomy():
    """The function that draws a case."""
    return draw_anatomy


@pytest.fixture
def dataset(tmp_path):
    """A function that writes a KiTS19 tree of `n` cases and returns its folder."""

    def write(n=8):
        for k in range(n):
            image, label = draw_anatomy((k % 3, k % 4, k % 2))
            folder = tmp_path / "kits" / f"case_{k:05d}"
            save(folder / "imaging.nii.gz", image)
            save(folder / "segmentation.nii.gz", label)
        return tmp_path / "kits"

    return write


@pytest.fixture
def scores(tmp_path):
    """A scores.json in which case k has the tumour Dice k / 10."""
    cases = [
        {"id": f"case_{k:05d}", "phase2": {"tumour": k / 10, "kidney": 1 - k / 10}}
        for k in range(8)
    ]
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"cases": cases}))
    return path
