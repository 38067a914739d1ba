"""Unpacking a study's zip: all of it, into its folder and nowhere else, or nothing.

A zip's list of files is what its maker says. So names are checked before anything is
written, the sizes in the list against the limit, and then what really comes.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from vnet_jax.errors import InputError

PIECE = 1 << 20  # bytes unpacked at a time
MOST_LIST = 1 << 24  # bytes of the list of files; one of 100,000 has about 10 MB
#: Others inflate without a bound in Python.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x41  # flag bits 0 and 6
LONGEST = 255  # bytes of one name in a path, on the usual file systems
BY_HAND = "unpack it and give the folder"
FETCH_AGAIN = "fetch or export the file again"
#: What reading a damaged zip raises.
FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # of a later version than Python knows
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
)


class _Reader(io.BufferedReader):
    """A file that gives the list of files only when it has a bearable length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_LIST:
            raise zipfile.BadZipFile(f"its list of files has {size} bytes")
        return super().read(size)


def unpack_zip(path: str | PathLike, folder: str | PathLike, limit_bytes: int) -> None:
    """Unpacks a zip into a folder of its own.

    Args:
        path: the zip; its files are stored or deflated.
        folder: is made; or it is there and empty. It is removed where this fails.
        limit_bytes: that all files together may have, unpacked.

    Raises:
        InputError: no zip, or a damaged one; more than the limit, or than the disk has
            free; encrypted; a file twice, no ordinary file (a symbolic link), or a name
            that leads out of the folder.
        OSError: the folder cannot be written.
    """
    path, folder = Path(path), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    try:
        with _open(path) as file:
            _unpack(path, file, folder, limit_bytes)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong with a zip that is read, as one line."""
    try:
        yield
    except FAULTS as error:
        wrong = f"no zip, or a damaged one ({error})"
        raise InputError(path, wrong, FETCH_AGAIN) from None


def _open(path: Path) -> BinaryIO:
    try:
        return _Reader(io.FileIO(path))
    except OSError as error:
        wrong = f"cannot be read: {error.strerror or error}"
        raise InputError(path, wrong, "check the path and the permissions") from None


def _unpack(path: Path, file: BinaryIO, folder: Path, limit_bytes: int) -> None:
    """Checks every entry, then writes them one by one."""
    with _told(path):
        archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    _check_names(path, entries)
    stated, most = sum(e.file_size for e in entries), min(limit_bytes, _free(folder))
    if stated > most:
        sizes = f"{stated / 1e9:.3g} GB, at most {most / 1e9:.3g} GB are unpacked"
        raise InputError(path, f"unfolds to {sizes}", BY_HAND)
    for info in entries:
        if not info.is_dir():
            _write(path, info, _pieces(path, archive, info), folder / _place(info))


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _check_names(path: Path, entries) -> None:
    """Refuse a file that is none, or that would not lie below the folder."""
    seen = set()
    for info in entries:
        reason = _refusal(info) or ("is there twice" if _place(info) in seen else "")
        if reason:
            raise _bad_entry(path, info, reason)
        seen.add(_place(info))


def _bad_entry(path: Path, info: zipfile.ZipInfo, reason: str) -> InputError:
    return InputError(path, f"{info.orig_filename[:80]!r} in it {reason}", BY_HAND)


def _place(info: zipfile.ZipInfo) -> PurePosixPath:
    """An entry's place below the folder; some programs write backslashes."""
    return PurePosixPath(info.orig_filename.replace("\\", "/"))


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why an entry is not unpacked, or nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is no ordinary file but a link or a device"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in METHODS:
        return "is neither stored nor deflated"
    name = info.orig_filename.replace("\\", "/")
    parts = name.removesuffix("/").split("/")
    if "\0" in name or name[1:2] == ":" or not all(parts) or {".", ".."} & set(parts):
        return "leads out of its folder, or is no path"
    if any(len(part.encode(errors="replace")) > LONGEST for part in parts):
        return "has too long a name"
    return ""


def _pieces(path: Path, archive, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A file's bytes, no more and no fewer than its entry states."""
    size = 0
    with _told(path), archive.open(info) as source:
        while piece := source.read(PIECE):
            size += len(piece)
            yield piece
        if size != info.file_size:
            raise zipfile.BadZipFile(f"{size} bytes of {info.file_size}")


def _write(path: Path, info: zipfile.ZipInfo, pieces, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            file.writelines(pieces)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        # As a file and as a folder; or names that this file system takes for one.
        raise _bad_entry(path, info, "is there twice") from None
