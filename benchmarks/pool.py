"""Programs that are ready to be called, each in a worker of its own."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker
from benchmarks.program import Comparison, Program

SOON_S = 5.0  # nothing is begun when less is left


class Deadline:
    """When a suite has to be done."""

    def __init__(self, minutes: float | None = None):
        """So many minutes from now; None for no end."""
        self.minutes = minutes
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def left_s(self) -> float | None:
        """Seconds that are left; None for no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises NotRun where too little is left to begin something."""
        left = self.left_s()
        if left is not None and left < SOON_S:
            raise NotRun(f"the {self.minutes:g} minutes of the suite were over")


@dataclass(eq=False)
class Ready:
    """A program to call, or why it cannot be called.

    Attributes:
        facts: what its preparation told.
        reason: "" while it runs.
        worker: its process.
        deadline: of the suite.
    """

    facts: dict = field(default_factory=dict)
    reason: str = ""
    worker: Worker | None = None
    deadline: Deadline = field(default_factory=Deadline)

    def ask(self, do: str) -> dict:
        """Asks its worker; {} where it does not run, or from now on does not."""
        if self.reason or self.worker is None:
            return {}
        try:
            return self.worker.ask(do, timeout_s=self.deadline.left_s())
        except NotRun as failure:
            self.reason = str(failure)
            return {}

    def time(self) -> float | None:
        """Seconds of one call."""
        return self.ask("time").get("seconds")


class Pool:
    """Prepares programs, each once, and lets go of those that are done with."""

    def __init__(
        self,
        launcher: Launcher,
        deadline: Deadline,
        scratch: Path,
        torchrun: bool = False,
    ):
        """An empty pool.

        Args:
            launcher: starts the workers.
            deadline: of the suite.
            scratch: folder for weights on their way from our side to the other.
            torchrun: PyTorch runs under torchrun, with one process as with several.
        """
        self.launcher, self.deadline = launcher, deadline
        self.scratch, self.torchrun = scratch, torchrun
        self._ready: dict[Program, Ready] = {}

    def pair(self, comparison: Comparison) -> tuple[Ready, Ready]:
        """Both programs of a comparison, with the same weights; others are let go."""
        self.keep({comparison.ours, comparison.rival})
        return self.ready(comparison.ours), self.ready(comparison.rival)

    def ready(self, program: Program) -> Ready:
        """A program, prepared if it is not yet."""
        if program not in self._ready:
            self._ready[program] = self._prepared(program)
        return self._ready[program]

    def keep(self, programs: Collection[Program]) -> None:
        """Ends the workers of all others."""
        for program in [p for p in self._ready if p not in programs]:
            worker = self._ready.pop(program).worker
            if worker:
                worker.close()

    def _prepared(self, program: Program) -> Ready:
        worker = None
        try:
            self.deadline.check()
            worker = self._start(program)
            print(f"  {program.side} compiles and warms up", flush=True)
            facts = worker.ask(
                "prepare",
                timeout_s=self.deadline.left_s(),
                settings=program.settings(),
                **self._weights(program),
            )
        except NotRun as failure:
            if worker:
                worker.close()
            return Ready(reason=str(failure))
        return Ready(facts, "", worker, self.deadline)

    def _start(self, program: Program) -> Worker:
        if program.is_ours:
            return self.launcher.ours(devices=program.devices)
        return self.launcher.torch(processes=program.devices if self.torchrun else 0)

    def _weights(self, program: Program) -> dict:
        """Where our side leaves its weights, and where the other finds them."""
        path = self.scratch / f"{program.work}-{program.net}-{program.width}.npz"
        if program.is_ours:
            wanted = not self.launcher.refused.get("torch")
            return {"export": str(path) if wanted else ""}
        return {"weights": str(path) if path.is_file() else ""}
