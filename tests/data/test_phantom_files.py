import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct.geometry import Volume, to_canonical
from vnet_jax.ct.nifti import read_ct, read_labels
from vnet_jax.data.cases import find_cases
from vnet_jax.data.phantom_files import (
    FILES,
    Recipe,
    drawn_recipes,
    is_there,
    painted_recipes,
    write_cases,
)
from vnet_jax.errors import InputError

COARSE = (12.0, 12.5, 12.5)


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*z")}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms")
    assert write_cases(out, drawn_recipes(3, 0, COARSE), shown=False) == (3, [])
    return out


def test_the_layout_is_kits19s(written):
    assert sorted(p.name for p in written.iterdir()) == [
        "case_00000",
        "case_00001",
        "case_00002",
    ]
    for case in find_cases(written):
        assert case.synthetic
        assert case.cysts.name == "cysts.nii.gz"
        ct, labels = read_ct(case.image), read_labels(case.label, (0, 1, 2))
        assert ct.volume.array.dtype == np.int16
        assert ct.volume.grid.axis_codes == ("I", "P", "L")
        assert ct.volume.grid.same_place(labels.volume.grid)
        assert read_labels(case.cysts, (0, 1)).volume.grid.same_place(ct.volume.grid)
        assert nib.load(case.label).get_data_dtype() == np.uint8
        facts = json.loads((case.image.parent / "case.json").read_text())
        assert facts["contrast_phase"] in ("arterial", "nephrographic", "excretory")
        assert facts["shape"] == list(ct.volume.array.shape)


def test_workers_change_nothing(written, tmp_path):
    assert write_cases(tmp_path, drawn_recipes(3, 0, COARSE), 2, shown=False) == (3, [])
    assert bytes_of(tmp_path) == bytes_of(written)


def test_what_is_there_is_kept_and_what_is_not_is_drawn(tmp_path):
    recipes = drawn_recipes(2, 0, COARSE)
    write_cases(tmp_path, recipes[:1], shown=False)
    stamp = (tmp_path / "case_00000" / "imaging.nii.gz").stat().st_mtime_ns
    assert write_cases(tmp_path, recipes, shown=False) == (1, [])
    assert (tmp_path / "case_00000" / "imaging.nii.gz").stat().st_mtime_ns == stamp
    (tmp_path / "case_00001" / "cysts.nii.gz").unlink()
    (tmp_path / ".case_00001.part").mkdir()  # left by a killed writer
    assert write_cases(tmp_path, recipes, shown=False) == (1, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["case_00000", "case_00001"]


@pytest.mark.parametrize(
    "change",
    [{"seed": (1, 0)}, {"spacing_mm": (10.0, 12.5, 12.5)}, {"labels_sha256": "0"}],
)
def test_another_recipe_is_not_there(written, change):
    recipe = drawn_recipes(1, 0, COARSE)[0]
    assert is_there(written, recipe)
    same = dict(id=recipe.id, seed=recipe.seed, spacing_mm=recipe.spacing_mm)
    assert not is_there(written, Recipe(**(same | change)))


def test_a_damaged_record_is_not_there(written, tmp_path):
    recipe = drawn_recipes(1, 0, COARSE)[0]
    for name in FILES:
        (tmp_path / recipe.id).mkdir(exist_ok=True)
        (tmp_path / recipe.id / name).write_bytes(b"{")
    assert not is_there(tmp_path, recipe)


@pytest.fixture
def maps(tmp_path):
    """Label maps: one with KiTS19's axes, the same patient as RAS, one that is bad."""
    labels = np.zeros((14, 40, 48), np.uint8)
    labels[4:10, 18:26, 10:16] = 1
    labels[4:10, 18:26, 30:36] = 1
    labels[6:9, 16:20, 8:12] = 2
    affine = np.array([[0, 0, -8.0, 0], [0, -8, 0, 0], [-8, 0, 0, 0], [0, 0, 0, 1]])
    kits = nib.Nifti1Image(labels, affine)
    for name, image in (
        ("case_00003", kits),
        ("case_00004", nib.as_closest_canonical(kits)),
        ("case_00005", nib.Nifti1Image(labels * 3, affine)),
    ):
        (tmp_path / "maps" / name).mkdir(parents=True)
        nib.save(image, tmp_path / "maps" / name / "segmentation.nii.gz")
    return tmp_path / "maps"


def test_painted_cases_keep_the_maps_grid_and_voxels(maps, tmp_path):
    recipes = painted_recipes(maps, 2, 0)
    assert [r.id for r in recipes] == ["case_00003", "case_00004"]
    seeds = [Recipe(r.id, (0, 9), None, r.labels_sha256, r.labels) for r in recipes]
    out = tmp_path / "out"
    assert write_cases(out, seeds, shown=False) == (2, [])
    volumes = []
    for recipe in recipes:
        given = read_labels(recipe.labels).volume
        label = read_labels(out / recipe.id / "segmentation.nii.gz").volume
        ct = read_ct(out / recipe.id / "imaging.nii.gz").volume
        assert np.array_equal(label.array, given.array)
        assert ct.grid.same_place(given.grid)
        volumes.append(to_canonical(Volume(ct.array, ct.grid)).array)
    assert np.array_equal(*volumes)  # one patient, whatever the file's axes


def test_a_map_is_painted_at_another_slice_thickness(maps, tmp_path):
    thick, own = painted_recipes(maps, 2, 0, slices_mm=(6.0, 3.0))
    assert (thick.slice_mm, own.slice_mm) == (6.0, 3.0)
    assert write_cases(tmp_path / "out", [thick], shown=False) == (1, [])
    given = read_labels(thick.labels).volume
    label = read_labels(tmp_path / "out" / thick.id / "segmentation.nii.gz").volume
    ct = read_ct(tmp_path / "out" / thick.id / "imaging.nii.gz").volume
    assert ct.grid.same_place(label.grid)
    assert to_canonical(label).grid.spacing_mm[0] == pytest.approx(6)
    for value in (1, 2):
        before = (given.array >= value).sum() * given.grid.voxel_ml
        after = (label.array >= value).sum() * label.grid.voxel_ml
        assert after == pytest.approx(before, rel=0.15)


def test_a_bad_map_is_refused_and_the_others_go_on(maps, tmp_path):
    written, refused = write_cases(
        tmp_path / "out", painted_recipes(maps, 9, 0), shown=False
    )
    assert written == 2
    assert len(refused) == 1
    assert refused[0].path == maps / "case_00005" / "segmentation.nii.gz"
    assert not (tmp_path / "out" / "case_00005").exists()


def test_no_maps_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="segmentation"):
        painted_recipes(tmp_path / "nowhere", 3, 0)


def test_an_output_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_cases(tmp_path / "file", drawn_recipes(1, 0, COARSE), shown=False)


def test_cysts_may_have_a_label_of_their_own(tmp_path, written):
    recipes = [replace(r, cyst_value=3) for r in drawn_recipes(3, 0, COARSE)]
    assert write_cases(tmp_path, recipes, shown=False) == (3, [])
    seen = 0
    for name in ("case_00000", "case_00001", "case_00002"):
        as_kidney, own, cysts = (
            read_labels(root / name / f"{file}.nii.gz").volume.array
            for root, file in (
                (written, "segmentation"),
                (tmp_path, "segmentation"),
                (tmp_path, "cysts"),
            )
        )
        np.testing.assert_array_equal(own, np.where(cysts > 0, 3, as_kidney))
        seen += np.count_nonzero(cysts)
    assert seen
    # With and without are two recipes: neither is taken for the other.
    assert is_there(tmp_path, recipes[0])
    assert not is_there(written, recipes[0])
