"""Batches made ahead of the training step, the same ones on every run.

What is in a batch depends on (seed, step, index in the global batch) and on nothing
else: not on the threads, on where training was resumed, or on how many processes share
the batch.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from vnet_jax.data.buffers import Buffers
from vnet_jax.data.cached_case import CachedCase

#: image (D, H, W, 1) float32, label (D, H, W) uint8
Pair = tuple[np.ndarray, np.ndarray]
#: cached case, generator, where the sample may be written -> the sample: there or new
Sample = Callable[[CachedCase, np.random.Generator, Pair], Pair]
ORDER, SAMPLE = 0, 1  # two families of random numbers from one seed
LOOK_EVERY_S = 0.5
CLOSE_S = 2.0  # for samples in work; a read that hangs gets no more


class LoaderError(RuntimeError):
    """A case could not be loaded; the message names it, the cause says why."""


def steps_per_epoch(n_cases: int, batch_size: int) -> int:
    """Steps in which each case is seen at least once: 13 cases, batch 4: 4 steps."""
    if n_cases < 1 or batch_size < 1:
        raise ValueError(f"{n_cases} cases, batch of {batch_size}: both must be >= 1")
    return math.ceil(n_cases / batch_size)


def epoch_order(seed: int, epoch: int, n_cases: int) -> np.ndarray:
    """The order of the cases in an epoch: a permutation of n_cases, int64."""
    return _generator(seed, ORDER, epoch).permutation(n_cases)


class Loader:
    """Iterates over (step, batch); threads work up to `prefetch` batches ahead.

    A batch is {"image": (b, D, H, W, 1) float32, "label": (b, D, H, W) uint8, "ids":
    list of str}: of the global batch's samples the b that are asked for, and the ids of
    all. An epoch's last batch is filled from the start of that epoch's own order: 13
    cases in batches of 4 give 4 batches, the last of case 13 and the first three again.

    Args:
        cases: labelled cases.
        sample: draws one sample from a case and a generator. It is given its place in
            the batch to write to; what it returns elsewhere is copied there.
        shape: (D, H, W) voxels of a sample.
        batch_size: samples of the global batch.
        seed: of order and samples.
        start_step: first step to give; a resumed run starts where it stopped.
        stop_step: first step not to give; None never stops.
        threads: that load.
        prefetch: batches in work or waiting; at least one a thread.
        samples: which of each global batch's samples this process loads, by their
            indices in it; all by default.
        patience_s: a batch that takes longer than this counts as hung.

    Attributes:
        waiting_s: seconds spent waiting for a batch so far.

    Raises:
        ValueError: no cases, no threads, or samples that are not in the batch.
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        sample: Sample,
        shape: Sequence[int],
        batch_size: int,
        seed: int,
        start_step: int = 0,
        stop_step: int | None = None,
        threads: int = 2,
        prefetch: int = 2,
        samples: Sequence[int] | None = None,
        patience_s: float = 120.0,
    ):
        self._steps = steps_per_epoch(len(cases), batch_size)
        self._mine = list(range(batch_size)) if samples is None else list(samples)
        if threads < 1:
            raise ValueError(f"{threads} threads cannot load")
        if not self._mine or not set(self._mine) <= set(range(batch_size)):
            raise ValueError(f"samples {self._mine} of a batch of {batch_size}")
        self._cases, self._sample, self._seed = list(cases), sample, seed
        self._batch_size, self._patience_s = batch_size, patience_s
        self._next, self._stop = start_step, stop_step
        self.waiting_s = 0.0
        self._ahead: deque[tuple[int, Future]] = deque()
        self._depth = max(prefetch, threads)
        self._shape, self._buffers = tuple(shape), Buffers(self._depth + 2)
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        # Daemons: a read that hangs must not keep the program from ending.
        self._threads = [
            threading.Thread(
                target=_work, args=(self._tasks, self.batch_at), daemon=True
            )
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def batch_at(self, step: int) -> dict:
        """Makes the batch of any step, here and now.

        Raises:
            LoaderError: a case could not be loaded; it names the case.
        """
        cases = self._cases_at(step)
        lead = (len(self._mine), *self._shape)
        image = self._buffers.empty((*lead, 1), np.float32)
        label = self._buffers.empty(lead, np.uint8)
        for i, place in zip(self._mine, zip(image, label, strict=True), strict=True):
            self._draw(cases[i], step, i, place)
        return {"image": image, "label": label, "ids": [case.id for case in cases]}

    def __iter__(self) -> Loader:
        """The loader itself: it can be gone through once."""
        return self

    def __next__(self) -> tuple[int, dict]:
        """The next step and its batch; a fault of any thread closes the loader."""
        self._submit()
        if not self._ahead:
            self.close()
            raise StopIteration
        step, future = self._ahead[0]
        started = time.monotonic()
        try:
            self._wait(step, future, started)
        except BaseException:
            self.close()
            raise
        finally:
            self.waiting_s += time.monotonic() - started
        self._ahead.popleft()
        self._submit()
        return step, future.result()

    def close(self) -> None:
        """Stops the threads; waits for the samples in work, not for a hung read."""
        self._stop = self._next
        for _, future in self._ahead:
            future.cancel()
        self._ahead.clear()
        for _ in self._threads:
            self._tasks.put(None)
        last = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, last - time.monotonic()))
        self._threads = []

    def __enter__(self) -> Loader:
        """Closes itself at the end of a `with`."""
        return self

    def __exit__(self, *exception) -> None:
        """Stops the threads, whatever happened."""
        self.close()

    def _cases_at(self, step: int) -> list[CachedCase]:
        """The cases of the global batch of a step, in its order."""
        epoch, step_in_epoch = divmod(step, self._steps)
        order = epoch_order(self._seed, epoch, len(self._cases))
        places = (step_in_epoch * self._batch_size + i for i in range(self._batch_size))
        return [self._cases[order[place % len(order)]] for place in places]

    def _draw(self, case: CachedCase, step: int, i: int, place: Pair) -> None:
        """Draws sample i of a step into its place in the batch."""
        try:
            drawn = self._sample(case, _generator(self._seed, SAMPLE, step, i), place)
            for there, array in zip(place, drawn, strict=True):
                if array is not there:
                    np.copyto(there, array, casting="no")
        except Exception as error:
            raise LoaderError(f"case {case.id}, step {step}: {error!r}") from error

    def _submit(self) -> None:
        while len(self._ahead) < self._depth and self._next != self._stop:
            future: Future = Future()
            self._ahead.append((self._next, future))
            self._tasks.put((future, self._next))
            self._next += 1

    def _wait(self, step: int, future: Future, started: float) -> None:
        """Returns when the batch is there; raises for any failed one, however late."""
        while True:
            for _, other in self._ahead:
                if other.done():
                    other.result()
            if future.done():
                return
            if time.monotonic() - started > self._patience_s:
                ids = ", ".join(case.id for case in self._cases_at(step))
                raise LoaderError(
                    f"no batch for {self._patience_s:g} s at step {step}, cases {ids}: "
                    "is the disk there?"
                )
            _settled(future, LOOK_EVERY_S)


def _settled(future: Future, timeout_s: float) -> None:
    try:
        future.exception(timeout=timeout_s)
    except TimeoutError:
        pass


def _work(tasks: queue.SimpleQueue, make: Callable[[int], dict]) -> None:
    """A thread's life: makes batches until it is told None."""
    while (task := tasks.get()) is not None:
        future, step = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(make(step))
        except BaseException as error:
            future.set_exception(error)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
