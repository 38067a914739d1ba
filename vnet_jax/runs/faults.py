"""What orbax raises, told in one line."""

from __future__ import annotations

import functools
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vnet_jax.errors import InputError

#: How orbax's storage layer begins a ValueError: a status, as RESOURCE_EXHAUSTED. The
#: words after it differ with the file that fails.
STORAGE_FAULT = re.compile(r"[A-Z]+(_[A-Z]+)*: ")
LATE_S = 0.2  # how long a failed read's other threads may still report


@contextmanager
def quiet_failure() -> Iterator[None]:
    """Keeps tracebacks of orbax's threads off the screen when a read fails.

    Orbax closes its event loop at the first bad array; the reads still under way then
    fail to report to it, a few milliseconds later, from threads of their own.
    """
    before = sys.unraisablehook
    sys.unraisablehook = functools.partial(_unless_loop_closed, before)
    try:
        yield
    except BaseException:
        time.sleep(LATE_S)
        raise
    finally:
        sys.unraisablehook = before


def _unless_loop_closed(told_otherwise: Callable, late) -> None:
    if str(late.exc_value) != "Event loop is closed":
        told_otherwise(late)


@functools.cache
def tell_once() -> None:
    """Keeps what orbax's threads raise later off the screen, for good.

    A failed save logs a traceback when it fails, asyncio one for each of its other
    writes that fail, and those still under way one each when they find the event loop
    closed; the fault itself is raised at the next save, or at the end.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_no_threads_fault)
    sys.unraisablehook = functools.partial(_unless_loop_closed, sys.unraisablehook)


def _is_no_threads_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and "orbax" in record.pathname + record.getMessage())


def damaged(path: Path, error: Exception) -> InputError:
    """The one line for a checkpoint that cannot be read."""
    first = (str(error).strip().splitlines() or [""])[0]
    reason = f"{type(error).__name__}: {first[:200]}"
    return InputError(
        path, f"damaged checkpoint ({reason})", "remove it, or copy the run anew"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure to write, of this thread or of orbax's own, into one line.

    Raises:
        InputError: the disk is full or not writable.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and not STORAGE_FAULT.match(str(error)):
            raise
        raise InputError(
            path,
            f"a checkpoint cannot be written ({str(error)[-120:].strip()})",
            "make room and start again: the checkpoints before it are whole",
        ) from error
