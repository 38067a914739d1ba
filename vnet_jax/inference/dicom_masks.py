"""What is written of a mask where its CT is DICOM: a DICOM-SEG, and a straight copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vnet_jax.ct import dicom_library
from vnet_jax.ct.dicom import DicomCase
from vnet_jax.ct.dicom_seg import check_reference, write_seg
from vnet_jax.ct.geometry import Grid, Volume, is_sheared
from vnet_jax.ct.nifti import Scan, write_mask
from vnet_jax.ct.resample import to_spacing
from vnet_jax.errors import InputError
from vnet_jax.inference.inputs import Input


def wants_seg(one: Input, wanted: bool | None) -> bool:
    """Whether a DICOM-SEG is written; refused before any work where it cannot be.

    Args:
        one: the CT.
        wanted: None for yes where the CT is DICOM.

    Raises:
        InputError: wanted for a NIfTI, or highdicom is not installed.
    """
    if one.dicom is None and wanted:
        wrong = "no DICOM, to which a DICOM-SEG would belong"
        raise InputError(one.source, wrong, "leave --dicom_seg out")
    if one.dicom is None or wanted is False:
        return False
    dicom_library.load("highdicom", one.source)
    return True


def read_study(case: DicomCase, with_seg: bool) -> Scan:
    """The CT of a study; refused before any work where its DICOM-SEG cannot be.

    Args:
        case: the study.
        with_seg: whether one will be written.

    Raises:
        InputError: as `DicomCase.read`; or nothing that a DICOM-SEG can refer to.
    """
    if with_seg:
        check_reference(case.series().images, case.path)
    return case.read()


def write_straight(path: Path, mask: np.ndarray, grid: Grid) -> list[Path]:
    """A tilted CT's mask once more, on straight axes, by nearest voxel.

    ITK, and so 3D Slicer and ITK-SNAP, opens no NIfTI whose axes lean.

    Args:
        path: where to.
        mask: (D, H, W) uint8 labels.
        grid: its place.

    Returns:
        What was written: the path, or nothing where the grid does not lean.
    """
    if not is_sheared(grid):
        path.unlink(missing_ok=True)
        return []
    straight = to_spacing(Volume(mask, grid), (0, 0, 0), "nearest")
    write_mask(path, straight.array, straight.grid)
    return [path]


def write_case_seg(path: Path, mask: np.ndarray, case: DicomCase | None) -> list[Path]:
    """The DICOM-SEG of a case, where one is wanted and the mask holds something.

    Args:
        path: where to; what an earlier run left there goes otherwise.
        mask: (columns, rows, slices) uint8 labels.
        case: None where none is wanted.

    Returns:
        What was written: the path, or nothing.
    """
    if case is None or not mask.any():
        path.unlink(missing_ok=True)
        return []
    write_seg(path, mask, case.stacked(), case.found.files, case.path)
    return [path]
