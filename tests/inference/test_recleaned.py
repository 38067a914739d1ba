import json

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import read_labels, write_image, write_mask
from vnet_jax.errors import InputError
from vnet_jax.inference.postprocess import PAPER, PostProcessing
from vnet_jax.inference.recleaned import clean_folder

GRID = Grid((6, 20, 20), np.diag([-3.0, -1.0, -1.0, 1.0])[[2, 1, 0, 3]])


@pytest.fixture
def folders(tmp_path):
    """A kidney with a cyst that was taken for a tumour, and a speck far from it."""
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1:5, 2:10, 2:10] = 1
    mask[2:4, 4:6, 4:6] = 2
    mask[0, 18:, 18:] = 1
    hu = np.where(mask > 0, 40, -1000).astype(np.int16)
    hu[mask == 2] = 2
    data, masks = tmp_path / "data", tmp_path / "masks"
    data.mkdir()
    masks.mkdir()
    for name in ("case_00000", "case_00001"):
        write_image(data / f"{name}.nii.gz", hu, GRID)
        write_mask(masks / f"{name}_raw.nii.gz", mask, GRID)
    return masks, data, tmp_path / "out", mask


def cleaned(out, name="case_00000"):
    return read_labels(out / f"{name}.nii.gz").volume.array


def test_the_papers_rules_and_each_alone(folders):
    masks, data, out, mask = folders
    assert clean_folder(masks, data, out, PAPER, shown=False) == (2, [])
    assert set(np.unique(cleaned(out))) == {0, 1}
    assert cleaned(out)[0, 19, 19] == 0
    facts = json.loads((out / "case_00001.json").read_text())
    assert len(facts["ledger"]) == 2
    clean_folder(masks, data, out, PostProcessing(steps=("hu",)), shown=False)
    assert cleaned(out)[0, 19, 19] == 1 and not (cleaned(out) == 2).any()
    clean_folder(masks, data, out, PostProcessing(steps=()), shown=False)
    np.testing.assert_array_equal(cleaned(out), mask)


def test_a_case_that_cannot_be_cleaned_leaves_the_others(folders):
    masks, data, out, _ = folders
    (data / "case_00000.nii.gz").unlink()
    count, (reason,) = clean_folder(masks, data, out, PAPER, shown=False)
    assert count == 1 and "case_00000" in reason
    assert not (out / "case_00000.nii.gz").exists()


def test_nothing_to_clean(folders, tmp_path):
    masks, data, out, _ = folders
    with pytest.raises(InputError, match="holds no mask named"):
        clean_folder(data, data, out, PAPER)
    with pytest.raises(InputError, match="name another --out"):
        clean_folder(masks, data, masks, PAPER)
    with pytest.raises(InputError, match="no such folder"):
        clean_folder(tmp_path / "nowhere", data, out, PAPER)
