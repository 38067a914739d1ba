"""Cases one after another: one that fails is told in a line, and the others go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import jax

from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference import html_pages
from vnet_jax.inference.case_files import Job

#: What ends a case but not the others: bad input, a full disk, too little memory.
FAILURES = (InputError, OSError, MemoryError, jax.errors.JaxRuntimeError)


def run(
    what: str,
    jobs: Sequence[Job],
    work: Callable[[Job, Progress], str],
    *,
    less: str,
    strict: bool,
    report: bool,
    stream=None,
) -> list[tuple[Job, str]]:
    """Does every case, shows progress, and tells a line about each.

    Args:
        what: is done to a case, such as "infer"; for the progress bar.
        jobs: the cases.
        work: does one and returns the line to tell; it may say more on the bar.
        less: how to need less memory.
        strict: stop at the first failure.
        report: also write the folder's pages, and refuse two cases of one name.
        stream: where progress goes; stderr by default.

    Returns:
        The cases that failed, each with its reason in one line.

    Raises:
        InputError: with `strict`, the first failure.
    """
    stream = sys.stderr if stream is None else stream
    if report:
        html_pages.refuse_same_name(jobs)
    failed: list[tuple[Job, str]] = []
    with Progress(what, len(jobs), unit="case", stream=stream) as bar:
        for job in jobs:
            try:
                line = work(job, bar)
            except FAILURES as error:
                if not (reason := _reason(job, error, less)):
                    raise
                if strict:
                    raise InputError(None, reason) from error
                failed.append((job, reason))
                line = f"failed: {reason}"
            bar.say(f"{job.name}: {line}")
            bar.advance()
    if report:
        html_pages.write_cohorts(jobs, failed)
    return failed


def _reason(job: Job, error: Exception, less: str) -> str:
    """One line, or "" for a fault of the program; bad input tells its own."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, OSError):
        return f"{job.mask}: {text}; check the disk and its permissions"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"{job.source}: out of memory ({text}); {less}"
    return ""
