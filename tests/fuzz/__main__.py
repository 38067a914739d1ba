"""Damaged and odd files through all of `infer`, in one process.

    python -m tests.fuzz --nifti 2000 --dicom 500 --seed 0 --keep fuzz_faults

Each file must end in a mask with the input's geometry or in one line that names the
file; within 60 s, with at most 1 GiB of memory beside what the process held before, and
with nothing left behind where there is no mask. Files that do not are kept. The exit
status is 1 where there are some. Python's warnings count as faults.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

from tests.fuzz import models, nifti, trial

#: Every so many files go through real V-Nets, and every so many masks are drawn.
VNET_EVERY, PICTURE_EVERY = 16, 8
Mutated = Callable[[Path, int, int], Iterator[tuple[str, Path]]]


def main() -> int:
    """Makes, tries and counts the files."""
    options = _options()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    sets: list[tuple[str, Mutated, int, Callable]] = [
        ("NIfTI", nifti.mutated, options.nifti, trial.same_place)
    ]
    if options.dicom and (dicom := _dicom()):
        sets.append(("DICOM", dicom, options.dicom, trial.opens))
    began, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), options.keep, began + 60 * options.minutes)
        for kind, mutated, count, looks_right in sets:
            outcomes = run.all_of(mutated, options.seed, count, looks_right)
            failed += _told(kind, outcomes, count)
    print(f"{time.monotonic() - began:.0f} s, seed {options.seed}")
    return 1 if failed else 0


class Run:
    """A working folder with both trained pairs.

    Attributes:
        keep: where files with a fault go.
        end: when no more files are tried, on the monotonic clock.
    """

    def __init__(self, folder: Path, keep: Path, end: float):
        self.keep, self.end = keep, end
        self._input, self._out = folder / "input", folder / "out"
        self._out.mkdir()
        self._known = models.known_pair(folder / "known")
        self._vnets = models.vnet_pair(folder / "vnets")
        self._warm()

    def _warm(self) -> None:
        """Compiles, so that no file takes the time and the memory of it."""
        self._input.mkdir()
        _, path = next(nifti.mutated(self._input, 0, 1))  # to which nothing happens
        for segmenter in (self._known, self._vnets):
            trial.attempt(segmenter, path, self._out, lambda *_: "")
        shutil.rmtree(self._input)

    def all_of(
        self, mutated: Mutated, seed: int, count: int, looks_right
    ) -> list[tuple[str, trial.Outcome]]:
        """The mutation and the outcome of each file."""
        self._input.mkdir()
        outcomes = []
        for index, (name, path) in enumerate(mutated(self._input, seed, count)):
            if time.monotonic() > self.end:
                break
            outcome = self._one(index, path, looks_right)
            outcomes.append((name, outcome))
            if outcome.kind == trial.FAULT:
                self._keep(index, name, path, outcome)
            _remove(path)
            if sys.stderr.isatty() and index % 10 == 0:
                print(f"\r{index + 1} of {count}", end="", file=sys.stderr)
        shutil.rmtree(self._input)
        return outcomes

    def _one(self, index: int, path: Path, looks_right) -> trial.Outcome:
        vnets = index % VNET_EVERY == VNET_EVERY - 1
        segmenter = self._vnets if vnets else self._known
        if vnets and looks_right is trial.same_place:
            looks_right = trial.same_geometry
        draw = index % PICTURE_EVERY == 0
        return trial.attempt(segmenter, path, self._out, looks_right, draw)

    def _keep(self, index: int, name: str, path: Path, outcome) -> None:
        self.keep.mkdir(parents=True, exist_ok=True)
        target = self.keep / f"{index:05d} {name} {path.name}"
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
        print(f"FAULT {name}: {target}\n{outcome.line}", flush=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _dicom() -> Mutated | None:
    """The mutated DICOM files, where pydicom is installed."""
    try:
        importlib.import_module("pydicom")
        return importlib.import_module("tests.fuzz.dicom").mutated
    except ModuleNotFoundError as error:
        print(f"no DICOM files: no module {error.name}; pip install 'vnet-jax[dicom]'")
        return None


def _told(kind: str, outcomes: list[tuple[str, trial.Outcome]], wanted: int) -> int:
    """Prints the counts of one kind of file; returns how many have a fault."""
    counts = collections.Counter((name, o.kind) for name, o in outcomes)
    names = list(dict.fromkeys(name for name, _ in outcomes))
    columns = (trial.MASK, trial.REFUSED, trial.FAULT)
    print(f"\n{kind:<24}" + "".join(f"{column:>9}" for column in columns))
    for name in sorted(names):
        print(f"{name:<24}" + "".join(f"{counts[name, c]:9d}" for c in columns))
    sums = [sum(o.kind == column for _, o in outcomes) for column in columns]
    print(f"{f'all {len(outcomes)}':<24}" + "".join(f"{n:9d}" for n in sums))
    if outcomes:
        slowest = max(o.seconds for _, o in outcomes)
        most = max(o.bytes for _, o in outcomes)
        print(f"slowest {slowest:.1f} s, most memory {most / 1e6:.0f} MB", flush=True)
    if len(outcomes) < wanted:
        print(f"stopped by the clock: {len(outcomes)} of {wanted}")
    return sums[-1] + (wanted - len(outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nifti", type=int, default=2000, help="how many NIfTI files")
    parser.add_argument("--dicom", type=int, default=500, help="how many DICOM inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_faults"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
