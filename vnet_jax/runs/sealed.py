"""A zip of stored parts that ends with the SHA-256 of every byte before it.

Any unzip program opens it. What this module reads is narrower than what a zip may be:
nothing compressed, no byte between or after the parts, plain names, ordinary files.
So no part can be larger than the file, and nothing in it goes unseen.

The seal is the zip's comment: `SEAL`, then 64 hexadecimal digits, then the end.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from vnet_jax.data.files import whole_file
from vnet_jax.errors import InputError

SEAL = b"vnet_jax bundle; SHA-256 of every byte before: "
DIGITS = 64
#: A folder's or a file's name holds nothing that means a place elsewhere.
NAME = re.compile(r"(?:[a-z0-9_]+/)*[a-z0-9_]+\.[a-z]+", re.ASCII)
MODE = 0o100644 << 16  # an ordinary file, of a zip made under Unix
UNIX = 3
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
LOCAL_SIGNATURE = b"PK\x03\x04"
CHUNK = 1 << 20
#: What reading a zip that is none raises.
ZIP_FAULTS = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OSError,
    OverflowError,
    NotImplementedError,  # a zip of a later version than Python knows
)


@dataclass(frozen=True)
class Part:
    """Where a part lies.

    Attributes:
        file: the sealed file.
        name: in it.
        start: of its first byte.
        size: in bytes.
    """

    file: Path
    name: str
    start: int
    size: int

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The sealed file, standing at the part's first byte."""
        with open(self.file, "rb") as file:
            file.seek(self.start)
            yield file

    def read(self, most: int) -> bytes:
        """The whole part.

        Args:
            most: bytes that it may have.

        Raises:
            InputError: it has more.
        """
        if self.size > most:
            wrong = f"{self.name} has {self.size} bytes, at most {most} are read"
            raise InputError(self.file, wrong)
        with self.open() as file:
            return file.read(self.size)

    def sha256(self) -> str:
        """Its checksum, computed now."""
        with self.open() as file:
            return _digest(file, self.size)


class SealedWriter:
    """Adds parts to a zip, each with its checksum; the same parts give the same bytes.

    Attributes:
        parts: {"bytes", "sha256"} of what was added, by name.
    """

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self.parts: dict[str, dict] = {}

    def add(self, name: str, size: int, write: Callable[[BinaryIO], None]) -> None:
        """Adds a part.

        Args:
            name: as `NAME` describes it, not yet there.
            size: how many bytes will be written.
            write: writes them to what it is given.
        """
        if not NAME.fullmatch(name) or name in self.parts:
            raise ValueError(f"{name!r} is no name for a part, or is there already")
        info = zipfile.ZipInfo(name)  # dated 1980
        info.create_system, info.external_attr = UNIX, MODE
        info.file_size = size  # decides whether zip's large fields are needed
        with self._archive.open(info, "w") as file:
            counted = _Counted(file)
            write(counted)
        if counted.size != size:
            raise ValueError(f"{name} has {counted.size} bytes, not {size}")
        facts = {"bytes": size, "sha256": counted.sha256.hexdigest()}
        self.parts[name] = facts

    def add_bytes(self, name: str, content: bytes) -> None:
        """Adds a small part."""
        self.add(name, len(content), lambda file: file.write(content))


class _Counted:
    """A file to write to that knows how much and what went through."""

    def __init__(self, file: BinaryIO):
        self._file, self.size, self.sha256 = file, 0, sha256()

    def write(self, content) -> int:
        self.size += len(content)
        self.sha256.update(content)
        return self._file.write(content)


@contextmanager
def writing_sealed(path) -> Iterator[SealedWriter]:
    """A sealed file to add parts to, whole and sealed at the block's end, or not there.

    Raises:
        OSError: disk full or not writable; nothing stays behind.
    """
    with whole_file(Path(path)) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            yield SealedWriter(archive)
            archive.comment = SEAL + b"0" * DIGITS
        file.flush()
        body = file.tell() - DIGITS
        with open(file.name, "rb") as written:
            seal = _digest(written, body)
        file.seek(body)
        file.write(seal.encode())


def open_sealed(path) -> dict[str, Part]:
    """Checks a sealed file, all of it, and finds its parts.

    Args:
        path: the file.

    Returns:
        The parts by name, in the file's order.

    Raises:
        InputError: no such file, a changed or missing byte, or a zip that this program
            does not write.
    """
    path = Path(path)
    if not path.is_file():
        wrong = "a folder, no bundle" if path.is_dir() else "no such file"
        raise InputError(path, wrong, "give a bundle, made with bin/bundle.py")
    with open(path, "rb") as file:
        _check_seal(path, file)
        try:
            return {part.name: part for part in _parts(path, file)}
        except ZIP_FAULTS as error:
            wrong = f"not a bundle that this program writes ({error})"
            raise InputError(path, wrong, "make it anew with bin/bundle.py") from None


def seal_of(path) -> str:
    """The 64 digits at the end of a file that `open_sealed` has checked."""
    with open(path, "rb") as file:
        file.seek(-DIGITS, os.SEEK_END)
        return file.read().decode()


def _check_seal(path: Path, file: BinaryIO) -> None:
    """Compares the file with the digits at its end, before anything is parsed."""
    body = file.seek(0, os.SEEK_END) - DIGITS
    if body >= len(SEAL):
        file.seek(body - len(SEAL))
    if body < len(SEAL) or file.read(len(SEAL)) != SEAL:
        wrong = "does not end as a bundle: another file, or one cut short or changed"
        raise InputError(path, wrong, "copy it anew")
    digits = file.read()
    file.seek(0)
    if _digest(file, body).encode() != digits:
        wrong = "is damaged or was changed: its SHA-256 differs from the one at its end"
        raise InputError(path, wrong, "copy it anew")


def _digest(file: BinaryIO, size: int) -> str:
    """SHA-256 of the next bytes."""
    total, chunk = sha256(), memoryview(bytearray(CHUNK))
    while size and (got := file.readinto(chunk[: min(size, CHUNK)])):
        total.update(chunk[:got])
        size -= got
    return total.hexdigest()


def _parts(path: Path, file: BinaryIO) -> Iterator[Part]:
    """The parts, each beginning where the one before ends."""
    with zipfile.ZipFile(file) as archive:
        at, seen = 0, set()
        for info in archive.infolist():
            _check_entry(info, seen)
            seen.add(info.filename)
            if info.header_offset != at:
                raise ValueError(f"{info.filename} is not where the part before ends")
            start = at + _header_bytes(file, info)
            at = start + info.file_size
            if at > archive.start_dir:
                raise ValueError(f"{info.filename} reaches beyond the parts")
            yield Part(path, info.filename, start, info.file_size)
        if at != archive.start_dir:
            raise ValueError("bytes between its parts and their list")


def _check_entry(info: zipfile.ZipInfo, seen: set[str]) -> None:
    name = info.orig_filename
    if not NAME.fullmatch(name) or name in seen:
        raise ValueError(f"a part is named {name[:80]!r}")
    kind = (info.create_system, info.external_attr, info.flag_bits, info.comment)
    if kind != (UNIX, MODE, 0, b"") or info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is no plain file, or is packed")
    if info.compress_size != info.file_size:
        raise ValueError(f"{name} has {info.compress_size} bytes of {info.file_size}")


def _header_bytes(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """The length of what stands before a part's first byte."""
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER.size)
    signature, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
    name = file.read(name_bytes)
    if signature != LOCAL_SIGNATURE or name != info.orig_filename.encode():
        raise ValueError(f"{info.filename} has another name where it begins")
    return LOCAL_HEADER.size + name_bytes + extra_bytes
