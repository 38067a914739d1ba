"""Progress of a long job: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

_silent = False


def silence() -> None:
    """From here on no progress is shown in this process."""
    global _silent
    _silent = True


class Progress:
    """Shows how far a job is: a tqdm bar, or a line every few seconds.

    A line reads `train 120/1200 (10 %), loss 0.4312, 2.1 steps/s, 08:34 left`.

    Args:
        label: what is being done.
        total: how many units there are.
        start: how many of them were done before; the rate leaves them out.
        unit: the name of one.
        shown: False counts in silence.
        stream: where to write; stderr by default.
        every_s: seconds between two lines where there is no terminal.
    """

    def __init__(
        self,
        label: str,
        total: int,
        *,
        start: int = 0,
        unit: str = "step",
        shown: bool = True,
        stream: TextIO | None = None,
        every_s: float = 10.0,
    ):
        self._stream = sys.stderr if stream is None else stream
        self._label, self._total, self._unit = label, total, unit
        self._start = self._done = start
        shown = shown and not _silent
        self._shown, self._every_s = shown, every_s
        self._began = self._told = time.monotonic()
        self._bar = None
        if shown and self._stream.isatty():
            self._bar = tqdm(
                total=total,
                initial=start,
                desc=label,
                unit=f" {unit}",
                file=self._stream,
                dynamic_ncols=True,
            )

    def advance(self, units: int = 1, note: str = "", **facts) -> None:
        """Counts units as done and shows them.

        Args:
            units: how many more are done.
            note: which they were, or how it went.
            **facts: what to show beside; floats with four digits.
        """
        self._done += units
        told = [note] if note else []
        told += [f"{name} {_text(value)}" for name, value in facts.items()]
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(told), refresh=False)
            self._bar.update(units)
            return
        now = time.monotonic()
        due = now - self._told >= self._every_s or self._done >= self._total
        if self._shown and due:
            self._told = now
            self.say(self._as_line(told, now))

    def note(self, text: str) -> None:
        """Shows what is under way inside a unit that takes long; counts nothing."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)
            return
        now = time.monotonic()
        if self._shown and now - self._told >= self._every_s:
            self._told = now
            self.say(f"{self._label} {self._done}/{self._total}, {text}")

    def say(self, line: str) -> None:
        """Writes a line without tearing the bar."""
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        elif not _silent:
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        """Itself."""
        return self

    def __exit__(self, *exception) -> None:
        """Closes it."""
        self.close()

    def _as_line(self, told: list[str], now: float) -> str:
        share = 100 * self._done / max(self._total, 1)
        rate = (self._done - self._start) / max(now - self._began, 1e-9)
        left_s = (self._total - self._done) / max(rate, 1e-9)
        parts = [
            f"{self._label} {self._done}/{self._total} ({share:.0f} %)",
            *told,
            f"{rate:.2g} {self._unit}s/s",
            f"{tqdm.format_interval(left_s)} left",
        ]
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: 7.25 -> "7.2 s", 135 -> "2 min 15 s"."""
    if round(seconds, 1) < 60:  # 59.96 is a minute, not 60.0 s
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _text(value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
