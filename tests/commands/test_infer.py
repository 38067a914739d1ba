"""The program itself, as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.inference import known
from vnet_jax import models
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image

PROGRAM = Path(__file__).parents[2] / "bin" / "infer.py"
GRID = Grid((16, 32, 40), np.diag([5.0, 4.0, 3.0, 1.0]))
WINDOW = (16, 16, 16)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one whole and one broken CT and two runs of random weights."""
    root = tmp_path_factory.mktemp("infer")
    hu = np.random.default_rng(0).integers(-200, 300, GRID.shape).astype(np.int16)
    hu[:, :4] = -1000
    (root / "cts").mkdir()
    write_image(root / "cts" / "a b.nii.gz", hu, GRID)
    (root / "cts" / "broken.nii.gz").write_bytes(b"")
    for phase in (1, 2):
        config = known.config(phase, GRID.spacing_mm, (1, 1, 1), WINDOW, width=4)
        values = known.random_variables(models.build(**config.model), WINDOW)
        known.write_run(root / "runs" / f"phase{phase}", config, {5: (0.5, values)})
    return root


def infer(place, *flags):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *flags],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_batch_with_a_broken_file(place):
    done = infer(place, "--input", "cts", "--output", "masks", "--device", "cpu")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "broken.nii.gz" in line]
    assert lines[-1].startswith("vnet_jax: cts/broken.nii.gz: ")
    assert "1 of 2 cases are in masks" in done.stdout
    names = sorted(path.name for path in (place / "masks").iterdir())
    ends = ("html", "json", "nii.gz", "png")
    labels = ["labels_itksnap.txt", "labels_slicer.ctbl"]
    assert names == [*(f"a b.{end}" for end in ends), *labels, "report.html"]
    page = (place / "masks" / "report.html").read_text()
    assert '<a href="a%20b.html">a b</a>' in page and "broken.nii.gz: " in page
    mask = nib.load(place / "masks" / "a b.nii.gz")
    assert mask.shape == GRID.shape
    np.testing.assert_allclose(mask.affine, GRID.affine, atol=1e-5)
    facts = json.loads((place / "masks" / "a b.json").read_text())
    assert facts["trained_on_synthetic"]
    again = infer(place, "--input", "cts/a b.nii.gz", "--output", "masks")
    assert again.returncode == 0
    assert "a b: unchanged, skipped" in again.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--output", "x"], "--input is missing"),
        (["--input", "none", "--output", "x"], "no such file or folder"),
        (["--input", "cts", "--output", "cts"], "would replace an input"),
        (
            ["--input", "cts", "--output", "x", "--phase1", "nowhere"],
            "no run: it holds no config.json; train it with bin/train.py",
        ),
        (
            ["--input", "cts", "--output", "x", "--device", "abacus"],
            "no device 'abacus' here",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(place, flags, said):
    done = infer(place, *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("vnet_jax: ")]
    assert len(told) == 1
    assert said in told[0]
    assert not (place / "x").exists()


@pytest.mark.slow
def test_an_ensemble_with_everything_in_one_command(place):
    done = infer(
        place,
        *("--input", "cts/a b.nii.gz", "--output", "all", "--device", "cpu"),
        *("--phase2", "runs/phase2", "--phase2", "runs/phase2", "--flips", "x"),
        *("--save_raw", "--save_probability", "--save_disagreement"),
        *("--postprocess", "components,small,holes", "--min_tumour_ml", "0.5"),
        "--noreport",
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (place / "all").iterdir()}
    ends = (".json", ".nii.gz", ".png", "_raw.nii.gz", "_probability.nii.gz")
    names -= {"labels_itksnap.txt", "labels_slicer.ctbl"}
    assert names == {f"a b{end}" for end in (*ends, "_disagreement.nii.gz")}
    facts = json.loads((place / "all" / "a b.json").read_text())
    assert facts["options"]["postprocess"] == {
        "steps": ["components", "small", "holes"],
        "second_share": 0.05,
        "cyst_hu": 10.0,
        "min_tumour_ml": 0.5,
    }
    assert facts["options"]["flips"] == "x"
    assert len(facts["models"]["phase2"]) == 2
    assert 0 <= facts["confidence"]["score"] <= 1
    assert not facts["confidence"]["calibrated"]


def test_an_axis_that_is_none_is_one_line(place):
    done = infer(place, "--input", "cts", "--output", "x", "--flips", "x,q")
    assert done.returncode == 2
    assert "--flips=x,q: no such axis" in done.stderr
    assert not (place / "x").exists()
