import errno
import io
import json
import os

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, case_files
from vnet_jax.inference.case import Keep
from vnet_jax.inference.segment import Segmenter
from vnet_jax.reports.label_files import ITK_SNAP, SLICER


@pytest.fixture
def segmenter(runs):
    return Segmenter(runs[0], [runs[1]])


@pytest.fixture
def data(tmp_path, ct):
    """A KiTS19 tree of two cases."""
    root = tmp_path / "data"
    for number in (0, 1):
        folder = root / f"case_{number:05d}"
        folder.mkdir(parents=True)
        write_image(folder / "imaging.nii.gz", ct.array + number, ct.grid)
    return root


def names(folder):
    """Of the files beside those of the labels."""
    return sorted({path.name for path in folder.iterdir()} - {SLICER, ITK_SNAP})


def run(jobs, segmenter, **options):
    stream = io.StringIO()
    failed = batch.run(jobs, segmenter, stream=stream, **options)
    return failed, stream.getvalue()


def test_a_folder_gives_mask_summary_and_picture(data, tmp_path, segmenter, ct, truth):
    out = tmp_path / "out"
    failed, told = run(batch.plan(data, out), segmenter)
    assert failed == []
    assert names(out) == [
        f"case_0000{i}{end}" for i in (0, 1) for end in (".json", ".nii.gz", ".png")
    ]
    mask = nib.load(out / "case_00000.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_allclose(mask.affine, ct.grid.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), truth)
    facts = json.loads((out / "case_00000.json").read_text())
    assert facts["case"] == "case_00000"
    assert facts["notice"] == "trained on synthetic CTs"
    assert set(facts["outputs"]) == {"case_00000.nii.gz", "case_00000.png"}
    assert {"read", "phase1", "phase2", "write"} <= facts["timings_s"].keys()
    assert facts["versions"]["vnet_jax"]
    assert "case_00001: kidney left 30 ml, right 28 ml, tumour 19 mm" in told
    assert "2/2" in told


def test_the_documented_fields_are_those_written(data, tmp_path, segmenter):
    run(batch.plan(data, tmp_path / "out"), segmenter)
    facts = json.loads((tmp_path / "out" / "case_00000.json").read_text())
    page = (batch.Path(__file__).parents[2] / "docs" / "summary.md").read_text()
    for field in facts:
        assert f"| `{field}`" in page, field
    for volume in facts["volumes_ml"]:
        assert f"`{volume}`" in page, volume
    for group in ("input", "options"):
        for field in facts[group]:
            assert f"`{field}`" in page, field
    for field in (*facts["tumours"][0], *facts["models"]["phase1"][0]):
        assert f"`{field}`" in page, field


def test_stages_are_written_when_asked_for(data, tmp_path, segmenter, truth):
    out = tmp_path / "out"
    run(batch.plan(data, out), segmenter, keep=Keep(stages=True))
    for stage in ("phase1", "stage1"):
        mask = nib.load(out / f"case_00000_{stage}.nii.gz")
        assert mask.get_data_dtype() == np.uint8
        assert mask.shape == truth.shape
    facts = json.loads((out / "case_00000.json").read_text())
    assert len(facts["outputs"]) == 4


def test_what_has_not_changed_is_skipped_and_what_has_is_done(
    data, tmp_path, segmenter, runs, ct
):
    out = tmp_path / "out"
    jobs = batch.plan(data, out)
    run(jobs, segmenter)

    def redone(segmenter=segmenter, jobs=jobs, **options):
        _, told = run(jobs, segmenter, **options)
        return [i for i in (0, 1) if f"case_0000{i}: kidney" in told]

    assert redone() == []
    assert redone(overwrite=True) == [0, 1]
    assert redone(Segmenter(runs[0], [runs[1]], fast=True)) == [0, 1]
    assert redone(Segmenter(runs[0], [runs[1]], dtype="float32")) == [0, 1]
    assert redone() == [0, 1]  # back again: other models than those that lie there
    assert redone(keep=Keep(stages=True)) == [0, 1]
    assert redone(keep=Keep(stages=True)) == []
    assert redone() == [0, 1]
    write_image(jobs[1].source, ct.array + 2, ct.grid)
    assert redone() == [1]
    (out / "case_00000.nii.gz").unlink()
    assert redone() == [0]
    (out / "case_00000.png").write_bytes(b"")
    assert redone() == [0]
    (out / "case_00001.json").write_text("{")
    assert redone() == [1]
    assert redone() == []


def test_a_bad_case_is_told_and_the_others_go_on(data, tmp_path, segmenter):
    bad = data / "case_00000" / "imaging.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    failed, told = run(batch.plan(data, out), segmenter)
    ((job, reason),) = failed
    assert job.name == "case_00000"
    assert reason.startswith(str(bad))
    assert "truncated" in reason
    assert "\n" not in reason
    assert f"case_00000: failed: {reason}" in told
    assert names(out) == [f"case_00001{end}" for end in (".json", ".nii.gz", ".png")]
    with pytest.raises(InputError, match="truncated"):
        run(batch.plan(data, tmp_path / "strict"), segmenter, strict=True)
    assert not (tmp_path / "strict").exists()


def test_a_full_disk_leaves_the_older_files_whole(
    data, tmp_path, segmenter, monkeypatch, ct
):
    out = tmp_path / "out"
    jobs = batch.plan(data, out)[:1]
    run(jobs, segmenter)
    before = {path: path.read_bytes() for path in out.iterdir()}
    write_image(jobs[0].source, ct.array + 3, ct.grid)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    failed, _ = run(jobs, segmenter)
    assert "No space left" in failed[0][1]
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_fault_of_the_program_is_not_taken_for_a_bad_case(
    data, tmp_path, segmenter, monkeypatch
):
    def broken(*args, **kwargs):
        raise RuntimeError("a fault")

    monkeypatch.setattr(segmenter, "segment", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        run(batch.plan(data, tmp_path / "out"), segmenter)


def test_too_little_memory_is_one_line(data, tmp_path, segmenter, monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(segmenter, "segment", broken)
    failed, _ = run(batch.plan(data, tmp_path / "out"), segmenter)
    assert len(failed) == 2
    assert "out of memory (Unable to allocate 3 GiB)" in failed[0][1]


def test_only_the_cases_named(data, tmp_path):
    names = [job.name for job in batch.plan(data, tmp_path / "out")]
    jobs = batch.plan(data, tmp_path / "out", names=names[1:])
    assert [job.name for job in jobs] == names[1:] != []
    with pytest.raises(InputError, match="has no case other; check --cases"):
        batch.plan(data, tmp_path / "out", names=["other", names[0]])


def test_kidneys_by_file_and_by_folder(data, tmp_path, runs, truth, ct):
    masks = tmp_path / "kidneys"
    masks.mkdir()
    write_mask(masks / "case_00000.nii.gz", truth, ct.grid)
    alone = Segmenter(None, [runs[1]])
    failed, _ = run(batch.plan(data, tmp_path / "out", masks), alone)
    ((job, reason),) = failed  # the second has no mask
    assert job.name == "case_00001"
    assert "no such kidney mask" in reason
    one = data / "case_00001" / "imaging.nii.gz"
    target = tmp_path / "single.nii.gz"
    jobs = batch.plan(one, target, masks / "case_00000.nii.gz")
    assert run(jobs, alone)[0] == []
    assert target.exists()
    assert (tmp_path / "single.json").exists()
    assert (tmp_path / "single.png").exists()
    assert "skipped" in run(jobs, alone)[1]
    write_mask(masks / "case_00000.nii.gz", (truth > 0).astype(np.uint8), ct.grid)
    assert "skipped" not in run(jobs, alone)[1]
    with pytest.raises(InputError, match="folder of masks"):
        batch.plan(data, tmp_path / "out", masks / "case_00000.nii.gz")


def test_names_of_single_files_and_folders(tmp_path, ct):
    folder = tmp_path / "CTs mit ä"
    folder.mkdir()
    for name in ("x.nii.gz", "y.nii"):
        write_image(folder / name, ct.array, ct.grid)
    out = tmp_path / "out"
    assert [job.mask for job in batch.plan(folder, out)] == [
        out / "x.nii.gz",
        out / "y.nii.gz",
    ]
    (job,) = batch.plan(folder / "x.nii.gz", out)
    assert (job.mask, job.beside(".json")) == (out / "x.nii.gz", out / "x.json")
    (job,) = batch.plan(folder / "x.nii.gz", tmp_path / "mask.nii")
    assert job.mask == tmp_path / "mask.nii"
    assert job.extra("phase1") == tmp_path / "mask_phase1.nii.gz"


def test_outputs_that_would_replace_something_are_refused(tmp_path, ct, data):
    folder = tmp_path / "cts"
    folder.mkdir()
    write_image(folder / "x.nii.gz", ct.array, ct.grid)
    with pytest.raises(InputError, match="replace an input"):
        batch.plan(folder, folder)
    with pytest.raises(InputError, match="replace an input"):
        batch.plan(folder / "x.nii.gz", folder / "x.nii.gz")
    with pytest.raises(InputError, match="one mask for 2 CTs"):
        batch.plan(data, tmp_path / "mask.nii.gz")
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(InputError, match="neither a folder nor a NIfTI"):
        batch.plan(folder, tmp_path / "text.txt")
    write_image(folder / "x_phase1.nii.gz", ct.array, ct.grid)
    with pytest.raises(InputError, match="x and x_phase1 would both write it"):
        batch.plan(folder, tmp_path / "out")


def test_the_source_is_never_written(data, tmp_path, segmenter):
    files = sorted(data.rglob("*.nii.gz"))
    before = [file.read_bytes() for file in files]
    for file in files:
        file.chmod(0o444)
    failed, _ = run(batch.plan(data, tmp_path / "out"), segmenter)
    assert failed == []
    assert [file.read_bytes() for file in files] == before
    assert sorted(data.rglob("*.nii.gz")) == files


def test_the_kits_layout_and_a_ras_copy_agree(tmp_path, segmenter, ct):
    """One patient in two files: the masks are at the same places in the world."""
    ras = nib.as_closest_canonical(nib.Nifti1Image(ct.array, ct.grid.affine))
    folder = tmp_path / "cts"
    folder.mkdir()
    write_image(folder / "kits.nii.gz", ct.array, ct.grid)
    nib.save(ras, folder / "ras.nii.gz")
    out = tmp_path / "out"
    assert run(batch.plan(folder, out), segmenter)[0] == []
    kits, other = (nib.load(out / f"{n}.nii.gz") for n in ("kits", "ras"))
    assert nib.aff2axcodes(other.affine) == ("R", "A", "S")
    back = nib.as_closest_canonical(kits)
    np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(other.dataobj))
    np.testing.assert_allclose(back.affine, other.affine)


def test_volumes_are_read_once(data, tmp_path, segmenter, monkeypatch):
    reads = []
    read_ct = case_files.read_ct
    monkeypatch.setattr(case_files, "read_ct", lambda p: reads.append(p) or read_ct(p))
    jobs = batch.plan(data, tmp_path / "out")
    run(jobs, segmenter)
    run(jobs, segmenter)
    assert reads == [job.source for job in jobs]
    assert isinstance(read_ct(jobs[0].source).volume, Volume)
