import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.launch import Launcher, our_environment, their_environment
from benchmarks.pipe import NotRun
from benchmarks.pool import Deadline, Pool
from benchmarks.program import EAGER, Comparison, Program
from benchmarks.worker import reason_of

ROOT = Path(__file__).parents[2]
FAKE = "tests.benchmarks.fake_side"


@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher("cpu", "", tmp_path / "logs")
    yield launcher
    launcher.close()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_and_goes_on_after_an_error(launcher):
    worker = launcher.ours(FAKE)
    assert worker.ask("echo", value=[1, "a"]) == {"value": [1, "a"]}
    with pytest.raises(NotRun, match=r"^RuntimeError: no such kernel$"):
        worker.ask("fail", text="no such kernel\nand more")
    with pytest.raises(NotRun, match=r"^out of memory$"):
        worker.ask("fail", text="RESOURCE_EXHAUSTED: Out of memory while trying")
    with pytest.raises(NotRun, match=r"^no_such_package is not installed$"):
        worker.ask("need", module="no_such_package")
    assert worker.ask("echo", value=2) == {"value": 2}


def test_its_death_is_a_reason(launcher):
    with pytest.raises(NotRun, match="ended with status 3"):
        launcher.ours(FAKE).ask("end", status=3)


def test_waiting_too_long_kills_it(launcher):
    worker = launcher.ours(FAKE)
    pid = worker.ask("pid")["pid"]
    with pytest.raises(NotRun, match="not done after 0 s"):
        worker.ask("sleep", timeout_s=0.1, seconds=60)
    assert not is_alive(pid)


def test_ctrl_c_ends_the_workers(tmp_path):
    program = f"""
import signal
from pathlib import Path
from benchmarks.run import Run
# As in a terminal; a shell's background jobs start with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Run("quick", Path({str(tmp_path)!r})) as bench:
    worker = bench.launcher.ours({FAKE!r})
    print(worker.ask("pid")["pid"], flush=True)
    worker.ask("sleep", seconds=60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in parent.communicate(timeout=20)[1]
    assert not is_alive(pid)


def test_reasons_are_one_short_line():
    assert reason_of(ModuleNotFoundError(name="torch.nn")) == "PyTorch is not installed"
    assert reason_of(MemoryError()) == "out of memory"
    assert reason_of(ValueError("a" * 500)) == "ValueError: " + "a" * 148


def test_without_pytorch_a_rival_is_not_run(launcher, tmp_path):
    pool = Pool(launcher, Deadline(), tmp_path)
    rival = Program("forward", "vnet", (16, 16, 16), side=EAGER)
    assert pool.ready(rival).reason == "PyTorch is not installed"
    assert pool.ready(rival).time() is None


def test_after_the_deadline_nothing_is_begun(launcher, tmp_path):
    pool = Pool(launcher, Deadline(0.01), tmp_path)
    program = Program("forward", "vnet", (16, 16, 16))
    ours, rival = pool.pair(Comparison(program, program.against(EAGER)))
    assert ours.reason == "the 0.01 minutes of the suite were over"
    assert rival.reason == ours.reason


def test_what_the_sides_are_told(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--own")
    assert our_environment("gpu")["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "JAX_PLATFORMS" not in our_environment("gpu")
    assert our_environment("cpu")["JAX_PLATFORMS"] == "cpu"
    assert "XLA_FLAGS" not in our_environment("cpu")
    flags = our_environment("cpu", 4)["XLA_FLAGS"]
    assert flags == "--own --xla_force_host_platform_device_count=4"
    assert their_environment("cpu")["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in their_environment("gpu")
    assert "OMP_NUM_THREADS" not in their_environment("cpu")
    assert their_environment("cpu", 64)["OMP_NUM_THREADS"] == "1"
