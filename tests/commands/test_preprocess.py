"""The program itself, as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "bin" / "preprocess.py"
CONFIGS = PROGRAM.parents[1] / "configs"
SHAPE = (12, 40, 44)


def write(root, name, label_value=1):
    """A case of air and tissue in an image of 3 x 2 x 2 mm, with one kidney."""
    image = np.full(SHAPE, -1000, np.int16)
    image[:, 4:36, 3:41] = -100
    image[:, 6:34, 5:40] = 50
    label = np.zeros(SHAPE, np.uint8)
    label[3:9, 10:22, 8:16] = label_value
    image[label > 0] = 180
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
    folder = root / name
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(image, affine), folder / "imaging.nii.gz")
    nib.save(nib.Nifti1Image(label, affine), folder / "segmentation.nii.gz")


def preprocess(folder, *flags):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "my data", "case_00000")
    write(tmp_path / "my data", "case_00001")
    return tmp_path


def headers(folder):
    found = [json.loads(p.read_text()) for p in folder.glob("cache/*/*/case_*.json")]
    return sorted(found, key=lambda header: header["shape"])


def test_the_papers_two_grids_and_a_report(data):
    run = preprocess(data, "--data", "my data", "--cache=cache", "--workers", "2")
    assert run.returncode == 0, run.stderr
    assert "2/2" in run.stderr
    found = headers(data)
    # 40 rows of 2 mm are 102 of 0.78162497 mm, or 26 blocks of 4.
    assert [h["shape"] for h in found] == [[12, 26, 29]] * 2 + [[12, 102, 113]] * 2
    (report,) = data.glob("cache/my data-????????/report/report.json")
    facts = json.loads(report.read_text())
    assert facts["counts"]["cached"] == 2
    assert facts["boxes"]["roi_vox"] == [80, 240, 384]
    assert facts["boxes"]["size_vox"]["case_00000"][0] == 6
    assert report.with_name("report.html").exists()
    assert str(report.with_name("report.html").relative_to(data)) in run.stdout


def test_again_it_does_nothing_and_is_quiet(data):
    preprocess(data, "--data", "my data")
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*.npy")}
    run = preprocess(data, "--data", "my data")
    assert (run.returncode, run.stderr) == (0, "")
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*.npy")} == before


def test_a_bad_case_is_one_line_and_status_2(data):
    write(data / "my data", "case_00002", label_value=7)
    run = preprocess(data, "--data", "my data")
    assert run.returncode == 2
    (line,) = (x for x in run.stderr.splitlines() if x.startswith("refused: "))
    assert "case_00002/segmentation.nii.gz" in line
    assert "7" in line
    assert "2 of 3 cases" in run.stdout
    assert "Traceback" not in run.stderr


def test_configs_name_the_grids(data):
    flags = [f"--config={CONFIGS / name}.py" for name in ("phase1", "phase2")]
    assert preprocess(data, "--data", "my data", *flags).returncode == 0
    assert len(headers(data)) == 4


def test_a_grid_by_flags(data):
    flags = ("--spacing=6,4,4", "--downsample=1,2,2", "--labels=0:0,1:2")
    assert preprocess(data, "--data", "my data", *flags).returncode == 0
    for header in headers(data):
        assert header["shape"] == [6, 10, 11]
        assert header["spacing_mm"] == pytest.approx([6, 8, 8])
        assert header["voxels"][1] == 0 < header["voxels"][2]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--data=nowhere",), "pass --data=DIR"),
        (("--data=my data", "--spacing=1,2"), "--spacing=1,2 is not z,y,x"),
        (("--data=my data", "--spacing=1,1,1", "--labels=0"), "--labels=0"),
        (("--data=my data", "--config=no.py"), "no.py: no such config; give"),
        (("--data=my data", "--spacing=1,1,1", "--config=phase1"), "both given"),
    ],
)
def test_what_it_cannot_do_is_one_line(data, flags, reason):
    run = preprocess(data, *flags)
    assert run.returncode == 2
    assert run.stderr.startswith("vnet_jax: ")
    assert run.stderr.count("\n") == 1
    assert reason in run.stderr


def test_what_stands_after_a_configs_colon_reaches_it(tmp_path):
    write(tmp_path / "data", "case_00000", label_value=3)
    kits23 = CONFIGS / "kits23.py"
    done = preprocess(tmp_path, "--data=data", f"--config={kits23}:phase1")
    assert done.returncode == 0, done.stderr
    (spec,) = (p.name for p in (tmp_path / "cache").glob("data-*/*mm-*"))
    assert spec.endswith("mm-1x4x4-0to0_1to1_2to2_3to3")
    done = preprocess(tmp_path, "--data=data", f"--config={kits23}:phase3")
    assert done.returncode == 2
    assert "'phase3' is none of cyst_as_kidney, phase1" in done.stderr
