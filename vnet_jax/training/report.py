"""What a step has to say: logged one step late, so that the loop never waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import jax

from vnet_jax.data.loader import Loader
from vnet_jax.data.progress import Progress
from vnet_jax.runs.log import RunLog


class Diverged(RuntimeError):
    """The loss or the gradient is NaN or infinite; the message names the cases."""


class StepReports:
    """Writes each step's metrics to the log and the bar while the next one computes."""

    def __init__(
        self,
        log: RunLog,
        progress: Progress,
        loader: Loader,
        rate: Callable[[int], float],
        steps_per_epoch: int,
    ):
        self._log, self._progress, self._loader = log, progress, loader
        self._rate, self._steps_per_epoch = rate, steps_per_epoch
        self._began = time.monotonic()
        self._pending = None

    def push(
        self, step: int, metrics: Mapping[str, jax.Array], ids: Sequence[str]
    ) -> None:
        """Takes a step that was just started, and reports the one before.

        Raises:
            Diverged: see `flush`.
        """
        before, self._pending = self._pending, (step, metrics, ids)
        self._report(before)

    def flush(self) -> None:
        """Waits for the last step taken and reports it: its state may be kept.

        Raises:
            Diverged: its loss or its gradient is not finite.
        """
        before, self._pending = self._pending, None
        self._report(before)

    def _report(self, pending) -> None:
        if pending is None:
            return
        step, metrics, ids = pending
        values = {name: float(value) for name, value in metrics.items()}
        if not all(map(math.isfinite, values.values())):
            self._stop(step, values, ids)
        # Waiting for data since the start of the loop: 3 s of 60 s are 5 %.
        waiting = self._loader.waiting_s / max(time.monotonic() - self._began, 1e-9)
        self._log.write(
            "train",
            step,
            epoch=(step - 1) // self._steps_per_epoch,
            learning_rate=float(self._rate(step - 1)),
            **values,
            waiting=round(waiting, 4),
        )
        self._progress.advance(loss=values["loss"], waiting=f"{100 * waiting:.0f} %")

    def _stop(self, step: int, values: Mapping[str, float], ids: Sequence[str]) -> None:
        wrong = {k: str(v) for k, v in values.items() if not math.isfinite(v)}
        self._log.write("diverged", step, cases=list(ids), **wrong)
        what = ", ".join(f"{k} is {v}" for k, v in wrong.items())
        raise Diverged(
            f"step {step}: {what}; its cases were {', '.join(ids)}. The last good "
            "checkpoint is kept; look at these cases, or start anew with a lower "
            "learning_rate"
        )
