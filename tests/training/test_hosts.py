"""Several processes train as one: real ones, over this machine's loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.hosts import LEFT_ALONE
from vnet_jax.runs.log import read_log

ROOT = Path(__file__).parents[2]
QUICK = "--xla_backend_optimization_level=0"  # compiles in half the time


@pytest.fixture
def start(tiny_config, tmp_path):
    """processes, workdir, changes -> these processes, started; killed at the end."""
    started = []

    def start(count: int, workdir: Path, devices: int = 1, **changes) -> list:
        file = tmp_path / f"config{len(started)}.py"
        same = {"batch_size": 4, "device_batch": 4, "ema": 0.0}  # nothing accumulates
        facts = tiny_config(**same | changes).to_dict()
        file.write_text(
            "import ml_collections\n\n\ndef get_config():\n"
            f"    return ml_collections.ConfigDict({facts!r})\n"
        )
        port = free_port()
        flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
        for index in range(count):
            told = [
                f"--coordinator=127.0.0.1:{port}",
                f"--processes={count}",
                f"--process={index}",
            ]
            command = [
                *(sys.executable, "bin/train.py", "--config", str(file)),
                *("--workdir", str(workdir)),
                *(told if count > 1 else []),
            ]
            started.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return started[-count:]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def finished(processes, status: int = 0, timeout_s: float = 300) -> list[str]:
    """What each process printed."""
    told = [process.communicate(timeout=timeout_s)[0] for process in processes]
    assert [p.returncode for p in processes] == [status] * len(told), "\n".join(told)
    return told


def numbers(workdir, kind: str, key: str) -> list[float]:
    return [row[key] for row in read_log(workdir) if row["kind"] == kind]


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


def check_processes(start, tmp_path, count: int, **changes) -> None:
    """Half of the run by some processes, the other half by one, against one alone."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    finished(start(1, alone, **changes))
    lead, *others = finished(start(count, shared, epochs=2, **changes))
    assert f"of {count} processes" in lead and "best mean Dice" in lead
    assert not any("loss" in told or "Dice" in told for told in others)
    assert Checkpoints(shared / "checkpoints").steps()
    finished(start(1, shared, **changes))
    same_training(alone, shared)


def test_two_processes_train_as_one_and_one_goes_on(start, tmp_path):
    check_processes(start, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"phase": 2}, {"mesh.space": 2}])
def test_four_processes_train_as_one(start, tmp_path, changes):
    check_processes(start, tmp_path, 4, **changes)


def test_a_killed_process_ends_the_others_with_a_line(start, tmp_path):
    """And a signal to either one of two stops both; they go on afterwards."""
    workdir = tmp_path / "run"
    forever = {"epochs": 5000, "eval_every": 5000, "checkpoint_minutes": 0.0}
    lead, other = start(2, workdir, **forever)
    reached(workdir, 3, lead)
    other.send_signal(signal.SIGTERM)
    told, _ = finished((lead, other), status=143)
    assert "stopped and saved" in told
    saved = Checkpoints(workdir / "checkpoints").steps()[-1]

    lead, other = start(2, workdir, **forever)
    reached(workdir, saved + 3, lead)
    other.kill()
    (told,) = finished([lead], status=LEFT_ALONE, timeout_s=90)
    assert "process 0 of 2: another process is gone" in told
    assert Checkpoints(workdir / "checkpoints").steps()[-1] > saved


def reached(workdir, step: int, process) -> None:
    """Waits until a step is in the log."""
    until = time.monotonic() + 240
    while not (workdir / "log.jsonl").is_file() or not any(
        row["kind"] == "train" and row["step"] >= step for row in read_log(workdir)
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "no step in 240 s"
        time.sleep(0.2)


def test_what_the_lead_cannot_read_ends_all(start, tmp_path):
    root = {"data.root": str(tmp_path / "nowhere")}
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
