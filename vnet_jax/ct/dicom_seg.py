"""DICOM-SEG out: the mask as segments with coded terms, in the study of its CT.

A binary segmentation (PS3.3 A.51) by highdicom. It holds the patient's data, as it must
to be filed with the study; nothing else that is written does.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from vnet_jax import __version__
from vnet_jax.ct import dicom_library
from vnet_jax.ct.dicom_files import Files
from vnet_jax.ct.dicom_header import Damaged, parse
from vnet_jax.ct.dicom_slices import Slice
from vnet_jax.ct.dicom_stack import Stack
from vnet_jax.ct.files import replacing
from vnet_jax.errors import InputError

SERIES_NUMBER = 9100
MANUFACTURER = "vnet_jax"
#: Attributes of the study that a SEG must have, if empty; anonymised files lack some.
NEEDED = (
    "PatientID PatientName PatientBirthDate PatientSex StudyID StudyDate StudyTime "
    "AccessionNumber ReferringPhysicianName"
).split()


@dataclass(frozen=True)
class Term:
    """What a label is, in SNOMED CT as DICOM's context groups have it.

    Attributes:
        label: the name that viewers show.
        category: of CID 7150.
        kind: of the segment's property type.
        region: where it is, or None.
        colour: sRGB, 0 to 255.
    """

    label: str
    category: tuple[str, str]
    kind: tuple[str, str]
    region: tuple[str, str] | None
    colour: tuple[int, int, int]


METHOD = ("123110", "DCM", "Artificial Intelligence")
KIDNEY = ("64033007", "Kidney")
ORGAN = ("91723000", "Anatomical Structure")
LESION = ("49755003", "Morphologically Abnormal Structure")
TERMS = {
    1: Term("Kidney", ORGAN, KIDNEY, None, (185, 102, 83)),
    2: Term(
        "Neoplasm of kidney", LESION, ("108369006", "Neoplasm"), KIDNEY, (144, 238, 144)
    ),
    3: Term("Cyst of kidney", LESION, ("367643001", "Cyst"), KIDNEY, (205, 205, 100)),
}


def write_seg(
    path: str | PathLike,
    mask: np.ndarray,
    stacked: Stack,
    files: Files,
    told: PathLike | None = None,
) -> None:
    """Writes a mask as a DICOM-SEG that refers to the CT's slices; whole or not at all.

    Args:
        path: of the file; its folder exists.
        mask: (columns, rows, slices) uint8 on the stack's grid; 1 kidney, 2 tumour,
            3 cyst. One of them at least is there.
        stacked: the CT's slices.
        files: where they are.
        told: what messages call the CT.

    Raises:
        InputError: highdicom is not installed, or the CT's files have changed or lack
            what a SEG refers to.
        ValueError: an empty mask.
    """
    check_reference(stacked.slices, told)
    labels = [label for label in TERMS if (mask == label).any()]
    if not labels:
        raise ValueError("a segmentation without a segment")
    highdicom = dicom_library.load("highdicom", told)
    try:
        with dicom_library.quiet():
            sources = _sources(stacked, files, told)
            planes = _planes(mask, stacked, labels)
            whole = io.BytesIO()
            _segmentation(highdicom, planes, labels, sources).save_as(whole)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever odd headers make of it
        wrong = f"no DICOM-SEG fits the CT's headers ({type(error).__name__})"
        raise InputError(told, wrong, "pass --nodicom_seg") from None
    with replacing(path) as file:
        file.write(whole.getbuffer())


def check_reference(slices: Sequence[Slice], told: PathLike | None = None) -> None:
    """Refuse a CT to which no DICOM-SEG can refer.

    Args:
        slices: the CT's, in any order.
        told: what the message calls the CT.

    Raises:
        InputError: no frame of reference, or several files of several frames.
    """
    wrong = ""
    if not slices[0].reference:
        wrong = "no FrameOfReferenceUID, to which a DICOM-SEG refers"
    elif slices[0].frame is not None and len({one.file for one in slices}) > 1:
        wrong = "several enhanced files in one series; a DICOM-SEG refers to one"
    if wrong:
        raise InputError(told, wrong, "pass --nodicom_seg")


def _sources(stacked: Stack, files: Files, told) -> list:
    """The headers that the SEG refers to, in the order of the stack."""
    heads, held = [], None
    for one in stacked.slices:
        if one.file == held:
            continue
        held, data = one.file, files.read(one.file)
        if data is None or hashlib.sha256(data).hexdigest() != one.sha256:
            wrong = f"{one.called}: its file changed meanwhile"
            raise InputError(told, wrong, "start again")
        try:
            head = parse(data, pixels=True)
        except Damaged:
            raise InputError(told, f"{one.called}: damaged", "start again") from None
        heads.append(_completed(head, stacked))
    return heads


def _completed(head, stacked: Stack):
    """A header without pixels, with all that a SEG takes from it.

    The thickness is the distance of the slices, whatever the file states: readers
    take a segment's volume from it.
    """
    if "PixelData" in head:
        del head.PixelData
    measures = head
    if stacked.slices[0].frame is not None:
        groups = head.SharedFunctionalGroupsSequence[0]
        measures = groups.get("PixelMeasuresSequence", [head])[0]
    measures.SliceThickness = measures.SpacingBetweenSlices = f"{stacked.step_mm:.10g}"
    for keyword in NEEDED:
        if keyword not in head:
            setattr(head, keyword, "")
    return head


def _planes(mask: np.ndarray, stacked: Stack, labels: Sequence[int]) -> np.ndarray:
    """(slices, rows, columns) uint8 in the order of the sources, segments from 1."""
    number = np.zeros(256, np.uint8)
    number[labels] = np.arange(1, len(labels) + 1)
    planes = number[mask].transpose(2, 1, 0)
    frames = [one.frame for one in stacked.slices]
    if frames[0] is not None:  # of one file: its own order
        planes = planes[np.argsort(frames)]
    return np.ascontiguousarray(planes)


def _segmentation(highdicom, planes, labels, sources: list):
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=planes,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(highdicom, number, TERMS[label])
            for number, label in enumerate(labels, 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="vnet_jax infer",
        software_versions=__version__,
        device_serial_number="0",
        content_label="KIDNEY_TUMOUR",
        content_description="Kidney and kidney tumour, found automatically; research",
        series_description="Kidney and tumour (vnet_jax, research only)",
    )


def _description(highdicom, number: int, term: Term):
    def code(pair: tuple[str, str]):
        return highdicom.sr.CodedConcept(pair[0], "SCT", pair[1])

    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=term.label,
        segmented_property_category=code(term.category),
        segmented_property_type=code(term.kind),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="vnet_jax two-phase V-Net",
            family=highdicom.sr.CodedConcept(*METHOD),
            version=__version__,
        ),
        anatomic_regions=[code(term.region)] if term.region else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*term.colour),
    )
