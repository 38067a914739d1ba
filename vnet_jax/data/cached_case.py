"""One case in the cache: two arrays and a header that says what they are made from.

    x.3f2a9c01.image.npy   int16 HU
    x.3f2a9c01.label.npy   uint8 classes, unless x is a test case
    x.json                 the header: written last, names the arrays

The eight digits come from the sources' SHA-256, the spec and the format. So a rebuilt
case never overwrites arrays that another process has open under an older header, two
processes that build one case write the same bytes to the same names, and the header's
rename is the moment at which the case is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.data.cases import Case
from vnet_jax.data.files import write_array, write_json
from vnet_jax.data.prepare import GridSpec, Prepared, Source, source_files

#: Version of what a cached case holds. A case of another one is built anew.
FORMAT = 2


@dataclass(frozen=True, eq=False)
class CachedCase:
    """One case, memory-mapped.

    Attributes:
        id: the case's.
        image: (D, H, W) int16 memmap, HU, canonical axes.
        label: (D, H, W) uint8 memmap, classes; None for a test case.
        grid: where the voxels are.
        case: where it comes from.
        header: sources (sha256, size, mtime), source_shape, source_affine,
            source_spacing_mm (z, y, x), voxels (per class), foreground_box ((start,
            shape) in voxels of `grid`, or None), cut_by_picture, histograms, warnings.
    """

    id: str
    image: np.ndarray
    label: np.ndarray | None
    grid: Grid
    case: Case
    header: dict


def write_cached(
    folder: Path,
    case: Case,
    spec: GridSpec,
    source: Source,
    prepared: Prepared,
    stamps: dict[str, dict],
) -> None:
    """Writes a case, its header last, and drops the arrays of an older header.

    Args:
        folder: the spec's.
        case: which.
        spec: what `prepared` was made for.
        source: what it was made from.
        prepared: what to write.
        stamps: from `stamp` of each source file, taken before it was read.

    Raises:
        OSError: disk full or not writable; the older case, if any, stays whole.
    """
    key = _key(source.sha256, spec)
    arrays = {"image": prepared.image, "label": prepared.label}
    names = {
        part: f"{case.id}.{key}.{part}.npy"
        for part, array in arrays.items()
        if array is not None
    }
    header = _header(spec, source, prepared, stamps) | {"arrays": names}
    try:
        for part, name in names.items():
            write_array(folder / name, arrays[part])
        write_json(header_path(folder, case), header)
    except OSError:  # a full disk has no room for arrays that no header names
        for name in names.values():
            (folder / name).unlink(missing_ok=True)
        raise
    _drop_older(folder, case, names)


def open_cached(folder: Path, case: Case, spec: GridSpec) -> CachedCase | None:
    """Opens a case, or None where it is missing, stale, older in format or damaged.

    A source file is taken as unchanged when its size and its time of change are those
    in the header; when only the time differs, when its SHA-256 is the same.

    Args:
        folder: the spec's.
        case: which.
        spec: what the header must have been written for.
    """
    header = _read_header(header_path(folder, case))
    if header is None or header.get("format") != FORMAT:
        return None
    try:
        if header["spec"] != _spec_facts(spec) or not _fresh(folder, case, header):
            return None
        return _map(folder, case, header)
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or gone meanwhile
        return None


def stamp(path: Path) -> dict:
    """Size in bytes and time of change in ns of a file."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def header_path(folder: Path, case: Case) -> Path:
    """Where the header of a case is."""
    return folder / f"{case.id}.json"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(spec: GridSpec, source: Source, prepared: Prepared, stamps: dict) -> dict:
    """What `CachedCase.header` holds, but for the names of the arrays."""
    grid, own = prepared.grid, source.grid
    return {
        "format": FORMAT,
        "spec": _spec_facts(spec),
        "sources": {
            role: facts | {"sha256": source.sha256[role]}
            for role, facts in stamps.items()
        },
        "shape": list(grid.shape),
        "affine": grid.affine.tolist(),
        "spacing_mm": list(grid.spacing_mm),
        "source_shape": list(own.shape),
        "source_affine": own.affine.tolist(),
        "source_spacing_mm": list(source.ct.grid.spacing_mm),
        **prepared.facts,
    }


def _read_header(path: Path) -> dict | None:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) else None


def _fresh(folder: Path, case: Case, header: dict) -> bool:
    files, known = source_files(case), header["sources"]
    if files.keys() != known.keys():
        return False
    touched = False
    for role, path in files.items():
        now, then = stamp(path), known[role]
        if now["size"] != then["size"]:
            return False
        if now["mtime_ns"] != then["mtime_ns"]:
            if sha256_of(path) != then["sha256"]:
                return False
            known[role] = then | now
            touched = True
    if touched:  # so that the next run need not read the files again
        write_json(header_path(folder, case), header)
    return True


def _map(folder: Path, case: Case, header: dict) -> CachedCase:
    shape = tuple(header["shape"])
    arrays = {}
    for part, dtype in (("image", np.int16), ("label", np.uint8)):
        name = header["arrays"].get(part)
        array = name and np.load(folder / name, mmap_mode="r")
        if name and (array.shape != shape or array.dtype != dtype):
            raise ValueError(f"{name}: {array.dtype} {array.shape}")
        arrays[part] = array
    grid = Grid(shape, np.array(header["affine"], float))
    return CachedCase(case.id, arrays["image"], arrays["label"], grid, case, header)


def _key(sha256: dict[str, str], spec: GridSpec) -> str:
    facts = json.dumps([FORMAT, _spec_facts(spec), sha256], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def _spec_facts(spec: GridSpec) -> dict:
    """The spec as JSON gives it back: lists, not tuples."""
    return {
        "spacing_mm": list(spec.spacing_mm),
        "downsample": list(spec.downsample),
        "labels": [list(pair) for pair in spec.labels],
    }


def _drop_older(folder: Path, case: Case, names: dict[str, str]) -> None:
    for path in _arrays_of(folder, case):
        if path.name not in names.values():
            path.unlink(missing_ok=True)


def _arrays_of(folder: Path, case: Case) -> Iterator[Path]:
    """Arrays of this case; ids may hold dots, so names are split from their end."""
    for path in folder.glob("*.npy"):
        if path.name.rsplit(".", 3)[0] == case.id:
            yield path
