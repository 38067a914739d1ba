"""Other people's programs: run, watched, measured, and their failures told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.errors import InputError
from vnet_jax.registration import keeper

LOG = "log.txt"


class ProgramFailed(Exception):
    """A program ended with an error of its own: this pair is refused."""


@dataclass(frozen=True)
class Usage:
    """What programs used, one after the other.

    Attributes:
        cpu_s: user and system time of all threads, s.
        wall_s: s.
        memory_mb: largest resident size, 1e6 bytes.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_mb: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Times add up; the larger memory counts."""
        return Usage(
            self.cpu_s + other.cpu_s,
            self.wall_s + other.wall_s,
            max(self.memory_mb, other.memory_mb),
        )


def run(command: Sequence[str | Path | float], folder: Path) -> Usage:
    """Runs a program to its end; what it prints goes to `log.txt` in the folder.

    Args:
        command: the program and its arguments.
        folder: where it works and may leave files.

    Raises:
        ProgramFailed: it ended with a status other than 0; tells its last line.
        InputError: it was killed, most likely for want of memory.
    """
    folder = folder.absolute()  # the program itself works in there
    told = folder / "usage.json"
    told.unlink(missing_ok=True)
    words = [str(word) for word in command]
    # -P: the folder of keeper.py stays off its import path.
    kept = [sys.executable, "-P", keeper.__file__, str(told), *words]
    with open(folder / LOG, "ab") as log:
        process = subprocess.Popen(
            kept,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait()
        except BaseException:
            process.kill()  # and the kernel its child
            process.wait()
            raise
    facts = json.loads(told.read_text()) if told.is_file() else {"status": status}
    _check(facts["status"], words, folder / LOG)
    return Usage(facts["cpu_s"], facts["wall_s"], facts["memory_mb"])


def _check(status: int, words: Sequence[str], log: Path) -> None:
    if status == 0:
        return
    name = Path(words[0]).name
    if status < 0:
        raise InputError(
            None,
            f"{name} was ended by signal {-status}, most likely for want of memory",
            "start again with fewer --workers; what is done is kept",
        )
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    raise ProgramFailed(f"{name} ended with status {status}: {said[:200]}")
