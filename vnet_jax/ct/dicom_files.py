"""The files of a study: in a folder at any depth, in a zip, or a single one.

A zip is read file by file in memory; nothing of it is unpacked to the disk, so no name
in it leads anywhere. Names of files are never told: they often hold the patient's name.
"""

from __future__ import annotations

import io
import os
import weakref
import zipfile
import zlib
from functools import cached_property
from os import PathLike
from pathlib import Path

from vnet_jax.errors import InputError

MAGIC = b"DICM"  # after a preamble of 128 bytes
HEAD = 132
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MOST_FILES = 100_000
MOST_BYTES = 1 << 30  # of one file; an enhanced CT of 2,000 slices
MOST_LIST = 1 << 24  # bytes of a zip's list of files
#: A zip that unfolds to more than this, and to so many times its size, is a bomb. CTs
#: become 2 to 4 times smaller, slices of nothing but air up to 1,000 times.
BOMB_BYTES, BOMB_TIMES = 1 << 30, 100
ENCRYPTED = 0x41  # flag bits 0 and 6
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FETCH_AGAIN = "fetch or export the study again"
#: What reading a damaged zip raises.
ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
)


class Folder:
    """The files below a folder, links to folders not followed."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def names(self) -> list[str]:
        """Paths below the folder, sorted; hidden ones are left out."""
        found = []
        for folder, below, files in os.walk(self.path):
            below[:] = sorted(name for name in below if not name.startswith("."))
            found += [
                os.path.relpath(os.path.join(folder, name), self.path)
                for name in files
                if not name.startswith(".")
            ]
            _check_count(self.path, len(found))
        return sorted(found)

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None where it does not begin as a DICOM file."""
        file = self.path / name
        if not file.is_file():  # a pipe would wait for ever
            return None
        return _read(self.path, file)


class Single(Folder):
    """A file by itself."""

    @cached_property
    def names(self) -> list[str]:
        """Its name."""
        return [self.path.name]

    def read(self, name: str) -> bytes | None:
        """Its bytes, or None where it does not begin as a DICOM file."""
        return _read(self.path, self.path)


class Zip:
    """The files in a zip.

    Raises:
        InputError: damaged, encrypted, or a bomb.
    """

    def __init__(self, path: Path):
        self.path = path
        entries = enumerate(self._entries())  # several may have one name
        self._entry = {f"{e.orig_filename}\0{n}": e for n, e in entries}

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            file = _Bounded(io.FileIO(self.path))
            weakref.finalize(self, file.close)
            return zipfile.ZipFile(file)
        except ZIP_FAULTS:
            wrong = "no zip, or a damaged one"
            raise InputError(self.path, wrong, FETCH_AGAIN) from None

    def _entries(self) -> list[zipfile.ZipInfo]:
        entries = [e for e in self._archive.infolist() if not e.is_dir()]
        _check_count(self.path, len(entries))
        size = sum(entry.file_size for entry in entries)
        if size > max(BOMB_BYTES, BOMB_TIMES * self.path.stat().st_size):
            wrong = f"the zip would unfold to {size / 1e9:.3g} GB"
            raise InputError(self.path, wrong, "unpack it and give the folder")
        for entry in entries:
            if entry.flag_bits & ENCRYPTED or entry.compress_type not in METHODS:
                wrong = "the zip is encrypted, or neither stored nor deflated"
                raise InputError(self.path, wrong, "unpack it and give the folder")
        return entries

    @cached_property
    def names(self) -> list[str]:
        """Names in the zip, sorted; hidden ones are left out."""
        return sorted(name for name in self._entry if not _is_hidden(name))

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None where it does not begin as a DICOM file."""
        try:
            with self._archive.open(self._entry[name]) as file:
                return _whole(self.path, file)
        except InputError:
            raise
        except ZIP_FAULTS:
            wrong = "the zip is damaged: a file in it is not as its list says"
            raise InputError(self.path, wrong, FETCH_AGAIN) from None


class _Bounded(io.BufferedReader):
    """A file that gives a zip's list of files only when it has a bearable length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_LIST:
            raise zipfile.BadZipFile("a list of files too long to be true")
        return super().read(size)


Files = Folder | Single | Zip


def open_files(path: str | PathLike) -> Files:
    """The files of a folder, a zip (by its first bytes) or a DICOM file.

    Raises:
        InputError: nothing there, or a zip that is not to be read.
    """
    path = Path(path)
    if path.is_dir():
        return Folder(path)
    return Zip(path) if _head(path)[:4] in ZIP_MAGIC else Single(path)


def holds_dicom(path: str | PathLike) -> bool:
    """Whether a file is a DICOM file or a zip, or a folder holds one DICOM file.

    pydicom is not needed for this.
    """
    path = Path(path)
    if not path.is_dir():
        head = _head(path)
        return head[:4] in ZIP_MAGIC or _begins_as_dicom(head)
    files = (path / name for name in Folder(path).names)
    return any(file.is_file() and _begins_as_dicom(_head(file)) for file in files)


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return any(part.startswith(".") and part not in (".", "..") for part in parts)


def _begins_as_dicom(head: bytes) -> bool:
    return head[128:] == MAGIC


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _read(path: Path, file: Path) -> bytes | None:
    try:
        with open(file, "rb") as opened:
            return _whole(path, opened)
    except OSError as error:
        wrong = f"a file cannot be read: {error.strerror or 'unknown reason'}"
        raise InputError(path, wrong, "check the permissions") from None


def _whole(path: Path, file) -> bytes | None:
    """All bytes, where the first are a DICOM file's."""
    head = file.read(HEAD)
    if not _begins_as_dicom(head):
        return None
    data = head + file.read(MOST_BYTES)
    if len(data) > MOST_BYTES:
        wrong = f"a DICOM file of more than {MOST_BYTES >> 30} GiB"
        raise InputError(path, wrong, "split it into slices")
    return data


def _check_count(path: Path, count: int) -> None:
    if count > MOST_FILES:
        wrong = f"more than {MOST_FILES} files"
        raise InputError(path, wrong, "give the folder of one study")
