"""Several processes train as one: real ones, over this machine's loopback."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.training.processes import ROOT, finished, numbers, reached
from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.hosts import LEFT_ALONE

#: Nothing accumulates, so batch norm sees the same samples everywhere.
TOGETHER = {"batch_size": 4, "device_batch": 4, "ema": 0.0}
FOREVER = TOGETHER | {"epochs": 5000, "eval_every": 5000, "checkpoint_minutes": 0.0}


def same_training(one, other) -> None:
    for kind, key in (("train", "loss"), ("train", "grad_norm")):
        np.testing.assert_allclose(
            numbers(other, kind, key), numbers(one, kind, key), rtol=2e-4
        )
    np.testing.assert_allclose(
        numbers(other, "validation", "mean"),
        numbers(one, "validation", "mean"),
        atol=0.02,  # a voxel may change its class
    )


def check_processes(start, tmp_path, count: int, space: int = 1, **changes) -> None:
    """Half of the run by some processes, the other half by one, against one alone.

    Of `space` devices that share each volume; the one alone keeps volumes whole.
    """
    changes = TOGETHER | changes
    cut = changes | {"mesh.space": space}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    finished(start(1, alone, **changes))
    lead, *others = finished(start(count, shared, epochs=2, **cut))
    assert f"of {count} processes" in lead and "best mean Dice" in lead
    assert not any("loss" in told or "Dice" in told for told in others)
    assert Checkpoints(shared / "checkpoints").steps()
    finished(start(1, shared, devices=space, **cut))
    same_training(alone, shared)


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_goes_on(start, tmp_path):
    check_processes(start, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"phase": 2}, {"space": 2}])
def test_four_processes_train_as_one(start, tmp_path, changes):
    check_processes(start, tmp_path, 4, **changes)


def test_a_signal_to_either_of_two_stops_both(start, tmp_path):
    stopped(start, tmp_path / "run")


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_a_line(start, tmp_path):
    """After they have been stopped once and have gone on."""
    workdir = tmp_path / "run"
    saved = stopped(start, workdir)
    lead, other = start(2, workdir, **FOREVER)
    reached(workdir, saved + 3, lead)
    other.kill()
    (told,) = finished([lead], status=LEFT_ALONE, timeout_s=90)
    assert "process 0 of 2: another process is gone" in told
    assert Checkpoints(workdir / "checkpoints").steps()[-1] > saved


def stopped(start, workdir) -> int:
    """The step that two processes save when the one that does not lead is stopped."""
    lead, other = start(2, workdir, **FOREVER)
    reached(workdir, 3, lead)
    other.send_signal(signal.SIGTERM)
    told, _ = finished((lead, other), status=143)
    assert "stopped and saved" in told
    return Checkpoints(workdir / "checkpoints").steps()[-1]


def test_what_the_lead_cannot_read_ends_all(start, tmp_path):
    root = TOGETHER | {"data.root": str(tmp_path / "nowhere")}
    lead, other = start(2, tmp_path / "run", **root)
    (told,) = finished([lead], status=2, timeout_s=60)
    assert f"process 0 of 2: {root['data.root']}: no such folder" in told
    told = other.communicate(timeout=60)[0]
    assert other.returncode != 0
    said = ("another process is gone", "JAX distributed service detected")
    assert any(line in told for line in said), told  # JAX aborts it where it is quicker
    assert not (tmp_path / "run").exists()


def test_wrong_addresses_are_one_line():
    command = [
        *(sys.executable, "bin/train.py", "--config", "configs/phase1.py"),
        *("--coordinator", "127.0.0.1:1", "--processes", "2", "--process", "2"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("vnet_jax: --process 2 of --processes 2")
    assert len(done.stderr.splitlines()) == 1
