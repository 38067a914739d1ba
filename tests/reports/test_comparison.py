import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, from_canonical
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.data.cases import find_cases
from vnet_jax.errors import InputError
from vnet_jax.reports import comparison

AFFINE = np.array([[0, 0, -2, 50], [0, -2, 0, 60], [-3, 0, 0, 70], [0, 0, 0, 1.0]])
GRID = Grid((30, 40, 50), AFFINE)
SCORED = [{"id": "case_00000", "phase2": {"kidney": 0.9, "tumour": 0.5}}]


@pytest.fixture
def data(tmp_path):
    """A KiTS19 tree of one case, its prediction, and the true mask."""
    mask = np.zeros(GRID.shape, np.uint8)
    mask[10:20, 10:20, 10:20] = 1
    mask[12:15, 12:15, 12:15] = 2
    noise = np.random.default_rng(0).normal(40, 80, GRID.shape)
    folder = tmp_path / "data" / "case_00000"
    for made in (folder, tmp_path / "masks"):
        made.mkdir(parents=True)
    write_image(folder / "imaging.nii.gz", noise.astype(np.int16), GRID)
    write_mask(folder / "segmentation.nii.gz", mask, GRID)
    write_mask(tmp_path / "masks" / "case_00000.nii.gz", mask, GRID)
    return tmp_path, mask


def draw(folder, monkeypatch, scored=SCORED):
    seen = []
    real = comparison.case_picture
    monkeypatch.setattr(
        comparison, "case_picture", lambda *a, **k: (seen.append((a, k)), real(*a, **k))
    )
    cases = find_cases(folder / "data")
    drawn = comparison.draw(folder / "out", scored, cases, folder / "masks", "notice")
    return drawn, seen


def test_draws_the_prediction_with_the_truth(data, monkeypatch):
    folder, mask = data
    drawn, seen = draw(folder, monkeypatch)
    assert drawn == {"case_00000": folder / "out" / "case_00000.png"}
    assert drawn["case_00000"].stat().st_size > 10_000
    (_, _, predicted, truth), options = seen[0]
    np.testing.assert_array_equal(predicted, mask)
    np.testing.assert_array_equal(truth, mask)
    assert options["subtitle"] == "Dice: kidney 0.900, tumour 0.500"


def test_a_prediction_on_other_axes_is_turned(data, monkeypatch):
    folder, mask = data
    ras = np.diag([2.0, 2.0, 3.0, 1.0])
    ras[:3, 3] = (50 - 98, 60 - 78, 70 - 87)  # the far corner of GRID
    grid = Grid((50, 40, 30), ras)
    write_mask(folder / "masks" / "case_00000.nii.gz", from_canonical(mask, grid), grid)
    _, seen = draw(folder, monkeypatch)
    (_, image, predicted, truth), _ = seen[0]
    np.testing.assert_array_equal(predicted, truth)
    assert image.array.shape == predicted.shape


def test_unknown_cases_are_left_out(data, monkeypatch):
    drawn, _ = draw(data[0], monkeypatch, [{**SCORED[0], "id": "elsewhere"}])
    assert drawn == {}


def test_a_mask_on_another_grid_is_refused(data, monkeypatch):
    folder, mask = data
    moved = AFFINE.copy()
    moved[0, 3] += 5
    path = folder / "masks" / "case_00000.nii.gz"
    write_mask(path, mask, Grid(GRID.shape, moved))
    with pytest.raises(InputError, match="another grid"):
        draw(folder, monkeypatch)
