"""`bin/train.py` in processes of its own, as tests start and watch it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from vnet_jax.runs.log import read_log

ROOT = Path(__file__).parents[2]
QUICK = "--xla_backend_optimization_level=0"  # compiles in half the time


def start(count: int, config: Path, workdir: Path, devices: int = 1) -> list:
    """So many processes that train together, `devices` CPU devices each."""
    port = free_port()
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    started = []
    for index in range(count):
        told = [
            f"--coordinator=127.0.0.1:{port}",
            f"--processes={count}",
            f"--process={index}",
        ]
        command = [
            *(sys.executable, "bin/train.py", "--config", str(config)),
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
    return started


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


def reached(workdir, step: int, process) -> None:
    """Waits until a step is in the log."""
    until = time.monotonic() + 240
    while not (workdir / "log.jsonl").is_file() or not any(
        row["kind"] == "train" and row["step"] >= step for row in read_log(workdir)
    ):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "no step in 240 s"
        time.sleep(0.2)
