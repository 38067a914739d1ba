"""The cache: each case read, checked and resampled once, then memory-mapped.

It lies in `<cache>/<name of the data set's folder>-<8 digits of its path>/<spec>/`. A
case whose sources changed, or that an older format left, is built anew; the others are
kept, so that a build that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.data.cached_case import CachedCase, open_cached, stamp, write_cached
from vnet_jax.data.cases import Case
from vnet_jax.data.files import remove_abandoned
from vnet_jax.data.label_names import check_labels
from vnet_jax.data.prepare import GridSpec, prepare, read_source, source_files
from vnet_jax.data.processes import results
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError

__all__ = [
    "CachedCase",
    "GridSpec",
    "build_cache",
    "build_caches",
    "not_cached",
    "root_folder",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one case: no lines, or why it was refused; crosses processes.

    Attributes:
        case: which.
        refused: (path, what is wrong, what to do) of the InputError, or None.
    """

    case: Case
    refused: tuple[str, str, str] | None = None


def root_folder(cache: str | Path, root: str | Path) -> Path:
    """The folder in `cache` for the data set at `root`.

    Two data sets of one name differ in the digits, which come from the absolute path.
    """
    root = Path(os.path.abspath(root))
    digits = hashlib.sha256(str(root).encode(errors="surrogateescape")).hexdigest()[:8]
    return Path(cache) / f"{root.name}-{digits}"


def build_cache(
    cases: Sequence[Case],
    folder: str | Path,
    spec: GridSpec,
    workers: int = 1,
    progress: bool = True,
) -> tuple[list[CachedCase], list[InputError]]:
    """Builds what is missing or stale of one grid and opens all of it.

    Args:
        cases: from `find_cases`.
        folder: the data set's, from `root_folder`; the spec has its own folder in it.
        spec: the grid.
        workers: processes that read and resample.
        progress: show a bar, or lines where there is no terminal.

    Returns:
        The cached cases in the order of `cases`, and one InputError for each case that
        was refused and is left out.

    Raises:
        InputError: the cache cannot be written, a worker died, or the data set's own
            names of its labels contradict the spec's classes.
    """
    cached, refused = build_caches(cases, folder, [spec], workers, progress)
    return cached[0], refused


def build_caches(
    cases: Sequence[Case],
    folder: str | Path,
    specs: Sequence[GridSpec],
    workers: int = 1,
    progress: bool = True,
) -> tuple[list[list[CachedCase]], list[InputError]]:
    """As `build_cache`, for several grids; each source is read once for all of them.

    Returns:
        For each spec its cached cases, and one InputError for each refused case. A case
        that is refused is in none of the lists.
    """
    folder = Path(folder)
    _check_names(cases, specs)
    for spec in specs:
        remove_abandoned(folder / spec.name)
    missing, opened = _look(cases, folder, specs)
    refused = {}
    shown = progress and bool(missing)
    with Progress("cache", len(missing), unit="case", shown=shown) as bar:
        for outcome in _outcomes(missing, folder, specs, workers):
            case = outcome.case
            bar.advance(note=case.id + (" refused" if outcome.refused else ""))
            if outcome.refused:
                refused[case.id] = InputError(*outcome.refused)
            else:
                opened[case.id] = _open_built(case, folder, specs)
    kept = [opened[case.id] for case in cases if case.id in opened]
    columns = [[row[i] for row in kept] for i in range(len(specs))]
    return columns, [refused[case.id] for case in cases if case.id in refused]


def not_cached(
    cases: Sequence[Case], folder: str | Path, specs: Sequence[GridSpec]
) -> list[Case]:
    """The cases that `build_caches` would read and build."""
    return _look(cases, Path(folder), specs)[0]


def _check_names(cases: Sequence[Case], specs: Sequence[GridSpec]) -> None:
    """Refuses specs that do not fit what the data set calls its labels."""
    named = next((case for case in cases if case.labels is not None), None)
    if named is not None:
        path = named.image.parent.parent / "dataset.json"
        for spec in specs:
            check_labels(named.labels, spec.labels, path)


def _look(cases, folder, specs) -> tuple[list[Case], dict[str, list[CachedCase]]]:
    """Splits the cases into those to build and those that are there on every grid."""
    missing, opened = [], {}
    for case in cases:
        row = _open_row(case, folder, specs)
        if None in row:
            missing.append(case)
        else:
            opened[case.id] = row
    return missing, opened


def _open_row(case, folder, specs) -> list[CachedCase | None]:
    return [open_cached(folder / spec.name, case, spec) for spec in specs]


def _open_built(case, folder, specs) -> list[CachedCase]:
    row = _open_row(case, folder, specs)
    if None in row:
        raise InputError(
            folder,
            f"{case.id} was built and is no longer there",
            "let nothing change the data or the cache while it is built",
        )
    return row


def _outcomes(cases, folder, specs, workers: int) -> Iterator[Outcome]:
    """Builds the cases, in processes when there are several of both; as they come."""
    try:
        yield from results(_build, [(case, folder, specs) for case in cases], workers)
    except OSError as error:  # of writing: those of reading refuse the case
        raise InputError(
            folder,
            f"the cache cannot be written: {error.strerror or error}",
            "make room or name another folder for the cache; what is built is kept",
        ) from error
    except BrokenProcessPool:
        raise InputError(
            folder,
            "a worker died, most likely for want of memory",
            "start again with fewer workers; what is built is kept",
        ) from None


def _build(case: Case, folder: Path, specs: Sequence[GridSpec]) -> Outcome:
    """Reads one case and writes it to every grid on which it is not there yet."""
    try:
        stamps = {role: stamp(path) for role, path in source_files(case).items()}
        known = [{value for value, _ in spec.labels} for spec in specs]
        source = read_source(case, sorted(set.intersection(*known)))
        # Every grid is made before any is written: a case is refused as a whole.
        made = [
            (spec, prepare(source, spec))
            for spec in specs
            if open_cached(folder / spec.name, case, spec) is None
        ]
    except InputError as error:
        return Outcome(case, (str(error.path), error.wrong, error.remedy))
    except OSError as error:
        path = str(error.filename or case.image)
        return Outcome(case, (path, error.strerror or str(error), "check the file"))
    except MemoryError as error:
        wrong = f"out of memory ({str(error) or 'too large for what is free'})"
        remedy = "check its spacing, or use fewer workers"
        return Outcome(case, (str(case.image), wrong, remedy))
    for spec, prepared in made:
        write_cached(folder / spec.name, case, spec, source, prepared, stamps)
    return Outcome(case)
