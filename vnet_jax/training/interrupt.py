"""Ctrl-C and SIGTERM ask the loop to save and leave; they do not tear it."""

from __future__ import annotations

import signal
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within its `with` block the first signal is noted, the second one acts at once.

    Attributes:
        signal: number of the signal that came, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    @property
    def exit_status(self) -> int:
        """128 + the signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 0 if self.signal is None else 128 + self.signal

    def __bool__(self) -> bool:
        """True once a signal came."""
        return self.signal is not None

    def __enter__(self) -> Interruption:
        """Takes the signals over; only a program's main thread can."""
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
        return self

    def __exit__(self, *exception) -> None:
        """Gives them back."""
        self._give_back()

    def _note(self, number, frame) -> None:
        del frame
        self.signal = number
        self._give_back()

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
