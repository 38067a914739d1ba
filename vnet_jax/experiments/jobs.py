"""Programs one after another or side by side: each in its process, with its log.

A job that ended well leaves a marker beside its log and is skipped by the next start,
unless its command changed, an output is gone or a job that it builds on ran again. A
job that failed takes those down that build on it; all others go on.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from vnet_jax.data.files import write_json
from vnet_jax.errors import InputError
from vnet_jax.experiments.board import COMMAND, Board, reason
from vnet_jax.experiments.job import Failure, Job, Outcome, Slot
from vnet_jax.training.interrupt import Interruption

__all__ = ["Failure", "Job", "Outcome", "Slot", "run"]

POLL_S = 0.2


def run(
    jobs: Sequence[Job],
    slots: Sequence[Slot] = (Slot(),),
    *,
    stream=None,
    every_s: float = 60.0,
) -> Outcome:
    """Runs what is not done, as many at a time as there are slots, in their order.

    Ctrl-C and SIGTERM are handed to the running programs, which may save; this returns
    when they have ended. A second signal kills them.

    Args:
        jobs: each after those that it builds on.
        slots: where; a job takes the first that is free.
        stream: where progress goes; stderr by default.
        every_s: seconds between two lines about what is at work.

    Raises:
        ValueError: two jobs of one name, or one that builds on a later or unknown one.
    """
    _check(jobs)
    runner = _Runner(jobs, slots, Board(stream, every_s))
    with Interruption() as stop:
        try:
            while runner.step(bool(stop)):
                time.sleep(POLL_S)
        finally:
            runner.kill()
    runner.outcome.signal = stop.signal
    return runner.outcome


@dataclass
class _Running:
    job: Job
    slot: int
    process: subprocess.Popen
    began: float
    told: bool = False  # that it should end


class _Runner:
    """The state of `run`: who waits, who is at work, how it went."""

    def __init__(self, jobs: Sequence[Job], slots: Sequence[Slot], board: Board):
        self.slots, self.board, self.outcome = slots, board, Outcome()
        self.running: list[_Running] = []
        self.done, self.waiting, again = set(), [], set()
        for job in jobs:
            seconds = job.seconds()
            if seconds is None or again & set(job.after):
                again.add(job.name)
                self.waiting.append(job)
                job.marker.unlink(missing_ok=True)
            else:
                self.done.add(job.name)
                board.took(job.kind, seconds)
        board.begin(len(jobs), len(self.done))

    def step(self, stopped: bool) -> bool:
        """Looks once at everything; False when nothing is left to do."""
        for one in list(self.running):
            if one.process.poll() is not None:
                self._end(one, stopped)
        if stopped:
            self._ask_to_end()
        else:
            self._start_ready()
        self.board.tell({one.job.name: one.job.log for one in self.running})
        if not self.running:
            self.outcome.left += [job.name for job in self.waiting]
            self.waiting = []
        return bool(self.running)

    def kill(self) -> None:
        """Ends what still runs, with all its processes."""
        for one in self.running:
            try:
                os.killpg(one.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            one.process.wait()

    def _start_ready(self) -> None:
        taken = {one.slot for one in self.running}
        for number in range(len(self.slots)):
            if number not in taken:
                self._start_next(number)

    def _start_next(self, slot: int) -> None:
        while job := next((j for j in self.waiting if self.done >= set(j.after)), None):
            self.waiting.remove(job)
            try:
                process = _start(job, self.slots[slot])
            except (InputError, OSError) as error:
                self._fail(Failure(job.name, 2, str(error), job.log))
                continue
            self.running.append(_Running(job, slot, process, time.monotonic()))
            self.board.started(job.name, job.log)
            return

    def _end(self, one: _Running, stopped: bool) -> None:
        self.running.remove(one)
        status, seconds = one.process.returncode, time.monotonic() - one.began
        status = status if status >= 0 else 128 - status
        job = one.job
        if status == 0:
            write_json(job.marker, {"argv": list(job.argv), "seconds": seconds})
            self.done.add(job.name)
            self.board.took(job.kind, seconds)
            rest = [(j.kind, 0.0) for j in self.waiting]
            now = time.monotonic()
            rest += [(r.job.kind, now - r.began) for r in self.running]
            self.board.ended(job.name, seconds, rest, len(self.slots))
        elif stopped and status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            self.outcome.left.append(job.name)
        else:
            self._fail(Failure(job.name, status, reason(job.log), job.log))

    def _fail(self, failure: Failure) -> None:
        """Notes it, and that those who build on it will not start."""
        self.outcome.failed.append(failure)
        self.board.say(f"failed: {failure}")
        lost = {failure.name}
        for job in list(self.waiting):  # each after those that it builds on
            if lost & set(job.after):
                lost.add(job.name)
                self.waiting.remove(job)
                self.outcome.left.append(job.name)

    def _ask_to_end(self) -> None:
        for one in self.running:
            if not one.told:
                one.told = True
                self.board.say(f"{one.job.name}: asked to stop")
                one.process.terminate()


def _start(job: Job, slot: Slot) -> subprocess.Popen:
    """Starts a program in a session of its own: a Ctrl-C comes to it through us."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        _hold(log, job)
        log.write(f"{COMMAND}{shlex.join(job.argv)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            job.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **slot.environment},
            start_new_session=True,
        )
    if slot.cpus is not None:  # before it has started a thread
        os.sched_setaffinity(process.pid, slot.cpus)
    return process


def _hold(log: BinaryIO, job: Job) -> None:
    """Locks the log for as long as the program has it open, whatever becomes of us.

    Raises:
        InputError: another start of the same job is still at work.
    """
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            job.log, "is being written by another start of this job", "let it end"
        ) from None
    except OSError:  # a file system without locks
        pass


def _check(jobs: Sequence[Job]) -> None:
    known: set[str] = set()
    for job in jobs:
        if job.name in known or not known >= set(job.after):
            raise ValueError(f"job {job.name!r} after {job.after} among {known}")
        known.add(job.name)
