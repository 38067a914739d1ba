"""What pydicom reads of a file, bounded and silent, and its values one by one."""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from collections.abc import Sequence

from vnet_jax.ct import dicom_library

DEFLATED = b"1.2.840.10008.1.2.1.99"
PLAIN = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\0")
META_LENGTH = b"\x02\0\0\0UL\x04\0"
LARGEST = 10**9  # that an integer may be
MOST_INFLATED = 1 << 26  # bytes of a deflated file
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


def patient_words(head) -> set[str]:
    """Parts of three letters or more of what names the patient, in small letters."""
    words = set()
    for keyword in PATIENT:
        words |= set(re.split(r"[\W_]+", text(head, keyword).lower()))
    return {word for word in words if len(word) > 2}


def text(head, keyword: str) -> str:
    """A value as text, several joined by backslashes; "" where there is none."""
    try:
        value = head.get(keyword)
    except Exception:  # a value that is no text of its kind
        return ""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = "\\".join(map(str, value))
    return str(value).strip(" \0")


def integer(head, keyword: str) -> int | None:
    """A value as an integer, or None where there is none of a bearable size."""
    try:
        value = int(head.get(keyword))
    except Exception:
        return None
    return value if abs(value) <= LARGEST else None


def numbers(levels, keyword: str, count: int) -> tuple[float, ...]:
    """The numbers of the first data set that has them; () where none has `count`."""
    for level in levels:
        try:
            value = level.get(keyword)
            if value is None or value == "":
                continue
            values = [value] if count == 1 else list(value)
            found = tuple(float(v) for v in values)
        except Exception:
            return ()
        finite = all(map(math.isfinite, found))
        return found if len(found) == count and (finite or count == 1) else ()
    return ()
