"""DICOM files for the tests, made by pydicom: series of slices, an enhanced file."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np

SHAPE = (24, 20, 28)  # slices, rows, columns
STEP_MM, ROW_MM, COLUMN_MM = 5.0, 6.0, 4.5
ORIGIN = (-60.0, -55.0, -300.0)  # LPS, of the lowest slice
AXIAL = (1, 0, 0, 0, 1, 0)
CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"
#: What must be found in no output but the DICOM-SEG, and in no log.
PLANTED = {
    "PatientName": "Zweistein^Albertine",
    "PatientID": "MRN7731904",
    "PatientBirthDate": "19310417",
    "AccessionNumber": "ACC5550123",
    "InstitutionName": "Klinikum Nirgendwo",
    "ReferringPhysicianName": "Frankenstein^Viktoria",
    "StudyDescription": "Abdomen Zweistein",
    "SeriesDescription": "Albertine portal venous",
    "PatientComments": "Frau Zweistein",
    "StudyDate": "20260314",
}


def body(shape=SHAPE) -> np.ndarray:
    """(slices, rows, columns) int16 HU: air, fat, soft tissue with noise, an organ."""
    rng = np.random.default_rng(5)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)
    hu[x**2 + y**2 < 0.8] = -100
    hu[x**2 + y**2 < 0.6] = 40
    hu[(x - 0.4) ** 2 + y**2 + (z + 0.3) ** 2 < 0.04] = 180
    noise = rng.normal(0, 12, shape).clip(-20, 20)
    return (hu + noise).round().astype(np.int16)


def uid(*parts) -> str:
    """A UID of these words, the same each time."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    return f"2.25.{int(digest[:30], 16)}"


def slice_of(hu: np.ndarray, index: int, series="a", study="s", **tags):
    """The data set of one slice.

    Args:
        hu: (rows, columns) int16.
        index: of the slice; it lies at the origin and `index` steps along z.
        series: a word for the series' UID.
        study: a word for the study's.
        tags: others than by default; None leaves one out.
    """
    from pydicom.dataset import Dataset, FileMetaDataset

    data = Dataset()
    facts = {
        "SOPClassUID": CT,
        "SOPInstanceUID": uid(study, series, index),
        "StudyInstanceUID": uid(study),
        "SeriesInstanceUID": uid(study, series),
        "FrameOfReferenceUID": uid(study, "frame"),
        "StudyID": "1",
        "StudyTime": "101112",
        "PatientSex": "F",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesNumber": 3,
        "InstanceNumber": index + 1,
        "SliceThickness": 1.25,  # not to be believed
        "ImagePositionPatient": [*ORIGIN[:2], ORIGIN[2] + STEP_MM * index],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [ROW_MM, COLUMN_MM],
        "Rows": hu.shape[0],
        "Columns": hu.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
        "PixelData": (hu.astype(np.int32) + 1024).astype("<i2").tobytes(),
        **PLANTED,
        **tags,
    }
    for keyword, value in facts.items():
        if value is not None:
            setattr(data, keyword, value)
    if "PixelData" in data:
        data["PixelData"].VR = "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = EXPLICIT
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = facts["SOPInstanceUID"]
    return data


def save(data, file: Path) -> Path:
    """Writes a data set as a DICOM file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(file, enforce_file_format=True)
    return file


def write_series(
    folder: Path, hu: np.ndarray | None = None, change=lambda data, index: None, **tags
) -> list[Path]:
    """Writes a series into a folder, in an order of names that tells nothing.

    Args:
        folder: is made.
        hu: (slices, rows, columns) int16, the lowest slice first; the body by default.
        change: of each data set, given its index; what it returns replaces it.
        tags: as `slice_of`.
    """
    hu = body() if hu is None else hu
    files = []
    for index, plane in enumerate(hu):
        data = slice_of(plane, index, **tags)
        data = change(data, index) or data
        name = hashlib.sha256(data.SOPInstanceUID.encode()).hexdigest()[:8]
        files.append(save(data, folder / f"{name}.dcm"))
    return files


def affine() -> np.ndarray:
    """Of the series as written: (column, row, slice) to mm, RAS+."""
    x, y, z = ORIGIN
    return np.array(
        [
            [-COLUMN_MM, 0, 0, -x],
            [0, -ROW_MM, 0, -y],
            [0, 0, STEP_MM, z],
            [0, 0, 0, 1.0],
        ]
    )


def enhanced(hu: np.ndarray, order=None, **tags):
    """The data set of an enhanced CT, one frame a slice, in the order given."""
    from pydicom.dataset import Dataset

    order = list(range(len(hu))) if order is None else list(order)
    data = slice_of(hu[0], 0, **tags)
    for keyword in (
        "ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness "
        "RescaleSlope RescaleIntercept RescaleType"
    ).split():
        delattr(data, keyword)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.NumberOfFrames = len(order)
    data.PixelData = (hu[order].astype(np.int32) + 1024).astype("<i2").tobytes()

    def group(sequence, **facts):
        item = Dataset()
        for keyword, value in facts.items():
            setattr(item, keyword, value)
        return sequence, item

    def groups(*parts):
        frame = Dataset()
        for sequence, item in parts:
            setattr(frame, sequence, [item])
        return frame

    data.SharedFunctionalGroupsSequence = [
        groups(
            group("PixelMeasuresSequence", PixelSpacing=[ROW_MM, COLUMN_MM]),
            group("PlaneOrientationSequence", ImageOrientationPatient=list(AXIAL)),
            group(
                "PixelValueTransformationSequence",
                RescaleSlope=1,
                RescaleIntercept=-1024,
                RescaleType="HU",
            ),
        )
    ]
    places = ([*ORIGIN[:2], ORIGIN[2] + STEP_MM * index] for index in order)
    data.PerFrameFunctionalGroupsSequence = [
        groups(
            group("PlanePositionSequence", ImagePositionPatient=place),
            group("FrameContentSequence", DimensionIndexValues=[number + 1]),
        )
        for number, place in zip(itertools.count(), places, strict=False)
    ]
    return data
