"""Progress of a long job: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Progress:
    """Shows how far a job is: a tqdm bar, or a line every few seconds.

    A line reads `train 120/1200 (10 %), loss 0.4312, 2.1 steps/s, 8:34 left`.
    """

    def __init__(
        self,
        label: str,
        total: int,
        *,
        start: int = 0,
        unit: str = "step",
        stream=None,
        every_s: float = 10.0,
    ):
        """Starts the clock.

        Args:
            label: what is being done.
            total: how many units there are.
            start: how many of them were done before.
            unit: the name of one.
            stream: where to write; stderr by default.
            every_s: seconds between two lines where there is no terminal.
        """
        self._stream = sys.stderr if stream is None else stream
        self._label, self._total, self._unit = label, total, unit
        self._start = self._done = start
        self._every_s = every_s
        self._began = self._told = time.monotonic()
        self._bar = (
            tqdm(
                total=total,
                initial=start,
                desc=label,
                unit=unit,
                file=self._stream,
                dynamic_ncols=True,
            )
            if self._stream.isatty()
            else None
        )

    def advance(self, units: int = 1, **facts) -> None:
        """Counts units as done and shows them.

        Args:
            units: how many more are done.
            **facts: what to show beside; floats with four digits.
        """
        self._done += units
        shown = {name: _shown(value) for name, value in facts.items()}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(units)
            return
        now = time.monotonic()
        if now - self._told >= self._every_s or self._done >= self._total:
            self._told = now
            self.say(self._as_line(shown, now))

    def say(self, line: str) -> None:
        """Writes a line without tearing the bar."""
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
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

    def _as_line(self, shown: dict[str, str], now: float) -> str:
        share = 100 * self._done / max(self._total, 1)
        rate = (self._done - self._start) / max(now - self._began, 1e-9)
        left_s = (self._total - self._done) / max(rate, 1e-9)
        facts = [
            f"{self._label} {self._done}/{self._total} ({share:.0f} %)",
            *(f"{name} {value}" for name, value in shown.items()),
            f"{rate:.2g} {self._unit}s/s",
            f"{tqdm.format_interval(left_s)} left",
        ]
        return ", ".join(facts)


def _shown(value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
