"""Names of NIfTI files, and writing that leaves the whole file or none."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import BinaryIO

SUFFIXES = (".nii.gz", ".nii")


def is_nifti_name(path: str | PathLike) -> bool:
    """Whether a file's name ends in .nii or .nii.gz, in capitals or not."""
    return Path(path).name.lower().endswith(SUFFIXES)


def stem(path: str | PathLike) -> str:
    """A file's name without its folder and NIfTI suffix: 'a/x.nii.gz' -> 'x'."""
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(path).stem


@contextlib.contextmanager
def replacing(path: str | PathLike) -> Iterator[BinaryIO]:
    """A file to write that takes its final name only once it is whole and on disk.

    It is written beside `path` under a name of its own, so that two processes never
    share one; whatever goes wrong, nothing half written and no leftover stays.
    """
    path = Path(path)
    beside = path.with_name(f".{uuid.uuid4().hex[:12]}.part")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
