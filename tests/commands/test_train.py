"""The program as a user runs it, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.log import read_log

ROOT = Path(__file__).parents[2]
CONFIG = """
from configs import phase1

def get_config():
    config = phase1.get_config()
    config.name = "tiny"
    config.data.cache = "cache"
    config.data.spacing_mm = (4.0, 4.0, 4.0)
    config.data.downsample = (1, 1, 1)
    config.data.folds = 2
    config.sample.shape = (16, 32, 32)
    config.model.width = 2
    config.batch_size = 2
    config.epochs = 4
    config.eval_every = 4
    config.learning_rate = 3e-3
    return config
"""


def start(folder: Path, *arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / "train.py"), *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with start(folder, *arguments) as program:
        out, err = program.communicate(timeout=600)
    return program.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A config and four cases: a ball of 180 HU in a body of 40."""
    folder = tmp_path_factory.mktemp("a folder für tests")
    (folder / "tiny.py").write_text(CONFIG)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    for number in range(4):
        rng = np.random.default_rng(number)
        voxels = np.stack(np.indices((32, 32, 32)), -1)
        label = np.linalg.norm(voxels - rng.uniform(14, 18, 3), axis=-1) < 8
        hu = np.where(label, 180, 40) + np.rint(rng.normal(0, 15, label.shape))
        hu[:, :2] = -1000
        case = folder / "data" / f"case_{number:05d}"
        case.mkdir(parents=True)
        nib.save(nib.Nifti1Image(hu.astype(np.int16), affine), case / "imaging.nii.gz")
        nib.save(
            nib.Nifti1Image(label.astype(np.uint8), affine),
            case / "segmentation.nii.gz",
        )
    return folder


def test_a_missing_data_set_is_one_line_and_status_2(tmp_path):
    config = ROOT / "configs" / "phase1.py"
    status, out, err = run(tmp_path, f"--config={config}")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("vnet_jax: data/kits19: ")
    assert "--config.data.root=DIR" in err
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_field_is_refused(tmp_path):
    config = ROOT / "configs" / "phase1.py"
    status, _, err = run(tmp_path, f"--config={config}", "--config.epoch=3")
    assert status != 0 and "epoch" in err
    assert list(tmp_path.iterdir()) == []


def test_terminated_resumed_and_finished(folder):
    arguments = ("--config=tiny.py", "--config.data.root=data")
    path = folder / "runs" / "tiny"  # the default: runs/<config.name>
    with start(folder, *arguments, "--config.epochs=30") as program:
        wait_for_step(path, 3, program)
        program.send_signal(signal.SIGTERM)
        out, err = program.communicate(timeout=120)
    assert program.returncode == 143, err
    assert "stopped and saved" in out and "Traceback" not in err
    (step,) = RunFolder(path).checkpoints.steps()
    assert step == read_log(path)[-1]["step"] >= 3

    status, out, err = run(folder, *arguments, "--config.epochs=4")
    assert status == 2  # fewer epochs than before
    assert "epochs was 30, is 4" in err and "Traceback" not in err

    status, out, err = run(
        folder, *arguments, "--config.epochs=31", "--config.eval_every=31"
    )
    assert status == 0, err
    assert f"step {step} of 31" in out
    assert "train 31/31 (100 %)" in err  # lines where there is no terminal
    losses = {r["step"]: r["loss"] for r in read_log(path) if r["kind"] == "train"}
    assert sorted(losses) == list(range(1, 32))
    assert np.mean([losses[s] for s in range(27, 32)]) < 0.75 * losses[1]
    assert (path / "curves.png").is_file()
    assert json.loads((path / "model.json").read_text())["synthetic"] is False


def wait_for_step(path: Path, step: int, program: subprocess.Popen) -> None:
    deadline = time.monotonic() + 600
    while not any(row["step"] >= step for row in read_log(path)):
        assert program.poll() is None, program.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
