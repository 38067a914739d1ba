"""What can be segmented: NIfTI files, and studies of DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from vnet_jax.ct import dicom
from vnet_jax.ct.nifti import Scan, ct_from
from vnet_jax.data.cases import find_inputs, holds_nifti
from vnet_jax.errors import InputError


@dataclass(frozen=True)
class Input:
    """One CT.

    Attributes:
        name: of what comes of it.
        source: the file; of DICOM the folder or zip, as it may be told.
        dicom: its study, or None for a NIfTI.
    """

    name: str
    source: Path
    dicom: dicom.DicomCase | None = None


def find(path: str | PathLike, series: str | None = None) -> list[Input]:
    """Finds the CTs in a file or a folder; NIfTI files first.

    Args:
        path: as `find_inputs`; or DICOM: a folder, at any depth, a zip or a file.
        series: SeriesInstanceUID of the one to take.

    Raises:
        InputError: nothing there, or a series of what is no DICOM.
    """
    path = Path(path)
    if is_dicom(path):
        cases = dicom.asked(dicom.find(path), series)
        return [Input(case.name, case.path, case) for case in cases]
    if series is not None:
        raise InputError(path, "no DICOM, which --series is for", "leave it out")
    return [Input(name, file) for name, file in find_inputs(path)]


def is_dicom(path: str | PathLike) -> bool:
    """Whether a path is DICOM or a zip: not where a folder holds a NIfTI to segment."""
    path = Path(path)
    return not (path.is_dir() and holds_nifti(path)) and dicom.holds_dicom(path)


def scan_from(ct) -> Scan:
    """The CT of a path, DICOM or NIfTI, or of what `ct_from` takes.

    Raises:
        InputError: as `dicom.read_dicom` and `ct_from`.
    """
    if isinstance(ct, str | PathLike) and is_dicom(ct):
        return dicom.read_dicom(ct)
    return ct_from(ct)
