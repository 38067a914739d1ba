"""What the header of a DICOM file says about its slices, and no word of the patient.

Lengths are mm; positions and directions are DICOM's (LPS: x to the patient's left, y to
posterior, z to superior).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vnet_jax.ct import dicom_library
from vnet_jax.ct.dicom_header import (
    Damaged,
    integer,
    numbers,
    parse,
    patient_words,
    text,
)

ENHANCED = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
DICOMDIR = "1.2.840.10008.1.3.10"  # a list of files, whatever its name
MOST_PIXELS = 1 << 26  # of a slice: 8192 x 8192
FAR_MM = 1e5


@dataclass(frozen=True)
class About:
    """What a slice shares with its series.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        modality: such as CT.
        number: SeriesNumber, or None.
        image_type: ImageType, in capitals.
        kernel: ConvolutionKernel, in capitals.
        body_part: BodyPartExamined, in capitals.
        contrast: a contrast agent is named.
    """

    study: str
    series: str
    modality: str
    number: int | None = None
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    body_part: str = ""
    contrast: bool = False

    @property
    def localizer(self) -> bool:
        """Whether it is a scout."""
        return "LOCALIZER" in self.image_type or "SCOUT" in self.image_type


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame of one.

    Attributes:
        file: its name among the study's files; not to be told.
        sha256: of the file's bytes.
        about: what it shares with its series.
        number: InstanceNumber, or the frame's number from 1; None where there is none.
        frame: its index in a file of several frames, or None.
        fault: why it has no place or no values; the fields below are void then.
        reference: FrameOfReferenceUID.
        size: rows, columns.
        position: of the centre of the first voxel, LPS.
        row, column: unit vectors, LPS: where the column's and the row's index grow to.
        spacing: between rows, between columns.
        slope, intercept: HU = slope * stored + intercept; None where the file has none.
        hu: False where the file calls the rescaled values something else than HU.
    """

    file: str
    sha256: str
    about: About
    number: int | None = None
    frame: int | None = None
    fault: str = ""
    reference: str = ""
    size: tuple[int, int] = (0, 0)
    position: tuple[float, ...] = ()
    row: tuple[float, ...] = ()
    column: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    slope: float | None = None
    intercept: float | None = None
    hu: bool = True

    @property
    def called(self) -> str:
        """What messages call it: "slice 12 (z -30.5 mm)"."""
        number = "?" if self.number is None else self.number
        where = f" (z {self.position[2]:g} mm)" if self.position else ""
        return f"slice {number}{where}"


def slices_of(file: str, data: bytes) -> tuple[list[Slice], set[str]]:
    """The slices of a file, and the words in it that name the patient.

    Args:
        file: its name among the study's.
        data: its bytes.

    Raises:
        Damaged: it cannot be read.
    """
    head = parse(data, pixels=False)
    try:
        with dicom_library.quiet():
            if text(head.file_meta, "MediaStorageSOPClassUID") == DICOMDIR:
                return [], set()
            about = _about(head)
            if not (about.series and about.modality):
                raise Damaged("no SeriesInstanceUID or no Modality")
            words = patient_words(head)
            plain = Slice(file, hashlib.sha256(data).hexdigest(), about)
            if about.modality != "CT":
                return [plain], words
            return list(_frames(head, plain)), words
    except (MemoryError, Damaged):
        raise
    except Exception as error:
        raise Damaged(type(error).__name__) from None


def _frames(head, plain: Slice) -> Iterator[Slice]:
    frames = integer(head, "NumberOfFrames") or 1
    if text(head, "SOPClassUID") not in ENHANCED:
        number = integer(head, "InstanceNumber")
        if frames > 1:
            fault = "several frames, but no enhanced CT"
            yield replace(plain, number=number, fault=fault)
        else:
            yield _placed(plain, [head], head, number)
        return
    shared = [*(head.get("SharedFunctionalGroupsSequence") or [])][:1]
    groups = [*(head.get("PerFrameFunctionalGroupsSequence") or [])]
    if frames != len(groups):
        yield replace(plain, fault=f"{frames} frames, {len(groups)} descriptions")
        return
    for index, own in enumerate(groups):
        levels = [_flat(group) for group in (own, *shared)]
        placed = replace(plain, frame=index)
        yield _placed(placed, [*levels, head], head, index + 1)


