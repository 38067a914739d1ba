"""The program as a user runs it; its folds train in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.conftest import write_case
from vnet_jax.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
FIRST = """
from configs import phase1

def get_config():
    config = phase1.get_config()
    config.data.root, config.data.cache = "data", "cache"
    config.data.spacing_mm = (4.0, 4.0, 4.0)
    config.data.downsample = (1, 1, 1)
    config.data.folds = 2
    config.sample.shape = (16, 16, 16)
    config.model.variant = "diagram"
    config.model.width = 2
    config.batch_size = 2
    config.epochs = 1
    return config
"""
SECOND = FIRST.replace("    return", "    config.phase = 2\n    return")
SECOND = SECOND.replace("width = 2", "width, config.model.cascade = 4, True")
ARGUMENTS = ("--config=first.py", "--config2=second.py", "--out=out")


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / "crossval.py"), *ARGUMENTS, *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with start(folder, *arguments) as process:
        out, err = process.communicate(timeout=1200)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two configs and four tiny cases."""
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "second.py").write_text(SECOND)
    for number in range(4):
        write_case(tmp_path / "data", number)
    return tmp_path


def test_prepared_once_and_refused_in_one_line_otherwise(folder):
    status, out, err = run(folder, "--prepare")
    assert status == 0, err
    assert out == "out/folds.json: folds of 2, 2 cases\n"
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["folds.json"]
    status, _, err = run(folder, "--gather")
    assert status == 2
    assert err == (
        "vnet_jax: out/oof: holds no out-of-fold prediction; run the folds first, then "
        "gather\n"
    )


def test_a_fold_that_fails_is_named_and_the_others_go_on(folder):
    for fold in (0, 1):  # what a training refuses at once
        (folder / "out" / f"fold_{fold}" / "phase1").mkdir(parents=True)
        (folder / "out" / f"fold_{fold}" / "phase1" / "config.json").write_text("{")
    status, _, err = run(folder)
    assert status == 2
    lines = err.splitlines()
    for fold in (0, 1):
        said = f"vnet_jax: fold {fold}, phase 1 ended with status 2: vnet_jax: "
        (line,) = [line for line in lines if line.startswith(said)]
        assert "config.json: cannot be read" in line
        assert f"(see out/logs/fold_{fold}_phase1.log)" in line
        assert f"vnet_jax: fold {fold}, masks did not start" in lines


@pytest.mark.slow
def test_stopped_resumed_and_gathered(folder):
    with start(folder) as process:
        wait_for(folder / "out" / "fold_0" / "phase1" / "log.jsonl", process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert "the same command goes on" in err and "Traceback" not in err
    assert not (folder / "out" / "fold_1").exists()

    status, out, err = run(folder, "--devices_per_fold=1", "--infer_args=--fast")
    assert status == 0, err
    assert "4 of 4 cases scored out of fold" in out
    folds = json.loads((folder / "out" / "folds.json").read_text())["folds"]
    for fold, names in enumerate(folds):
        for phase in (1, 2):
            splits = RunFolder(folder / "out" / f"fold_{fold}" / f"phase{phase}").splits
            assert splits.validation == tuple(names)
            assert splits.train == tuple(folds[1 - fold])
    scores = json.loads((folder / "out" / "scores" / "scores.json").read_text())
    assert [case["id"] for case in scores["cases"]] == sorted(folds[0] + folds[1])
    assert all(
        {"phase1", "stage1", "phase2"} <= case.keys() for case in scores["cases"]
    )
    audit = json.loads((folder / "out" / "audit" / "audit.json").read_text())
    assert {case["id"]: case["fold"] for case in audit["cases"]} == {
        name: fold for fold, names in enumerate(folds) for name in names
    }
    assert len(list((folder / "out" / "audit").glob("*.png"))) == 4

    again = run(folder, "--infer_args=--fast")
    assert again[0] == 0 and "6 of 6 jobs were done before" in again[2]
    assert "started" not in again[2]

    # A fold as a job of its own, whose masks were lost; then gathering alone.
    shutil.rmtree(folder / "out" / "oof")
    alone = run(folder, "--fold=1", "--infer_args=--fast")
    assert alone[0] == 0 and "fold 1, masks: done" in alone[2]
    assert "phase" not in alone[2]
    gathered = run(folder, "--gather")
    assert gathered[0] == 2 and "2 of 4 cases scored out of fold" in gathered[1]
    assert f"no prediction for {', '.join(sorted(folds[0]))}" in gathered[2]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
