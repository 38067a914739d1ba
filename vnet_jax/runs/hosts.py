"""The processes that train together, on one host or on several.

Each has devices of its own, its own share of every batch, and the whole state. Process
0, the lead, alone writes: the run folder, the cache, checkpoints, the log and what
people read. A program that was not told to join others is a lead without company, and
nothing here costs it anything.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from vnet_jax.errors import InputError

T = TypeVar("T")

#: Seconds until processes that do not answer count as dead.
HEARTBEAT_S = 30
#: Seconds to wait for the lead, which may build a cache of hundreds of cases meanwhile.
PATIENCE_S = 24 * 3600
#: Exit status of a process whose company is gone.
LEFT_ALONE = 3

#: Parts of what Gloo, NCCL and JAX's coordination service say about a lost process.
COMPANY_GONE = ("gloo", "nccl", "coordination", "barrier", "unhealthy")

_meetings = itertools.count()


def join(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Joins the other processes; to be called before anything touches a device.

    Args:
        coordinator: "host:port" of process 0, which must be free there; "" has JAX find
            all three in what Slurm, Open MPI or Kubernetes tell each process.
        processes: how many there are; with `coordinator` only.
        process: the number of this one, from 0; with `coordinator` only.

    Raises:
        InputError: addresses that lack a part, nothing that JAX finds, or no answer.
    """
    told = {}
    if coordinator:
        if not 0 <= process < processes:
            raise InputError(
                None,
                f"--process {process} of --processes {processes}",
                "number the processes from 0; each gets the same --coordinator",
            )
        told = dict(
            coordinator_address=coordinator,
            num_processes=processes,
            process_id=process,
        )
    try:
        jax.distributed.initialize(**told, heartbeat_timeout_seconds=HEARTBEAT_S)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            None,
            f"cannot join the other processes ({_first_line(error)})",
            "start one in each task of Slurm, Open MPI or Kubernetes, or pass "
            "--coordinator HOST:PORT, --processes N and --process K",
        ) from error


def count() -> int:
    """How many processes train together."""
    return jax.process_count()


def index() -> int:
    """The number of this one, from 0."""
    return jax.process_index()


def is_lead() -> bool:
    """True in process 0, and in a process without company."""
    return index() == 0


def meet() -> None:
    """Waits until every process is here: each must call it equally often."""
    if count() > 1:
        wait = multihost.get_barrier_sync_fn()
        wait(key=f"vnet_jax_{next(_meetings)}", timeout_ms=1000 * PATIENCE_S)


def lead_first(work: Callable[[], T]) -> T:
    """Has the lead do what leaves files, then the others the same with these files.

    Args:
        work: finds what it needs on disk, or makes it.

    Returns:
        What `work` returns in this process.
    """
    if is_lead():
        done = work()
        meet()
    else:
        meet()
        done = work()
    meet()  # the lead does not change the files under the others' eyes
    return done


def highest(numbers: Sequence[float]) -> list[float]:
    """Of each of some numbers the highest that any process has.

    Args:
        numbers: as many in every process; NaN where a process has none.

    Returns:
        Floats, NaN where no process has any.
    """
    own = np.asarray(numbers, np.float64)
    if count() == 1:
        return own.tolist()
    # As bytes: without x64, JAX would round float64 to float32 on its way.
    all_ = multihost_utils.process_allgather(own.view(np.uint8))
    values = np.asarray(all_).view(np.float64).reshape(count(), len(own))
    return np.fmax.reduce(values, axis=0).tolist()


class Vote:
    """Whole numbers that all processes see alike, in every step: the highest of each.

    The answer comes one call late, so that asking never waits for the devices.
    """

    def __init__(self):
        """Compiles nothing yet; without company nothing at all, ever."""
        self._before: jax.Array | None = None
        if count() > 1:
            mesh = jax.make_mesh(
                (jax.device_count(),), ("all",), axis_types=(AxisType.Auto,)
            )
            self._cut = NamedSharding(mesh, PartitionSpec("all"))
            whole = NamedSharding(mesh, PartitionSpec())
            self._highest = jax.jit(lambda votes: votes.max(0), out_shardings=whole)

    def __call__(self, *numbers: int) -> list[int]:
        """The highest of each that any process gave in the call before; 0 at first.

        Args:
            numbers: at least 0, below 2**31; as many in every process and every call.
        """
        if count() == 1:
            return list(numbers)
        own = np.array([numbers], np.int32)
        shape = (jax.device_count(), len(numbers))
        votes = jax.make_array_from_callback(shape, self._cut, lambda _: own)
        before, self._before = self._before, self._highest(votes)
        return [0] * len(numbers) if before is None else np.asarray(before).tolist()


@contextmanager
def ends_together() -> Iterator[None]:
    """A `with` block in which no process outlives the others.

    One that fails says why and ends at once: a tidy end would wait for the others. They
    notice when they next need it, say so, and end with status `LEFT_ALONE`. Checkpoints
    are whole or absent, so nothing is lost but the steps since the newest. Without
    company the block does nothing.
    """
    try:
        yield
    except BaseException as error:
        if count() == 1:
            raise
        status = _tell(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tell(error: BaseException) -> int:
    """Says why this process ends; returns its exit status."""
    who = f"vnet_jax: process {index()} of {count()}: "
    if isinstance(error, (RuntimeError, ValueError)) and any(
        sign in str(error).lower() for sign in COMPANY_GONE
    ):
        line = (
            "another process is gone, its own last line says why; start all of them "
            f"again to go on from the newest checkpoint ({_first_line(error)})"
        )
        status = LEFT_ALONE
    elif isinstance(error, KeyboardInterrupt):
        line, status = "stopped", 130
    else:
        line = str(error) or type(error).__name__
        status = 2 if isinstance(error, InputError) else 1
    print(who + line, file=sys.stderr)
    return status


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
