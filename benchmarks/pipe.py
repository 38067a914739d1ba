"""The parent's end of a worker: started, asked, killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STARTED = "VNET_JAX_BENCH_STARTED"  # time.time() at the start, for the time to a step
OUT_OF_MEMORY = "out of memory"  # the reason of whatever ends for want of it
GOODBYE_S = 10.0  # torchrun needs some to end its processes


class NotRun(Exception):
    """Something could not be run; the message says why."""


class Worker:
    """A process that runs `benchmarks.worker`, in a process group of its own."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ):
        """Starts it.

        Args:
            command: its program and arguments.
            log: where what it prints goes.
            environment: what is set beside the parent's own.
        """
        self.log = log
        started = {STARTED: repr(time.time())}
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=ROOT,
                env={**os.environ, **environment, **started},
                start_new_session=True,
            )

    def ask(self, do: str, timeout_s: float | None = None, **arguments) -> dict:
        """Sends a command and waits for its answer.

        Args:
            do: a method of the worker's `Side`.
            timeout_s: how long to wait; the worker is killed after that.
            **arguments: of the method.

        Returns:
            Its answer.

        Raises:
            NotRun: it raised, it died, or it took too long.
        """
        line = json.dumps({"do": do, **arguments}) + "\n"
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        answer = json.loads(self._line(timeout_s))
        if "error" in answer:
            raise NotRun(answer["error"])
        return answer

    def _line(self, timeout_s: float | None) -> bytes:
        end = None if timeout_s is None else time.monotonic() + timeout_s
        pipe, line = self.process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([pipe], [], [], left)[0]:
                self.close()
                raise NotRun(f"not done after {timeout_s:.0f} s")
            part = os.read(pipe, 1 << 16)
            if not part:
                raise NotRun(self._epitaph())
            line += part
        return line

    def _epitaph(self) -> str:
        status = self.process.wait()
        if status == -signal.SIGKILL:
            return "killed, most likely for want of memory"
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"ended with status {status}: {lines[-1] if lines else ''}"

    def close(self) -> None:
        """Ends it at once, and whatever it started."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.terminate()  # torchrun ends its processes when it gets this
        try:
            self.process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