def _flat(group):
    """The attributes of a frame's functional groups, in one data set."""
    pydicom = dicom_library.load("pydicom")
    flat = pydicom.Dataset()
    for element in group:
        if element.VR == "SQ" and element.value:
            flat.update(element.value[0])
    return flat


def _placed(plain: Slice, levels, head, number: int | None) -> Slice:
    """A slice with its place, or with the reason why it has none."""
    named = replace(plain, number=number, reference=text(head, "FrameOfReferenceUID"))
    size = (integer(head, "Rows") or 0, integer(head, "Columns") or 0)
    position = numbers(levels, "ImagePositionPatient", 3)
    turn = numbers(levels, "ImageOrientationPatient", 6)
    spacing = numbers(levels, "PixelSpacing", 2)
    slope = numbers(levels, "RescaleSlope", 1)
    intercept = numbers(levels, "RescaleIntercept", 1)
    fault = (
        _size_fault(size, head)
        or _place_fault(position, turn, spacing)
        or _slope_fault(slope, intercept)
    )
    if fault:
        return replace(named, fault=fault)
    row, column = _unit(turn[:3]), _unit(turn[3:])
    kind = next((k for level in levels if (k := text(level, "RescaleType"))), "HU")
    return replace(
        named,
        size=size,
        position=position,
        row=row,
        column=column,
        spacing=spacing,
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        hu=kind.upper().startswith("HU"),
    )


def _size_fault(size: tuple[int, int], head) -> str:
    if min(size) < 2 or math.prod(size) > MOST_PIXELS:
        return f"{size[0]} x {size[1]} voxels"
    if (integer(head, "SamplesPerPixel") or 1) != 1:
        return "it is in colour"
    if text(head, "PhotometricInterpretation") not in ("", "MONOCHROME2"):
        return "its PhotometricInterpretation is not MONOCHROME2"
    return ""


def _place_fault(position, turn, spacing) -> str:
    if not position or max(map(abs, position)) > FAR_MM:
        return "it has no usable ImagePositionPatient"
    if not turn:
        return "it has no usable ImageOrientationPatient"
    row, column = turn[:3], turn[3:]
    lengths = [math.hypot(*row), math.hypot(*column)]
    across = sum(a * b for a, b in zip(row, column, strict=True))
    if max(abs(n - 1) for n in lengths) > 0.01 or abs(across) > 1e-3:
        return "the axes of its ImageOrientationPatient are no right angle"
    if not spacing or not 0.01 <= min(spacing) <= max(spacing) <= 100:
        return "it has no usable PixelSpacing"
    return ""


def _slope_fault(slope, intercept) -> str:
    if slope and not (slope[0] and math.isfinite(slope[0])):
        return f"its RescaleSlope is {slope[0]:g}"
    if intercept and not math.isfinite(intercept[0]):
        return f"its RescaleIntercept is {intercept[0]:g}"
    return ""


def _unit(vector) -> tuple[float, ...]:
    length = math.hypot(*vector)
    return tuple(v / length for v in vector)


def _about(head) -> About:
    agent = text(head, "ContrastBolusAgent").upper()
    return About(
        study=text(head, "StudyInstanceUID"),
        series=text(head, "SeriesInstanceUID"),
        modality=text(head, "Modality").upper(),
        number=integer(head, "SeriesNumber"),
        image_type=_words(text(head, "ImageType")),
        kernel=text(head, "ConvolutionKernel").upper(),
        body_part=text(head, "BodyPartExamined").upper(),
        contrast=bool(agent) and agent not in ("NO", "NONE", "NO CONTRAST"),
    )


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip().upper() for word in value.split("\\"))
