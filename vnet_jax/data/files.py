"""Files that are whole or not there: written beside their name, flushed, renamed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vnet_jax.ct.files import replacing

PART = ".part"  # ends the name of a file that is still being written
ABANDONED_S = 24 * 3600.0


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """As `ct.files.replacing`, in a folder that is made when missing.

    Raises:
        OSError: disk full or not writable; nothing stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        yield file


def write_json(path: Path, facts: dict) -> None:
    """Writes a JSON object, whole or not at all; NaN is refused."""
    text = json.dumps(facts, indent=1, allow_nan=False)
    with whole_file(path) as file:
        file.write(text.encode())


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an `.npy` file, whole or not at all.

    `np.save` would hide the reason when the disk is full: it goes through C's `fwrite`
    and reports only how many items it wrote.
    """
    array = np.ascontiguousarray(array)
    with whole_file(path) as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(memoryview(array).cast("B"))


def remove_abandoned(folder: Path) -> None:
    """Removes what killed writers left a day ago or longer; younger may be in work."""
    for part in folder.glob(f".*{PART}"):
        try:
            if time.time() - part.stat().st_mtime > ABANDONED_S:
                part.unlink()
        except FileNotFoundError:  # another process tidied it first
            pass
