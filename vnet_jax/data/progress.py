"""How far a long job is: a bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 10.0  # where there is no terminal; a log of an hour stays readable


class Progress:
    """Counts items and shows count, rate and time left on stderr.

    Args:
        total: number of items.
        what: the job, such as "cache".
        unit: one item, such as "case".
        shown: False counts in silence.
        stream: where to; stderr when not given.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str,
        shown: bool = True,
        stream: TextIO | None = None,
    ):
        self._total, self._what, self._unit = total, what, unit
        self._stream = stream or sys.stderr
        self._shown = shown
        self._done = 0
        self._started = self._last_line = time.monotonic()
        on_terminal = shown and self._stream.isatty()
        self._bar = on_terminal and tqdm(
            total=total, desc=what, unit=f" {unit}", file=self._stream
        )

    def advance(self, note: str = "") -> None:
        """One item more is done; `note` says which, or how it went."""
        self._done += 1
        if self._bar:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()
        elif self._shown:
            self._line(note)

    def __enter__(self) -> Progress:
        """Closes its bar at the end of a `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the bar as it stands."""
        if self._bar:
            self._bar.close()

    def _line(self, note: str) -> None:
        now = time.monotonic()
        if now - self._last_line < LINE_EVERY_S and self._done < self._total:
            return
        self._last_line = now
        each = (now - self._started) / self._done
        left = tqdm.format_interval(each * (self._total - self._done))
        print(
            f"{self._what}: {self._done}/{self._total} {note}, "
            f"{each:.2f} s a {self._unit}, {left} left",
            file=self._stream,
            flush=True,
        )
