"""Every faulty file through what `bin/infer.py` does.

The numbers are those of `docs/faults.md`.
"""

import io
import json

import nibabel as nib
import numpy as np
import pytest

from tests.faults import files
from tests.fuzz import models
from vnet_jax.ct import nifti
from vnet_jax.inference import batch

TRUTH = np.select([files.HU >= 100, files.HU >= 30], [1, 2])


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return models.known_pair(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def infer(segmenter, tmp_path, monkeypatch):
    """Segments faulty files; returns the lines of those that failed, by name."""
    monkeypatch.setattr(batch, "case_picture", lambda path, *_, **__: path.touch())

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
    assert left == {healthy.name}


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
