"""Every faulty file through what `bin/infer.py` does.

The numbers are those of `docs/faults.md`.
"""

import io
import json
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.faults import files
from tests.fuzz import models
from tests.inference import known
from tests.inference.conftest import IPL
from vnet_jax.ct import nifti
from vnet_jax.ct.geometry import Grid
from vnet_jax.inference import batch, case_files
from vnet_jax.inference.segment import Segmenter

TRUTH = np.select([files.HU >= 100, files.HU >= 30], [1, 2])


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return models.known_pair(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take longer than all the rest; `make fuzz` draws some."""
    monkeypatch.setattr(case_files, "case_picture", lambda path, *_, **__: path.touch())


@pytest.fixture
def infer(segmenter, tmp_path):
    """Segments faulty files; returns the lines of those that failed, by name."""

    def run(faults):
        paths = {fault.name: files.put(fault, tmp_path / "in") for fault in faults}
        before = {path: path.read_bytes() for path in paths.values()}
        for path in paths.values():
            path.chmod(0o444)
        jobs = batch.plan(tmp_path / "in", tmp_path / "out")
        assert len(jobs) == len(faults)
        failed = batch.run(jobs, segmenter, stream=io.StringIO())
        assert {path: path.read_bytes() for path in paths.values()} == before
        return {job.name: line for job, line in failed}

    return run


def test_refused_each_with_one_line_and_nothing_written(infer, tmp_path):
    healthy = files.SAME[0]
    lines = infer([*files.REFUSED, healthy])
    for fault in files.REFUSED:
        line = lines.pop(fault.name)
        assert line.startswith(str(tmp_path / "in" / fault.name)) and "\n" not in line
        assert fault.word in line and "; " in line, line
    assert not lines  # the others went on
    left = {path.name.split(".")[0] for path in (tmp_path / "out").iterdir()}
    assert left == {healthy.name, "labels_slicer", "labels_itksnap"}


def told(tmp_path, fault) -> bool:
    facts = json.loads((tmp_path / "out" / f"{fault.name}.json").read_text())
    texts = [warning["text"] for warning in facts["warnings"]]
    return any(fault.word in text for text in texts) or not fault.word


def test_read_as_the_same_ct_they_have_the_same_mask(infer, tmp_path):
    assert infer(files.SAME) == {}
    for fault in files.SAME:
        mask = nib.load(tmp_path / "out" / f"{fault.name}.nii.gz")
        assert mask.get_data_dtype() == np.uint8
        source = nifti.read_ct(tmp_path / "in" / f"{fault.name}{fault.ending}")
        assert mask.shape == source.volume.grid.shape
        np.testing.assert_allclose(mask.affine, source.volume.grid.affine, atol=1e-5)
        back = nib.as_closest_canonical(mask)
        found = np.asarray(back.dataobj)[::-1, ::-1, ::-1].transpose(2, 1, 0)
        np.testing.assert_array_equal(found, TRUTH, fault.name)
        assert told(tmp_path, fault), fault


def test_mended_or_doubtful_they_have_a_mask_in_their_own_place(infer, tmp_path):
    assert infer(files.READ) == {}
    for fault in files.READ:
        mask = nib.load(tmp_path / "out" / f"{fault.name}.nii.gz")
        source = nifti.read_ct(tmp_path / "in" / f"{fault.name}.nii.gz")
        assert mask.shape == source.volume.grid.shape
        np.testing.assert_allclose(mask.affine, source.volume.grid.affine, atol=1e-5)
        found = np.asarray(mask.dataobj) > 0
        if fault.name != "thin":  # a single one of the network's slices sees it all
            assert np.median(source.volume.array[found]) > 100
        assert told(tmp_path, fault), fault
    once = nib.load(tmp_path / "out" / "scaled_once.nii.gz")
    np.testing.assert_array_equal(
        np.asarray(once.dataobj) == 1, (files.EVEN >= 100) & (TRUTH == 1)
    )


def write(folder, name, array, grid):
    folder.mkdir(exist_ok=True)
    nifti.write_image(folder / f"{name}.nii.gz", array, grid)


def segmented(tmp_path, segmenter, name):
    jobs = batch.plan(tmp_path / "in" / f"{name}.nii.gz", tmp_path / "out")
    assert batch.run(jobs, segmenter, stream=io.StringIO()) == []
    mask = np.asarray(nib.load(tmp_path / "out" / f"{name}.nii.gz").dataobj)
    return mask, json.loads((tmp_path / "out" / f"{name}.json").read_text())


def test_no_kidney_in_the_picture_is_no_failure(tmp_path, segmenter):
    chest = np.minimum(files.HU, 20)
    write(tmp_path / "in", "chest", chest, IPL)
    mask, facts = segmented(tmp_path, segmenter, "chest")
    assert not mask.any() and facts["status"] == "no_kidney"
    assert facts["tumours"] == [] and facts["box"] is None


def test_a_symbolic_link_is_read_and_stays_one(tmp_path, segmenter):
    path = files.put(files.SAME[0], tmp_path / "anderswo ö")
    (tmp_path / "in").mkdir()
    link = tmp_path / "in" / "a link.nii.gz"
    link.symlink_to(path)
    mask, _ = segmented(tmp_path, segmenter, "a link")
    np.testing.assert_array_equal(mask, TRUTH)
    assert link.is_symlink() and path.read_bytes() == files.WHOLE


@pytest.mark.parametrize("shape", [(16, 16, 16), (48, 40, 48)])
def test_small_volumes_are_padded(tmp_path, segmenter, shape):
    cut = tuple(slice(n) for n in shape)
    array = np.concatenate([files.HU, files.HU[-1:].repeat(24, axis=0)])[cut]
    write(tmp_path / "in", "small", array, IPL.crop((0, 0, 0), array.shape))
    mask, _ = segmented(tmp_path, segmenter, "small")
    found, truth = mask > 0, array >= 30
    assert 2 * (found & truth).sum() >= 0.9 * (found.sum() + truth.sum())


def test_1059_slices_are_tiled_within_the_memory_of_a_few_copies(tmp_path):
    """As KiTS19's longest CT; float32 HU, blocks and probabilities at once."""
    array = np.full((1059, 40, 48), -100, np.int16)
    array[:, :3] = -1000
    array[500:540, 14:24, 8:16] = array[500:540, 14:24, 32:40] = 190
    grid = IPL.crop((0, 0, 0), array.shape)
    affine = grid.affine.copy()
    affine[:3, 0] *= 0.3  # 1.5 mm: 1.6 m long
    write(tmp_path / "in", "long", array, Grid(array.shape, affine))
    segmenter = known_at(tmp_path / "runs", (1.5, 3.0, 2.5))
    tracemalloc.start()
    mask, facts = segmented(tmp_path, segmenter, "long")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(mask > 0, array == 190)
    assert facts["forward_passes"]["phase1"] > 30
    assert most < 15 * array.nbytes


def known_at(folder, spacing_mm):
    """The known pair for CTs of another spacing."""
    variables = {"params": {"net": known.variables()["params"]}, "batch_stats": {}}
    paths = []
    for phase, downsample in ((1, (1, 2, 2)), (2, (1, 1, 1))):
        config = known.config(
            phase,
            spacing_mm,
            downsample,
            (32, 32, 32) if phase == 1 else (48, 40, 48),
            factory=f"{models.__name__}:threshold",
        )
        members = {1: (0.5, variables)}
        paths.append(known.write_run(folder / f"phase{phase}", config, members))
    return Segmenter(paths[0], [paths[1]])
