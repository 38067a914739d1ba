import ctypes
import sys
from pathlib import Path

import pytest

from vnet_jax import memory


def resident_mb() -> int:
    """Of this process."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("nothing tells what is resident here")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


def test_what_lies_below_a_small_piece_is_given_back():
    pieces = [bytes(1000) for _ in range(200_000)]
    kept = bytes(1000)  # above them: the heap cannot just shrink
    full = resident_mb()
    del pieces
    memory.give_back()
    assert resident_mb() < full - 100 and len(kept) == 1000


def test_without_glibc_nothing_happens(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.give_back()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.give_back()
