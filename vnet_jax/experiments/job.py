"""A program to run in a process of its own, where it runs, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One program to run.

    Attributes:
        name: of this job alone.
        argv: the command.
        log: what it prints goes to the end of this file; the marker stands beside it.
        after: names of the jobs whose results it reads.
        outputs: files without which it is not done, marker or not.
        kind: what it has in common with others, to tell the time that is left.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    after: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    kind: str = ""

    @property
    def marker(self) -> Path:
        """The file that says that it is done: {"argv", "seconds"}."""
        return self.log.with_suffix(".done")

    def seconds(self) -> float | None:
        """How long it took when it was done; None where it is not."""
        try:
            facts = json.loads(self.marker.read_text(encoding="utf-8"))
            same = facts["argv"] == list(self.argv)
            whole = same and all(path.exists() for path in self.outputs)
            return float(facts["seconds"]) if whole else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Slot:
    """Where jobs run, one at a time.

    Attributes:
        environment: added to that of this process, such as CUDA_VISIBLE_DEVICES.
        cpus: the processors that its jobs may use; None for all.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: frozenset[int] | None = None


@dataclass(frozen=True)
class Failure:
    """A job that did not end well.

    Attributes:
        name: of the job.
        status: its exit status, 128 + n for signal n.
        line: the last line that it said.
        log: where the rest stands.
    """

    name: str
    status: int
    line: str
    log: Path

    def __str__(self) -> str:
        """One line for people."""
        said = self.line or "it said nothing"
        return f"{self.name} ended with status {self.status}: {said} (see {self.log})"


@dataclass
class Outcome:
    """What became of the jobs.

    Attributes:
        failed: those that ran and did not end well.
        left: names of those that did not start, since one they build on failed or a
            signal came.
        signal: that stopped all of it, or None.
    """

    failed: list[Failure] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    signal: int | None = None
