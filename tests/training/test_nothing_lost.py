"""Training that is killed, or whose disk is full: nothing is lost but a moment."""

import contextlib
import random
import signal
import subprocess
import time

import pytest

from tests.training.processes import finished, reached
from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.log import read_log


def computed(workdir) -> list[tuple]:
    """What each step and each validation gave, bit for bit."""
    return [
        tuple(sorted((k, str(v)) for k, v in row.items() if k != "waiting"))
        for row in read_log(workdir)
        if row["kind"] != "start"
    ]


def kill_and_go_on(start, tmp_path, times: int, **changes) -> None:
    """Kills a training at random moments, and compares it with one that was let be."""
    rng = random.Random(0)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    began = time.monotonic()
    finished(start(1, straight, **changes))
    whole_s = time.monotonic() - began
    for _ in range(times):
        (process,) = start(1, killed, **changes)
        try:  # while it starts, compiles, steps, saves or validates
            process.wait(timeout=rng.uniform(0.3, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finished(start(1, killed, **changes))
    assert computed(killed) == computed(straight)
    one, other = (Checkpoints(path / "checkpoints") for path in (straight, killed))
    last = one.steps()[-1]
    assert other.steps()[-1] == last and other.digest(last) == one.digest(last)
    assert other.scores() == one.scores()


@pytest.mark.slow
def test_killed_once_it_ends_with_the_same_parameters(start, tmp_path):
    kill_and_go_on(start, tmp_path, 1, checkpoint_minutes=0.0)


@pytest.mark.slow
def test_killed_twenty_times_it_ends_with_the_same_parameters(start, tmp_path):
    longer = {"epochs": 60, "eval_every": 10}
    kill_and_go_on(start, tmp_path, 20, checkpoint_minutes=0.0, **longer)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 60 MB in memory: room for some checkpoints of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_with_a_line_and_leaves_whole_checkpoints(start, small_disk):
    """Then, with room again, the same command goes on."""
    workdir = small_disk / "run"
    forever = {"epochs": 5000, "eval_every": 5000, "keep_best": 1}
    forever |= {"checkpoint_minutes": 0.0}
    (process,) = start(1, workdir, **forever)
    reached(workdir, 4, process)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(100_000))

    (told,) = finished([process], status=2)
    assert "cannot be written" in told.splitlines()[-1] and "Traceback" not in told
    newest = Checkpoints(workdir / "checkpoints").steps()[-1]
    logged = read_log(workdir)[-1]["step"]

    ballast.unlink()
    (process,) = start(1, workdir, **forever)
    reached(workdir, logged + 2, process)
    process.send_signal(signal.SIGTERM)
    (told,) = finished([process], status=143)
    assert f"step {newest} of" in told
