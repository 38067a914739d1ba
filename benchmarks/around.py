"""The parts around the network, and a whole case from file to file, as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker

MODULE = "benchmarks.around_work"


@dataclass(frozen=True)
class Case:
    """A whole case: its networks' dtype and how many of phase 2 are averaged.

    `reason` says why it cannot be run, or "".
    """

    dtype: str = "float32"
    checkpoints: int = 1
    reason: str = ""

    @property
    def name(self) -> str:
        """As the row is called."""
        many = "" if self.checkpoints == 1 else f", {self.checkpoints} checkpoints"
        return f"whole case, {self.dtype}{many}"


def run(
    launcher: Launcher,
    scratch: Path,
    *,
    small: bool,
    cases: Sequence[Case],
    done: Callable[[dict], None],
) -> None:
    """Times the parts in one process and each whole case in a process of its own.

    Args:
        launcher: starts the workers.
        scratch: folder for the phantom, the run folders and the masks.
        small: a small phantom and small networks.
        cases: the whole cases to run.
        done: is given each row: part, what, seconds, peak_mb, not_run; of a whole case
            also steps and kidney.
    """
    try:
        worker = launcher.ours(MODULE)
        shape = worker.ask("draw", folder=str(scratch), small=small)["shape"]
        for part in worker.ask("parts")["parts"]:
            done({**part, "not_run": ""})
        worker.close()
    except NotRun as failure:
        done(_not_run("the parts around the network", str(failure)))
        return
    for case in cases:
        done(_case(launcher, scratch, small, case, shape))


def _case(launcher, scratch, small, case: Case, shape) -> dict:
    if case.reason:
        return _not_run(case.name, case.reason)
    try:
        worker: Worker = launcher.ours(MODULE)
        worker.ask("open", folder=str(scratch), small=small)
        told = worker.ask("case", dtype=case.dtype, checkpoints=case.checkpoints)
        worker.close()
    except NotRun as failure:
        return _not_run(case.name, str(failure))
    what = f"CT {'x'.join(map(str, shape))}, file to file with compilation"
    return {"part": case.name, "what": what, "not_run": "", **told}


def _not_run(name: str, reason: str) -> dict:
    empty = {"what": "", "seconds": None, "peak_mb": None}
    return {"part": name, **empty, "not_run": reason}
