"""Real files, where they are at hand: the KiTS19 label maps, a CT without contrast."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct.checks import check_hu
from vnet_jax.ct.geometry import bounding_box
from vnet_jax.ct.nifti import read_ct, read_labels, write_mask
from vnet_jax.ct.resample import to_spacing

DATA = Path(__file__).parents[3] / "shared" / "data"
CT = DATA / "real_ct" / "ct_noncontrast_3mm.nii.gz"


@pytest.mark.parametrize("case", [0, 15, 37, 125])
def test_kits19_labels(case):
    """Cases 15, 37 and 125 are uint16 with a qform only."""
    path = DATA / "kits19_labels_3mm" / f"case_{case:05d}" / "segmentation.nii.gz"
    if not path.exists():
        pytest.skip("the KiTS19 label maps are not there")
    scan, image = read_labels(path, allowed=(0, 1, 2)), nib.load(path)
    grid = scan.volume.grid
    assert scan.warnings == () and grid.axis_codes == ("I", "P", "L")
    np.testing.assert_array_equal(scan.volume.array, np.asarray(image.dataobj))
    np.testing.assert_allclose(grid.affine, image.affine, atol=1e-5)
    same = to_spacing(scan.volume, (3, 0.78162497, 0.78162497), "nearest")
    assert same.grid.shape == grid.shape  # on that grid already
    box = np.array(bounding_box(scan.volume.array)[1])
    assert (box <= (72, 229, 379)).all()  # the largest of all 210


def test_a_real_ct_is_a_ct(tmp_path):
    if not CT.exists():
        pytest.skip("the real CT is not there")
    scan = read_ct(CT)
    assert scan.warnings == () and scan.volume.array.dtype == np.int16
    mask = (scan.volume.array > 300).astype(np.uint8)
    write_mask(tmp_path / "bone.nii.gz", mask, scan.volume.grid)
    found = nib.load(tmp_path / "bone.nii.gz")
    np.testing.assert_allclose(found.affine, nib.load(CT).affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(found.dataobj), mask)


@pytest.mark.parametrize(
    "box", [(slice(40, 80), slice(30, 60), slice(40, 80)), (slice(20, 60),) * 3]
)
def test_a_small_box_of_a_real_ct_is_a_ct(box):
    """Boxes inside the trunk hold little air; they must not be refused."""
    if not CT.exists():
        pytest.skip("the real CT is not there")
    check_hu(read_ct(CT).volume.array[box])
