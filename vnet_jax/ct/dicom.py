"""DICOM in: a folder, a zip or an enhanced file, as the same `Scan` that NIfTI gives.

What is told names the path as the user gave it, never a file below it: exports are
often filed under the patient's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from vnet_jax.ct import dicom_library, header
from vnet_jax.ct.dicom_files import Files, holds_dicom, open_files
from vnet_jax.ct.dicom_header import Damaged
from vnet_jax.ct.dicom_pixels import read_hu
from vnet_jax.ct.dicom_series import Series, Study, choose, rank, studies_of, unfit
from vnet_jax.ct.dicom_slices import Slice, slices_of
from vnet_jax.ct.dicom_stack import Stack, stack
from vnet_jax.ct.nifti import Scan, scan_of
from vnet_jax.errors import InputError

LONG_WORD = 5  # letters of a patient's word that is looked for inside others, too

__all__ = [
    "DicomCase",
    "Found",
    "asked",
    "find",
    "holds_dicom",
    "listing",
    "read_dicom",
]


@dataclass(frozen=True, eq=False)
class Found:
    """The studies in a folder, a zip or a file.

    Attributes:
        path: as it may be told: the user's, or a neutral name where that names a
            patient.
        files: where the bytes are.
        studies: with at least one slice each.
        damaged: files that begin as DICOM and cannot be read.
    """

    path: Path
    files: Files
    studies: tuple[Study, ...]
    damaged: int

    @property
    def cases(self) -> list[DicomCase]:
        """One a study that has CT slices, named; each is still to be read."""
        named = [s for s in self.studies if any(map(_is_ct, s.series))]
        single = len(named) == 1
        return [DicomCase(self._name(s, single), self, s) for s in named]

    def _name(self, study: Study, single: bool) -> str:
        if not single:
            return study.name
        name = self.path.name
        return self.path.stem if name.lower().endswith((".zip", ".dcm")) else name


@dataclass(frozen=True, eq=False)
class DicomCase:
    """A study as a case to segment.

    Attributes:
        name: of the case, for the names of outputs.
        found: where it is.
        study: its series.
        uid: the series asked for, or None for the rules.
    """

    name: str
    found: Found
    study: Study
    uid: str | None = None

    @property
    def path(self) -> Path:
        """As it may be told."""
        return self.found.path

    def holds(self, path: Path) -> bool:
        """Whether a path is the zip or file, or lies in the folder."""
        root, path = self.found.files.path.resolve(), path.resolve()
        return path == root or root in path.parents

    def series(self) -> Series:
        """The series to segment.

        Raises:
            InputError: none fits, or several do.
        """
        return choose(self.study, self.uid, self.path)

    def stacked(self) -> Stack:
        """Its slices in order.

        Raises:
            InputError: as `dicom_stack.stack`.
        """
        return stack(self.series().images, self.path)

    def read(self) -> Scan:
        """The CT in HU.

        Raises:
            InputError: no CT, or one that is incomplete, damaged or not in HU.
        """
        series = self.series()
        stacked = stack(series.images, self.path)
        shape = stacked.grid.shape
        header.check_memory(shape, np.dtype(np.int16), self.path)
        header.checked_grid(shape, stacked.grid.affine, self.path, sheared=True)
        hu, mended = read_hu(stacked.slices, self.found.files, self.path)
        mended = [*self._doubts(series, stacked), *mended]
        return scan_of(hu, stacked.grid, self.path, series.digest, mended)

    def _doubts(self, series: Series, stacked: Stack) -> list[str]:
        doubts = []
        others = [s for s in self.study.series if s is not series and not unfit(s)]
        if others and self.uid is None:
            doubts.append(f"chosen of {len(others) + 1} CT series by the stated rules")
        if series.about.image_type[:1] == ("DERIVED",):
            doubts.append("a derived series: no original one is there")
        if left := len(series.slices) - len(series.images):
            doubts.append(f"{left} localizer images in the series left out")
        if self.found.damaged:
            doubts.append(f"{self.found.damaged} damaged files left out")
        if stacked.tilted:
            doubts.append(
                f"gantry tilt of {stacked.tilt_deg:.1f} degrees: resampled to the "
                "axes; the mask lies on the tilted slices"
            )
        return doubts


def find(path: str | PathLike) -> Found:
    """Reads the headers of all files and sorts them into studies and series.

    Args:
        path: a folder, searched at any depth; a zip; a DICOM file.

    Raises:
        InputError: nothing to read, a damaged zip, or pydicom is not installed.
    """
    path = Path(path)
    dicom_library.load("pydicom", path)
    files = open_files(path)
    slices: list[Slice] = []
    words: set[str] = set()
    damaged = 0
    for name in files.names:
        data = files.read(name)
        if data is None:
            continue
        try:
            found, named = slices_of(name, data)
        except Damaged:
            damaged += 1
            continue
        slices += found
        words |= named
    if not slices:
        wrong = f"no readable DICOM file ({damaged} damaged ones)"
        raise InputError(path, wrong, "give the folder or the zip of a study")
    studies = studies_of(slices)
    return Found(_tellable(path, words, studies), files, studies, damaged)


def read_dicom(path: str | PathLike, uid: str | None = None) -> Scan:
    """Reads the CT of a folder, a zip or a file that holds one study.

    Args:
        path: as `find`.
        uid: SeriesInstanceUID; by the rules where it is None.

    Raises:
        InputError: no CT, several studies, or as `DicomCase.read`.
    """
    cases = asked(find(path), uid)
    if len(cases) != 1:
        wrong = f"{len(cases)} studies"
        raise InputError(path, wrong, "give the folder of one, or a series' UID")
    return cases[0].read()


def asked(found: Found, uid: str | None) -> list[DicomCase]:
    """The cases of what was found; one alone where a series is asked for.

    Raises:
        InputError: no CT at all, or no such series.
    """
    cases = found.cases
    if not cases:
        raise InputError(found.path, "DICOM without a CT", "see --list_series")
    if uid is None:
        return cases
    having = [c for c in cases if any(s.uid == uid for s in c.study.series)]
    if not having:
        raise InputError(found.path, f"no series {uid}", "see --list_series")
    return [DicomCase(c.name, found, c.study, uid) for c in having[:1]]


def listing(found: Found) -> str:
    """A table of the series, a line each: what the rules see and what they say."""
    lines = ["case\tseries\tnumber\tmodality\tslices\tmm\tkernel\tcontrast\tchosen"]
    for case in found.cases or [DicomCase("-", found, s) for s in found.studies]:
        try:
            chosen = case.series()
        except InputError:
            chosen = None
        lines += [_row(case, series, chosen) for series in case.study.series]
    if found.damaged:
        lines.append(f"{found.damaged} files begin as DICOM and cannot be read")
    return "\n".join(lines)


def _row(case: DicomCase, series: Series, chosen: Series | None) -> str:
    about = series.about
    reason = unfit(series)
    if not reason and series is not chosen:
        tie = chosen is None or rank(series) == rank(chosen)
        reason = "as fit as another" if tie else "another is fitter"
    cells = (
        case.name,
        series.uid,
        "" if about.number is None else about.number,
        about.modality[:4],
        len(series.slices),
        f"{series.step_mm:.3g}",
        series.kernel if about.kernel else "",
        "yes" if about.contrast else "no",
        "yes" if series is chosen else f"no: {reason}",
    )
    return "\t".join(map(str, cells))


def _is_ct(series: Series) -> bool:
    return series.about.modality == "CT"


def _tellable(path: Path, words: set[str], studies: tuple[Study, ...]) -> Path:
    """The path, or a neutral name where it holds a word that names the patient."""
    text = str(path).lower()
    parts = set(re.split(r"[\W_]+", text))
    told = any(word in (text if len(word) >= LONG_WORD else parts) for word in words)
    return Path(studies[0].name) if told else path
