"""The process of one side: reads a command a line, answers with a line of JSON.

    python -m benchmarks.worker benchmarks.ours

{"do": "time", ...} calls the method `time` of the module's `Side` with what else the
line holds. Each side has a process of its own, so that threads, allocators and the
high-water mark of memory are its own; between commands it sleeps in a read.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator

from benchmarks.pipe import OUT_OF_MEMORY

NO_MEMORY = ("out of memory", "resource_exhausted", "can't allocate", "bad_alloc")
LONGEST = 160  # characters of a reason


def stdin_lines() -> Iterator[str]:
    """The commands as they come; ends when the parent is gone."""
    yield from sys.stdin


def reason_of(error: BaseException) -> str:
    """Why something could not be run, in a line for a table."""
    if isinstance(error, ModuleNotFoundError):
        name = str(error.name).partition(".")[0]
        return f"{'PyTorch' if name == 'torch' else name} is not installed"
    text = str(error).strip()
    if isinstance(error, MemoryError) or any(w in text.lower() for w in NO_MEMORY):
        return OUT_OF_MEMORY
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}"[:LONGEST].rstrip(": ")


class Answering:
    """Calls the methods of a module's `Side`, which is made at the first command."""

    def __init__(self, module: str):
        self.module = module
        self.side = None

    def __call__(self, line: str) -> dict:
        """What a command gives; {"error": reason} for whatever is raised."""
        try:
            command = json.loads(line)
            if self.side is None:
                self.side = importlib.import_module(self.module).Side()
            return getattr(self.side, command.pop("do"))(**command) or {}
        except Exception as error:  # the row says why; the suite goes on
            traceback.print_exc()
            return {"error": reason_of(error)}


def main(module: str) -> None:
    """Answers until the commands end."""
    # Whatever a library prints goes to the log: stdout is for answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines = stdin_lines()
    if "RANK" in os.environ:
        from benchmarks import ranks

        lines = ranks.shared(lines)
    answer = Answering(module)
    for line in lines:
        reply = answer(line)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
