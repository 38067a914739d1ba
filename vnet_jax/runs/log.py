"""The log of a run: JSON lines are the truth, TensorBoard shows them.

A row is one JSON object with at least `kind` and `step` (optimiser steps done):

    {"kind": "start", "step": 0, "changed": {}, "devices": 1, ...}
    {"kind": "train", "step": 1, "epoch": 0.33, "loss": 1.09, ...}
    {"kind": "validation", "step": 30, "kidney": 0.9, "tumour": 0.5, "mean": 0.7, ...}
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.record_writer import register_writer_factory

from vnet_jax.errors import InputError

FILE = "log.jsonl"
CURVES = "curves"  # what TensorBoard calls our way to write its files


def read_log(path: str | os.PathLike) -> list[dict]:
    """Reads the rows of a log.

    A process killed while it writes leaves a torn last line; that one is left out.

    Args:
        path: a run folder, or its `log.jsonl`.

    Returns:
        The rows in the order in which they were written; none where no log is.

    Raises:
        InputError: a line before the last is not JSON.
    """
    path = _log_file(path)
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise InputError(
                    path, f"line {number} is not JSON", "remove that line"
                ) from None
    return rows


def cut_back(path: str | os.PathLike, step: int, *, validated: bool) -> int:
    """Removes what was logged after a step, so that a resumed run logs it anew.

    Args:
        path: a run folder, or its `log.jsonl`.
        step: the restored step; rows of later steps go.
        validated: whether the step's validation counts. Where it does not (killed
            between the row and the score), its row goes as well: it will come again.

    Returns:
        How many rows went.
    """
    path = _log_file(path)
    rows = read_log(path)
    kept = [
        row
        for row in rows
        if row["step"] < step
        or (row["step"] == step and (validated or row["kind"] != "validation"))
    ]
    if path.is_file():
        beside = path.with_name(path.name + ".tmp")
        beside.write_text("".join(map(_line, kept)), encoding="utf-8")
        os.replace(beside, path)
    return len(rows) - len(kept)


class RunLog:
    """Appends rows to `log.jsonl` and their numbers to TensorBoard's event files."""

    def __init__(self, folder: str | os.PathLike, start_step: int = 0):
        """Opens the log of a run folder.

        Args:
            folder: the run folder.
            start_step: the step the run starts from; TensorBoard hides what an earlier
                process wrote about later steps.
        """
        folder = Path(folder)
        self._rows = _Rows(_log_file(folder))
        register_writer_factory(CURVES, _EventFile)
        self._board = SummaryWriter(
            f"{CURVES}:{(folder / 'tensorboard').absolute()}",
            purge_step=start_step + 1,
            flush_secs=10,
            filename_suffix=f".{start_step}",  # two starts in one second: two files
        )

    def write(self, kind: str, step: int, **facts) -> dict:
        """Writes one row; it is in the file when this returns.

        Args:
            kind: "start", "train", "validation" or "end".
            step: optimiser steps done.
            **facts: what JSON can hold; numbers become TensorBoard curves `kind/name`.

        Returns:
            The row.

        Raises:
            InputError: the disk is full or not writable.
        """
        row = {"kind": kind, "step": int(step), **facts}
        try:
            self._rows.write(_line(row))
        except OSError as error:
            raise InputError(
                self._rows.name,
                f"cannot be written ({error.strerror})",
                "make room and start again: the checkpoints are whole",
            ) from error
        for name, value in facts.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._board.add_scalar(f"{kind}/{name}", value, int(step))
        return row

    def close(self) -> None:
        """Flushes and closes both files."""
        self._rows.close()
        self._board.close()

    def __enter__(self) -> RunLog:
        """Itself."""
        return self

    def __exit__(self, *exception) -> None:
        """Closes it."""
        self.close()


class _Rows:
    """A text file to which each line goes at once: none is left to fail later."""

    def __init__(self, path: Path):
        self.name = str(path)
        self._file = path.open("ab", buffering=0)

    def write(self, line: str) -> None:
        data = line.encode()
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self._file.close()


class _EventFile:
    """A file of TensorBoard's, which loses curves where the disk is full.

    TensorBoard's thread and its last act at exit would raise. The same numbers are in
    `log.jsonl`, whose writer tells the fault.
    """

    def __init__(self, path: str):
        self._file = Path(path).open("wb", buffering=0)
        self._full = False

    @classmethod
    def open(cls, path: str) -> _EventFile:
        return cls(path.partition(":")[2])

    @staticmethod
    def directory_check(path: str) -> None:
        Path(path.partition(":")[2]).mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes) -> None:
        try:
            self._full = self._full or self._file.write(data) != len(data)
        except OSError:
            self._full = True

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self._file.close()


class NoLog:
    """Stands for `RunLog` in the processes that leave the log to the lead."""

    def write(self, kind: str, step: int, **facts) -> dict:
        """Returns the row that the lead writes."""
        return {"kind": kind, "step": int(step), **facts}

    def __enter__(self) -> NoLog:
        """Itself."""
        return self

    def __exit__(self, *exception) -> None:
        """Holds nothing."""


def _log_file(path) -> Path:
    path = Path(path)
    return path if path.suffix == ".jsonl" else path / FILE


def _line(row: dict) -> str:
    return json.dumps(row, allow_nan=True) + "\n"
