"""The same work on many items, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed


def results(function: Callable, jobs: Sequence[tuple], workers: int) -> Iterator:
    """Calls `function(*job)` for each job and yields the results as they come.

    Args:
        function: of a module, as it is sent to other processes.
        jobs: the arguments of each call.
        workers: processes; 1 works in this one.

    Raises:
        BrokenProcessPool: a process died, most likely for want of memory.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from (function(*job) for job in jobs)
        return
    # spawn: a forked child would inherit threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    try:
        futures = [pool.submit(function, *job) for job in jobs]
        yield from (future.result() for future in as_completed(futures))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Ctrl-C is the parent's to handle; a worker ends when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
