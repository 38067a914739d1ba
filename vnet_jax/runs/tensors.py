"""The safetensors format: arrays by name behind a JSON header; no code, no holes.

    8 bytes  the header's length, little-endian
    header   {"name": {"dtype": "F32", "shape": [...], "data_offsets": [from, to]}, ...}
    data     the arrays one after the other, in C order, little-endian

The format: https://huggingface.co/docs/safetensors. A file is as trustworthy as its
header: every number in it is checked before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import BinaryIO

import ml_dtypes  # JAX's; makes NumPy know bfloat16
import numpy as np

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000  # the format's own bound
METADATA = "__metadata__"
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def size_of(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] = {}) -> int:
    """How many bytes `write` will write."""
    data = sum(np.asarray(array).nbytes for array in arrays.values())
    return len(_header(arrays, metadata)) + data


def write(
    file: BinaryIO,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] = {},
) -> None:
    """Writes arrays; the same ones give the same bytes.

    Args:
        file: to write to, from where it stands.
        arrays: by name, of a dtype in `DTYPES`, in any memory order.
        metadata: texts by name, for other readers.

    Raises:
        ValueError: another dtype.
    """
    file.write(_header(arrays, metadata))
    for name in _order(arrays):
        array = np.asarray(arrays[name], _dtype(name, arrays[name]), order="C")
        file.write(array.reshape(-1).view(np.uint8).data)


def read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """Reads arrays into memory of their own.

    Args:
        file: standing at the first of the eight bytes.
        size: bytes from there to the end of the data.

    Returns:
        Arrays by name.

    Raises:
        ValueError: not such a file, or one whose numbers do not fit together.
    """
    header, data_bytes = _read_header(file, size)
    arrays = {}
    for name, dtype, shape in _checked(header, data_bytes):
        array = np.empty(shape, dtype)
        got = file.readinto(array.reshape(-1).view(np.uint8).data)
        if got != array.nbytes:
            raise ValueError(f"{name} ends after {got} of {array.nbytes} bytes")
        arrays[name] = array
    return arrays


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Length and header; padded, so that the data begin at a multiple of 8."""
    facts: dict = {METADATA: dict(metadata)} if metadata else {}
    at = 0
    for name in _order(arrays):
        array = np.asarray(arrays[name])
        facts[name] = {
            "dtype": NAMES[_dtype(name, array)],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(facts, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _order(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Wide numbers first, so that each array is aligned; then by name."""
    return sorted(arrays, key=lambda n: (-np.asarray(arrays[n]).dtype.itemsize, n))


def _dtype(name: str, array) -> np.dtype:
    dtype = np.asarray(array).dtype
    little = dtype if dtype == DTYPES["BF16"] else dtype.newbyteorder("<")
    if little not in NAMES:
        raise ValueError(f"{name} is of type {dtype}, which the format lacks")
    return little


def _read_header(file: BinaryIO, size: int) -> tuple[dict, int]:
    """The header, and how many bytes of data follow."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    left = size - LENGTH_BYTES - length
    if left < 0 or length > MOST_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    text = file.read(length)
    if len(text) != length:
        raise ValueError(f"the header ends after {len(text)} of {length} bytes")
    header = json.loads(text.decode(), object_pairs_hook=_without_doubles)
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    header.pop(METADATA, None)
    return header, left


def _without_doubles(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the header names something twice")
    return found


def _checked(header: dict, data_bytes: int) -> list[tuple[str, np.dtype, tuple]]:
    """Name, dtype and shape of each array, in the order of their data."""
    found, at = [], 0
    for name, facts in sorted(header.items(), key=lambda item: _offsets(*item)):
        start, end = _offsets(name, facts)
        dtype, shape = DTYPES.get(facts.get("dtype")), facts.get("shape")
        if dtype is None:
            raise ValueError(f"{name} is of type {facts.get('dtype')!r}, not known")
        if not _are_counts(shape) or prod(shape) * dtype.itemsize != end - start:
            raise ValueError(f"{name} has shape {shape} in {end - start} bytes")
        if start != at:
            raise ValueError(f"{name} begins at byte {start}, the one before ends {at}")
        found.append((name, dtype, tuple(shape)))
        at = end
    if at != data_bytes:
        raise ValueError(f"{data_bytes} bytes of data, the header tells of {at}")
    return found


def _offsets(name: str, facts) -> tuple[int, int]:
    offsets = facts.get("data_offsets") if isinstance(facts, dict) else None
    if not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} has no place in the data")
    return tuple(offsets)


def _are_counts(numbers) -> bool:
    return isinstance(numbers, list) and all(
        type(number) is int and number >= 0 for number in numbers
    )
