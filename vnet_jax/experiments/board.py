"""What people see of jobs that run for hours: who is at work, how long it will take."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean

from vnet_jax.data.progress import duration

TAIL_BYTES = 8192
COMMAND = "$ "  # starts the line of a log that holds the command
OURS = "vnet_jax: "  # starts the line in which our programs say what went wrong


class Board:
    """Plain lines, the same on a terminal and in a job's log."""

    def __init__(self, stream=None, every_s: float = 60.0):
        """A silent board until `begin`.

        Args:
            stream: where to write; stderr by default.
            every_s: seconds between two lines about what is at work.
        """
        self._stream = sys.stderr if stream is None else stream
        self._every_s, self._told = every_s, time.monotonic()
        self._took: dict[str, list[float]] = defaultdict(list)
        self._total = self._done = 0

    def begin(self, total: int, done: int) -> None:
        """Tells how many jobs there are, and how many were done before."""
        self._total, self._done = total, done
        if done:
            self.say(f"{done} of {total} jobs were done before")

    def started(self, name: str, log: Path) -> None:
        """Tells that a job is at work."""
        self.say(f"{name}: started, log {log}")

    def took(self, kind: str, seconds: float) -> None:
        """Notes how long a job of a kind takes."""
        self._took[kind].append(seconds)

    def ended(
        self,
        name: str,
        seconds: float,
        rest: Iterable[tuple[str, float]],
        at_once: int,
    ) -> None:
        """Tells that a job ended well.

        Args:
            name: of the job.
            seconds: that it took.
            rest: (kind, seconds at work so far) of each job that is not done.
            at_once: how many run side by side.
        """
        self._done += 1
        parts = [f"{name}: done in {duration(seconds)}"]
        parts.append(f"{self._done} of {self._total} jobs")
        left = self.left_s(rest, at_once)
        if left is not None and self._done < self._total:
            parts.append(f"about {duration(left)} left")
        self.say(", ".join(parts))

    def left_s(self, rest: Iterable[tuple[str, float]], at_once: int) -> float | None:
        """Seconds until all is done; None while a kind of job has never been timed.

        With 2 side by side, 3 phases of 60 s each and 30 s into one: 75 s.
        """
        rest = list(rest)
        if any(kind not in self._took for kind, _ in rest):
            return None
        seconds = [max(mean(self._took[kind]) - gone, 0.0) for kind, gone in rest]
        return sum(seconds) / at_once

    def tell(self, logs: Mapping[str, Path]) -> None:
        """Tells now and then what the jobs at work said last."""
        now = time.monotonic()
        if now - self._told < self._every_s:
            return
        self._told = now
        for name, log in logs.items():
            if line := last_line(log):
                self.say(f"{name}: {line}")

    def say(self, line: str) -> None:
        """Writes a line."""
        print(line, file=self._stream, flush=True)


def last_line(log: Path) -> str:
    """What a log says last; of a bar its last state."""
    return next(reversed(_said(log)), "")


def reason(log: Path) -> str:
    """Why a program failed: the last line that it gave as the reason, or the last."""
    said = _said(log)
    return next((line for line in reversed(said) if line.startswith(OURS)), "") or (
        said[-1] if said else ""
    )


def _said(log: Path) -> list[str]:
    """The last lines of the last start, the command itself left out."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - TAIL_BYTES, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    said: list[str] = []
    for line in text.replace("\r", "\n").splitlines():
        if line.startswith(COMMAND):
            said = []
        elif line.strip():
            said.append(line.strip())
    return said
