"""Studies of DICOM through the whole of inference, with the network that is known."""

import io
import json

import nibabel as nib
import numpy as np
import pytest

from tests import dicom_writer
from vnet_jax.errors import InputError
from vnet_jax.inference import batch
from vnet_jax.inference.inputs import find, is_dicom
from vnet_jax.inference.load import Loaded
from vnet_jax.inference.segment import Segmenter

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")


def place(data, index, step=(0, 0, -5.0)):
    """Of the conftest's CT in DICOM's axes, the highest slice first."""
    data.ImagePositionPatient = [-59 + step[0] * index, -58, 57 + step[2] * index]
    data.PixelSpacing = [3.0, 2.5]


@pytest.fixture
def study(tmp_path, ct):
    dicom_writer.write_series(tmp_path / "study", ct.array, place)
    return tmp_path / "study"


@pytest.fixture
def segmenter(runs):
    return Segmenter(runs[0], [runs[1]])


def run(jobs, segmenter, **options):
    stream = io.StringIO()
    failed = batch.run(jobs, segmenter, stream=stream, **options)
    return failed, stream.getvalue()


def names(folder):
    """Of the cases' files; label files are for all of them."""
    found = sorted(path.name for path in folder.iterdir())
    return [name for name in found if not name.startswith("labels_")]


def test_a_study_gives_nifti_and_seg(study, tmp_path, segmenter, ct, truth):
    out = tmp_path / "out"
    failed, told = run(batch.plan(study, out), segmenter)
    assert failed == []
    assert "study: kidney left 30 ml, right 28 ml, tumour 19 mm" in told
    ends = (".json", ".nii.gz", ".png", "_seg.dcm")
    assert names(out) == [f"study{end}" for end in ends]
    mask = nib.load(out / "study.nii.gz")
    expected = truth.transpose(2, 1, 0)[:, :, ::-1]  # columns, rows, slices upwards
    np.testing.assert_array_equal(np.asarray(mask.dataobj), expected)
    corner = mask.affine @ [0, 0, 0, 1]
    np.testing.assert_allclose(corner[:3], ct.grid.to_mm([23, 0, 0]), atol=1e-5)
    seg = highdicom.seg.segread(out / "study_seg.dcm")
    volume = seg.get_volume(combine_segments=True)
    index = np.argwhere(np.ones(volume.array.shape))
    lps = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    at = np.rint(
        (lps * [-1, -1, 1] - mask.affine[:3, 3]) @ np.linalg.inv(mask.affine[:3, :3]).T
    ).astype(int)
    there = np.asarray(mask.dataobj)[tuple(at.T)]
    np.testing.assert_array_equal(there, volume.array.ravel())
    assert (volume.array > 0).sum() == (expected > 0).sum()
    facts = json.loads((out / "study.json").read_text())
    assert set(facts["outputs"]) == {f"study{end}" for end in ends if end != ".json"}
    assert facts["options"]["dicom_seg"] is True
    assert facts["input"]["path"] == str(study)


def test_unchanged_is_skipped_whatever_the_files_are_called(study, tmp_path, segmenter):
    out = tmp_path / "out"
    run(batch.plan(study, out), segmenter)
    first = next(study.iterdir())
    first.rename(study / "renamed")
    assert "unchanged, skipped" in run(batch.plan(study, out), segmenter)[1]
    without = batch.plan(study, out, with_seg=False)
    assert "kidney left" in run(without, segmenter)[1]
    assert not (out / "study_seg.dcm").exists()
    data = pydicom.dcmread(study / "renamed")
    data.InstanceNumber = 99
    data.save_as(study / "renamed")
    assert "kidney left" in run(batch.plan(study, out), segmenter)[1]
    assert (out / "study_seg.dcm").exists()


