"""The bytes of a .nii or .nii.gz: whole, checked and bounded, or not at all.

Common readers take a gz with a flipped bit or a wrong checksum without a word. Here a
gz is inflated in bounded pieces, member by member; each member's checksum and length
are compared, and the first bytes, the header, decide how many may follow.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from os import PathLike
from typing import BinaryIO

import numpy as np
from isal import igzip_lib, isal_zlib

from vnet_jax.errors import InputError

READ = 1 << 20  # bytes read at a time
PIECE = 1 << 22  # bytes inflated at a time, at most
HEAD = 540  # bytes of the longer of the two NIfTI headers
SLACK = 1 << 20  # bytes after the voxels that still pass; a bomb has more
LARGE = 1 << 28  # bytes from which a gz's header may be a bomb's
GZ_MAGIC = b"\x1f\x8b"
FETCH_AGAIN = "fetch or export the file again"


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.sha256 = hashlib.sha256()

    def read(self) -> bytes:
        data = self.file.read(READ)
        self.sha256.update(data)
        return data


def read_bounded(
    path: str | PathLike, promised: Callable[[bytes], int], most: float = math.inf
) -> tuple[np.ndarray, bool, str]:
    """Read a file, inflating it when its first bytes say so, whatever its name.

    Args:
        path: of the file.
        promised: from the first (up to 540) bytes to the number of bytes that the whole
            has; it raises InputError for a header that is not to be trusted. Nothing
            larger than a piece is allocated before it has returned.
        most: times its own size that a gz may have, unfolded, where that is large.

    Returns:
        The bytes, (n,) uint8; whether the file is gzipped; the sha256 of the file.

    Raises:
        InputError: no such file, empty, truncated, damaged, shorter than promised, or a
            gz that unfolds to more, or that promises to.
    """
    with _told(path), open(path, "rb") as file:
        stream = _Hashed(file)
        pieces, zipped = _pieces(path, stream)
        limit = max(LARGE, most * os.stat(file.fileno()).st_size) if zipped else None
        whole = _gather(path, pieces, promised, limit)
        return whole, zipped, stream.sha256.hexdigest()


def read_head(path: str | PathLike) -> bytes:
    """The first (up to 540) bytes, inflated; what follows is neither read nor checked.

    Args:
        path: of the file.

    Raises:
        InputError: no such file, an empty one, or a gz that is damaged so early.
    """
    with _told(path), open(path, "rb") as file:
        pieces, _ = _pieces(path, _Hashed(file))
        return _first_bytes(pieces)[:HEAD]


@contextlib.contextmanager
def _told(path: str | PathLike) -> Iterator[None]:
    """What goes wrong while a file is read, as one line."""
    try:
        yield
    except InputError:
        raise
    except EOFError:
        raise InputError(path, "truncated: the gz ends early", FETCH_AGAIN) from None
    except igzip_lib.IsalError as error:
        wrong = f"damaged gz: checksum or compressed data wrong ({error})"
        raise InputError(path, wrong, FETCH_AGAIN) from None
    except OSError as error:
        wrong = f"cannot be read: {error.strerror or error}"
        raise InputError(path, wrong, "check the path and the permissions") from None


def _pieces(path, stream: _Hashed) -> tuple[Iterator[bytes], bool]:
    """A file's inflated pieces, and whether it is gzipped."""
    first = stream.read()
    if not first:
        raise InputError(path, "the file is empty", FETCH_AGAIN)
    zipped = first.startswith(GZ_MAGIC)
    return (_inflate if zipped else _plain)(first, stream), zipped


def _first_bytes(pieces: Iterator[bytes]) -> bytes:
    """Pieces until they hold a header."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    return head


def _gather(path, pieces: Iterator[bytes], promised, limit: float | None) -> np.ndarray:
    """All pieces in one buffer of the size that the first of them promise.

    Args:
        path: for the messages.
        pieces: of the file.
        promised: as of `read_bounded`.
        limit: bytes that a gz may promise; None for a file that is none.
    """
    head = _first_bytes(pieces)
    size = promised(head[:HEAD])
    if limit is not None and size > limit:
        times = f"{size / 1e9:.3g} GB, which is no CT's"
        raise InputError(path, f"a small gz that would unfold to {times}", FETCH_AGAIN)
    # Pages are only taken once written: a short file costs no memory.
    whole = np.empty(size, np.uint8)
    filled, beyond = _fill(whole, 0, head), max(0, len(head) - size)
    for piece in pieces:
        before, filled = filled, _fill(whole, filled, piece)
        beyond += len(piece) - (filled - before)
        if limit is not None and beyond > SLACK:
            wrong = f"the gz unfolds to more than the {size} bytes of its header"
            raise InputError(path, wrong, FETCH_AGAIN)
    if filled < size:
        wrong = f"truncated: {filled} bytes where the header promises {size}"
        raise InputError(path, wrong, FETCH_AGAIN)
    return whole


def _fill(whole: np.ndarray, filled: int, piece: bytes) -> int:
    """Put what fits of a piece at index `filled`; return the index after it."""
    count = min(len(piece), len(whole) - filled)
    whole[filled : filled + count] = np.frombuffer(piece, np.uint8, count)
    return filled + count


def _plain(first: bytes, stream: _Hashed) -> Iterator[bytes]:
    yield first
    while data := stream.read():
        yield data


def _inflate(first: bytes, stream: _Hashed) -> Iterator[bytes]:
    """The inflated pieces of a gz of one or several members.

    Raises:
        EOFError: when the last member ends early.
        igzip_lib.IsalError: for a wrong checksum or length, or damaged data; zeros
            after a member are padding, anything else must be a member.
    """
    data = first
    while data:
        member = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = member.decompress(data, PIECE)
            if piece:
                yield piece
            elif not data and not member.eof:
                raise EOFError
            if not member.eof:
                data = member.unconsumed_tail or stream.read()
        data = member.unused_data.lstrip(b"\0")
        while not data and (more := stream.read()):
            data = more.lstrip(b"\0")
