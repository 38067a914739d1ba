"""The program itself, as a user starts it, with the inference that comes before it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inference import known
from vnet_jax import models
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image, write_mask

BIN = Path(__file__).parents[2] / "bin"
GRID = Grid((16, 32, 40), np.diag([5.0, 4.0, 3.0, 1.0]))
WINDOW = (16, 16, 16)


def call(program, place, *flags):
    return subprocess.run(
        [sys.executable, str(BIN / f"{program}.py"), *map(str, flags)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three labelled cases of noise, and runs of random weights."""
    root = tmp_path_factory.mktemp("tune")
    for i in range(3):
        rng = np.random.default_rng(i)
        hu = rng.integers(-200, 300, GRID.shape).astype(np.int16)
        hu[:, :4] = -1000
        label = np.zeros(GRID.shape, np.uint8)
        label[4:12, 10:20, 5:15] = 1
        label[6:9, 12:15, 8:12] = 2
        folder = root / "kits" / f"case_{i:05d}"
        folder.mkdir(parents=True)
        write_image(folder / "imaging.nii.gz", hu, GRID)
        write_mask(folder / "segmentation.nii.gz", label, GRID)
    for phase in (1, 2):
        config = known.config(phase, GRID.spacing_mm, (1, 1, 1), WINDOW, width=4)
        values = known.random_variables(models.build(**config.model), WINDOW)
        known.write_run(root / "runs" / f"phase{phase}", config, {5: (0.5, values)})
    return root


@pytest.mark.slow
def test_infer_tune_infer(place):
    predicted = ["--input", "kits", "--device", "cpu", "--output"]
    done = call("infer", place, *predicted, "oof", "--save_raw")
    assert done.returncode == 0, done.stderr
    tune = ("--predictions", "oof", "--data", "kits", "--out", "out/t.json")
    done = call("tune", place, *tune)
    assert done.returncode == 0, done.stderr
    assert "thresholds 3/3" in done.stderr
    assert "cross-fitted" in done.stdout
    assert (place / "out" / "t.md").read_text() == done.stdout
    facts = json.loads((place / "out" / "t.json").read_text())
    assert facts["cases"] == facts["folds"] == 3
    assert facts["chosen_on"] == facts["checkpoints_chosen_on"] == "same cases"
    assert set(facts["calibration"]["residuals"].values()) == {None}
    done = call("infer", place, *predicted, "tuned", "--thresholds", "out/t.json")
    assert done.returncode == 0, done.stderr
    facts = json.loads((place / "tuned" / "case_00000.json").read_text())
    assert "too few for some intervals" in facts["confidence"]["note"]
    assert set(facts["intervals_ml"].values()) == {0.9, None}
    assert len(facts["options"]["thresholds_sha256"]) == 64


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--predictions", "nowhere", "--data", "x"), "nowhere: no such folder"),
        (("--predictions", ".", "--data", ".", "--out", "x"), "x: no .json file"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, flags, said):
    done = call("tune", tmp_path, "--out", "never.json", *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
