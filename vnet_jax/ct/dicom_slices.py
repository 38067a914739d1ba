"""What the header of a DICOM file says about its slices, and no word of the patient.

Lengths are mm; positions and directions are DICOM's (LPS: x to the patient's left, y to
posterior, z to superior).
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vnet_jax.ct import dicom_library

ENHANCED = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
DEFLATED = b"1.2.840.10008.1.2.1.99"
PLAIN = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\0")
META_LENGTH = b"\x02\0\0\0UL\x04\0"
MOST_INFLATED = 1 << 28  # bytes of a deflated file
MOST_PIXELS = 1 << 26  # of a slice: 8192 x 8192
FAR_MM = 1e5
PATIENT = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthDate",
    "AccessionNumber",
)
READ = (
    *PATIENT,
    *"SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID".split(),
    *"FrameOfReferenceUID Modality ImageType SeriesNumber InstanceNumber".split(),
    *"BodyPartExamined ConvolutionKernel ContrastBolusAgent".split(),
    *"ImagePositionPatient ImageOrientationPatient PixelSpacing".split(),
    *"Rows Columns NumberOfFrames SamplesPerPixel BitsAllocated".split(),
    *"PhotometricInterpretation RescaleSlope RescaleIntercept RescaleType".split(),
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


class Damaged(Exception):
    """A file that begins as DICOM and cannot be read."""


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


def parse(data: bytes, pixels: bool):
    """The data set of a file's bytes, read by pydicom; with its pixels, or the header.

    Raises:
        Damaged: pydicom cannot read it.
    """
    pydicom = dicom_library.load("pydicom")
    try:
        with dicom_library.quiet():
            file = io.BytesIO(_inflated(data))
            if pixels:
                return pydicom.dcmread(file)
            tags = list(READ)
            return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
    except (MemoryError, Damaged):
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise Damaged(type(error).__name__) from None


def _inflated(data: bytes) -> bytes:
    """The file, what follows its meta information inflated where that is deflated.

    pydicom would inflate it without a bound.
    """
    if DEFLATED not in data:
        return data
    # The meta information begins with its own length, and names the transfer syntax.
    begins, length = struct.unpack("<8sI", data[132:144])
    meta = data[:144] + data[144 : 144 + length].replace(DEFLATED, PLAIN)
    if begins != META_LENGTH or PLAIN not in meta:
        raise Damaged("deflated, and its meta information is not to be read")
    inflate = zlib.decompressobj(-15)
    rest = inflate.decompress(data[144 + length :], MOST_INFLATED)
    if not inflate.eof:
        raise Damaged("deflated data set cut, or too large")
    return meta + rest


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
            about = _about(head)
            words = _patient_words(head)
            plain = Slice(file, hashlib.sha256(data).hexdigest(), about)
            if about.modality != "CT":
                return [plain], words
            return list(_frames(head, plain)), words
    except (MemoryError, Damaged):
        raise
    except Exception as error:
        raise Damaged(type(error).__name__) from None


def _frames(head, plain: Slice) -> Iterator[Slice]:
    frames = _int(head, "NumberOfFrames") or 1
    if _text(head, "SOPClassUID") not in ENHANCED:
        if frames > 1:
            yield replace(plain, fault="several frames in a file that is no enhanced CT")
            return
        yield _placed(plain, [head], head, _int(head, "InstanceNumber"))
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
    named = replace(plain, number=number, reference=_text(head, "FrameOfReferenceUID"))
    size = (_int(head, "Rows") or 0, _int(head, "Columns") or 0)
    position = _floats(levels, "ImagePositionPatient", 3)
    turn = _floats(levels, "ImageOrientationPatient", 6)
    spacing = _floats(levels, "PixelSpacing", 2)
    slope = _floats(levels, "RescaleSlope", 1)
    intercept = _floats(levels, "RescaleIntercept", 1)
    fault = (
        _size_fault(size, head)
        or _place_fault(position, turn, spacing)
        or _slope_fault(slope, intercept)
    )
    if fault:
        return replace(named, fault=fault)
    row, column = _unit(turn[:3]), _unit(turn[3:])
    kind = next((k for level in levels if (k := _text(level, "RescaleType"))), "HU")
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
    if (_int(head, "SamplesPerPixel") or 1) != 1:
        return "it is in colour"
    if _text(head, "PhotometricInterpretation") not in ("", "MONOCHROME2"):
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
    agent = _text(head, "ContrastBolusAgent").upper()
    return About(
        study=_text(head, "StudyInstanceUID"),
        series=_text(head, "SeriesInstanceUID"),
        modality=_text(head, "Modality").upper(),
        number=_int(head, "SeriesNumber"),
        image_type=_type(head),
        kernel=_text(head, "ConvolutionKernel").upper(),
        body_part=_text(head, "BodyPartExamined").upper(),
        contrast=bool(agent) and agent not in ("NO", "NONE", "NO CONTRAST"),
    )


def _type(head) -> tuple[str, ...]:
    value = head.get("ImageType") or ()
    values = [value] if isinstance(value, str) else value
    return tuple(str(v).strip().upper() for v in values)


def _patient_words(head) -> set[str]:
    """Parts of three letters or more of what names the patient, in small letters."""
    words = set()
    for keyword in PATIENT:
        words |= set(re.split(r"[\W_]+", _text(head, keyword).lower()))
    return {word for word in words if len(word) > 2}


def _text(head, keyword: str) -> str:
    try:
        value = head.get(keyword)
    except Exception:  # a value that is no text of its kind
        return ""
    if value is None:
        return ""
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        value = "\\".join(map(str, value)) if not hasattr(value, "components") else value
    return str(value).strip(" \0")


def _int(head, keyword: str) -> int | None:
    try:
        return int(head.get(keyword))
    except Exception:
        return None


def _floats(levels, keyword: str, count: int) -> tuple[float, ...]:
    """The numbers of the first data set that has them; () where none has `count`."""
    for level in levels:
        try:
            value = level.get(keyword)
            if value is None or value == "":
                continue
            values = [value] if count == 1 else list(value)
            numbers = tuple(float(v) for v in values)
        except Exception:
            return ()
        if len(numbers) != count or (count > 1 and not all(map(math.isfinite, numbers))):
            return ()
        return numbers
    return ()