def test_19_a_tilted_gantry_through_all(tmp_path, segmenter, ct):
    """The mask lies on the tilted slices, and once more on straight ones."""
    tilt = np.radians(10.0)
    turn = [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)]
    tags = {"ImageOrientationPatient": turn}
    dicom_writer.write_series(tmp_path / "tilted", ct.array, place, **tags)
    out = tmp_path / "out"
    assert run(batch.plan(tmp_path / "tilted", out), segmenter)[0] == []
    mask = nib.load(out / "tilted.nii.gz")
    assert mask.shape == (48, 40, 24)
    assert mask.header["qform_code"] == 0
    axes = mask.affine[:3, :3] / np.linalg.norm(mask.affine[:3, :3], axis=0)
    assert abs(axes[:, 1] @ axes[:, 2]) == pytest.approx(np.sin(tilt), abs=1e-6)
    straight = nib.load(out / "tilted_straight.nii.gz")
    axes = straight.affine[:3, :3] / np.linalg.norm(straight.affine[:3, :3], axis=0)
    np.testing.assert_allclose(abs(axes).sum(axis=0), 1, atol=1e-6)
    ml = [
        (np.asarray(m.dataobj) > 0).sum() * abs(np.linalg.det(m.affine[:3, :3])) / 1000
        for m in (mask, straight)
    ]
    assert ml[0] == pytest.approx(ml[1], rel=0.05)
    assert ml[0] > 30
    facts = json.loads((out / "tilted.json").read_text())
    assert "gantry tilt of 10.0 degrees" in facts["warnings"][0]["text"]
    assert "tilted_straight.nii.gz" in facts["outputs"]
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    sitk.ReadImage(str(out / "tilted_straight.nii.gz"))


def test_a_bad_study_is_told_and_the_others_go_on(tmp_path, segmenter, ct):
    folder = tmp_path / "cases"
    for word in "12":
        study = {"study": word, "series": word}
        files = dicom_writer.write_series(folder / word, ct.array, place, **study)
    files[7].unlink()
    failed, _ = run(batch.plan(folder, tmp_path / "out"), segmenter)
    ((_, reason),) = failed
    assert reason.startswith(f"{folder}: a gap of 10 mm between slice ")
    ends = {name.partition(".")[2] for name in names(tmp_path / "out")}
    assert len(names(tmp_path / "out")) == 4
    assert ends == {"json", "nii.gz", "png", "dcm"}


def test_nothing_found_gives_no_seg(study, tmp_path, segmenter, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "study_seg.dcm").write_bytes(b"of an earlier mask")
    segment = segmenter.segment

    def nothing(*args, **kwargs):
        result = segment(*args, **kwargs)
        result.mask[:] = 0
        return result

    monkeypatch.setattr(segmenter, "segment", nothing)
    assert run(batch.plan(study, out), segmenter)[0] == []
    assert names(out) == ["study.json", "study.nii.gz", "study.png"]


def test_a_study_without_a_frame_of_reference(tmp_path, ct, segmenter):
    folder = tmp_path / "study"
    dicom_writer.write_series(folder, ct.array, place, FrameOfReferenceUID=None)
    failed, _ = run(batch.plan(folder, tmp_path / "out"), segmenter)
    assert "no FrameOfReferenceUID" in failed[0][1]
    assert "--nodicom_seg" in failed[0][1]
    assert not (tmp_path / "out").exists()
    jobs = batch.plan(folder, tmp_path / "out", with_seg=False)
    assert run(jobs, segmenter)[0] == []


def test_headers_to_which_no_seg_can_refer_leave_nothing(tmp_path, ct, segmenter):
    dicom_writer.write_series(tmp_path / "study", ct.array, place)
    file = sorted((tmp_path / "study").iterdir())[5]
    data = pydicom.dcmread(file)
    del data.SOPInstanceUID
    data.save_as(file)
    failed, _ = run(batch.plan(tmp_path / "study", tmp_path / "out"), segmenter)
    assert "no DICOM-SEG fits the CT's headers" in failed[0][1]
    assert names(tmp_path / "out") == []


def test_plans(study, tmp_path):
    (job,) = batch.plan(study, tmp_path / "mask.nii.gz")
    assert job.mask == tmp_path / "mask.nii.gz"
    assert job.seg == tmp_path / "mask_seg.dcm"
    for inside in (study, study / "masks"):
        with pytest.raises(InputError, match="would lie among the DICOM"):
            batch.plan(study, inside)
    nifti = tmp_path / "a.nii.gz"
    nifti.write_bytes(b"x")
    with pytest.raises(InputError, match="no DICOM, which --series is for"):
        batch.plan(nifti, tmp_path / "out", series="1.2")
    with pytest.raises(InputError, match="to which a DICOM-SEG would belong"):
        batch.plan(nifti, tmp_path / "out", with_seg=True)
    assert not batch.plan(nifti, tmp_path / "out")[0].with_seg
    assert not is_dicom(tmp_path)  # a NIfTI lies in it
    assert is_dicom(study)
    with pytest.raises(InputError, match=r"no NIfTI file .* and no DICOM"):
        (tmp_path / "empty").mkdir()
        find(tmp_path / "empty")


def test_from_python(study, segmenter, truth):
    mask, facts = Loaded(segmenter)(study)
    np.testing.assert_array_equal(mask, truth.transpose(2, 1, 0)[:, :, ::-1])
    assert facts["status"] == "ok"
