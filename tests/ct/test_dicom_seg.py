import os

import numpy as np
import pytest

from tests import dicom_writer
from vnet_jax.ct import dicom, dicom_library, dicom_seg, nifti
from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.resample import to_spacing
from vnet_jax.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")


def drawn(shape) -> np.ndarray:
    """A kidney with a tumour, unlike in each direction, that reaches an end slice."""
    mask = np.zeros(shape, np.uint8)
    mask[3:11, 4:9, 6:] = 1
    mask[5:7, 6:8, 9:14] = 2
    return mask


def written(path, tmp_path, mask=None):
    """The case, its mask and the SEG, opened again by highdicom."""
    (case,) = dicom.find(path).cases
    scan = case.read()
    mask = drawn(scan.volume.grid.shape) if mask is None else mask
    target = tmp_path / "x_seg.dcm"
    dicom_seg.write_seg(target, mask, case.stacked(), case.found.files)
    return scan, mask, highdicom.seg.segread(target)


def in_world(seg) -> dict[tuple, int]:
    """Each segmented voxel's world coordinates, RAS mm, and label, frame by frame.

    Read by pydicom alone, from each frame's own place.
    """
    head = pydicom.dcmread(seg.filename) if seg.filename else seg
    shared = head.SharedFunctionalGroupsSequence[0]
    turn = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    labels = {"64033007": 1, "108369006": 2, "367643001": 3}
    kinds = {
        s.SegmentNumber: labels[s.SegmentedPropertyTypeCodeSequence[0].CodeValue]
        for s in head.SegmentSequence
    }
    frames = head.pixel_array.reshape(-1, head.Rows, head.Columns)
    found = {}
    for plane, group in zip(frames, head.PerFrameFunctionalGroupsSequence, strict=True):
        first = group.PlanePositionSequence[0].ImagePositionPatient
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for row, column in np.argwhere(plane):
            lps = np.array(first, float) + turn[:3] * column * float(spacing[1])
            lps = lps + turn[3:] * row * float(spacing[0])
            place = tuple(np.round(lps * [-1, -1, 1], 2) + 0.0)
            assert place not in found
            found[place] = kinds[segment]
    return found


def mask_in_world(mask, grid) -> dict[tuple, int]:
    places = np.argwhere(mask)
    mm = np.round(grid.to_mm(places), 2) + 0.0
    return {tuple(p): int(mask[tuple(i)]) for p, i in zip(mm, places, strict=True)}


def test_the_seg_is_the_nifti_mask_voxel_by_voxel(tmp_path):
    dicom_writer.write_series(tmp_path / "study")
    scan, mask, seg = written(tmp_path / "study", tmp_path)
    nifti.write_mask(tmp_path / "x.nii.gz", mask, scan.volume.grid)
    read = nifti.read_labels(tmp_path / "x.nii.gz").volume
    expected = mask_in_world(read.array, read.grid)
    assert len(expected) == (mask > 0).sum() > 500
    assert in_world(seg) == expected
    # And as highdicom itself puts the frames together.
    volume = seg.get_volume(combine_segments=True)
    index = np.argwhere(volume.array)
    lps = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    again = {
        tuple(np.round(p * [-1, -1, 1], 2) + 0.0): int(volume.array[tuple(i)])
        for p, i in zip(lps, index, strict=True)
    }
    assert again == expected


def test_tilted_and_oblique_slices(tmp_path):
    """The frames lie on the slices as they are, askew."""
    tilt = np.radians(17)
    turn = [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)]
    dicom_writer.write_series(tmp_path / "study", ImageOrientationPatient=turn)
    scan, mask, seg = written(tmp_path / "study", tmp_path)
    assert in_world(seg) == mask_in_world(mask, scan.volume.grid)
    straight = to_spacing(Volume(mask, scan.volume.grid), (0, 0, 0), "nearest")
    share = (straight.array > 0).sum() * straight.grid.voxel_ml
    assert share == pytest.approx((mask > 0).sum() * scan.volume.grid.voxel_ml, rel=0.1)


def test_frames_of_one_file_in_any_order(tmp_path):
    order = np.random.default_rng(3).permutation(24)
    data = dicom_writer.enhanced(dicom_writer.body(), order)
    dicom_writer.save(data, tmp_path / "study" / "one")
    scan, mask, seg = written(tmp_path / "study", tmp_path)
    assert in_world(seg) == mask_in_world(mask, scan.volume.grid)


def test_frames_of_two_files(tmp_path):
    """They are read as one CT; a DICOM-SEG could refer to one of them alone."""
    hu = dicom_writer.body()
    for number, order in enumerate([range(0, 24, 2), range(1, 24, 2)]):
        data = dicom_writer.enhanced(hu, order)
        data.SOPInstanceUID = f"1.2.{number}"
        dicom_writer.save(data, tmp_path / "study" / str(number))
    np.testing.assert_array_equal(
        dicom.read_dicom(tmp_path / "study").volume.array, hu.transpose(2, 1, 0)
    )
    with pytest.raises(InputError, match=r"several enhanced files.*--nodicom_seg"):
        written(tmp_path / "study", tmp_path)


def test_codes_are_those_of_the_dictionary(tmp_path):
    codes = pydicom.sr.codedict.codes
    dicom_writer.write_series(tmp_path / "study")
    mask = drawn((28, 20, 24))
    mask[0, 0, 0] = 3
    _, _, seg = written(tmp_path / "study", tmp_path, mask)
    kidney, tumour, cyst = seg.SegmentSequence
    assert kidney.segmented_property_category == codes.SCT.AnatomicalStructure
    assert kidney.segmented_property_type == codes.SCT.Kidney
    for lesion, kind in ((tumour, codes.SCT.Neoplasm), (cyst, codes.SCT.Cyst)):
        category = lesion.segmented_property_category
        assert category == codes.SCT.MorphologicallyAbnormalStructure
        assert lesion.segmented_property_type == kind
        assert lesion.anatomic_regions == [codes.SCT.Kidney]
    assert [s.SegmentLabel for s in seg.SegmentSequence] == [
        "Kidney",
        "Neoplasm of kidney",
        "Cyst of kidney",
    ]
    (method,) = tumour.SegmentationAlgorithmIdentificationSequence
    assert method.AlgorithmVersion == seg.SoftwareVersions
    assert seg.SegmentationType == "BINARY"


def test_it_belongs_to_the_study_and_refers_to_the_slices(tmp_path):
    def private(data, index):
        block = data.private_block(0x0009, "A MAKER", create=True)
        block.add_new(1, "LO", "Zweistein")

    files = dicom_writer.write_series(tmp_path / "study", change=private)
    _, _, seg = written(tmp_path / "study", tmp_path)
    assert not any(element.tag.is_private for element in seg.iterall())
    source = pydicom.dcmread(files[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName"):
        assert seg[keyword].value == source[keyword].value
    assert source.PatientID == seg.PatientID == dicom_writer.PLANTED["PatientID"]
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    named = {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence}
    assert named == {pydicom.dcmread(file).SOPInstanceUID for file in files}
    thickness = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(thickness.SliceThickness) == dicom_writer.STEP_MM


def test_a_bare_header_does_as_well(tmp_path):
    """Anonymised files lack much of what a SEG must state."""
    bare = dict.fromkeys((*dicom_writer.PLANTED, "StudyID", "StudyTime", "PatientSex"))
    dicom_writer.write_series(tmp_path / "study", SliceThickness=None, **bare)
    scan, mask, seg = written(tmp_path / "study", tmp_path)
    assert in_world(seg) == mask_in_world(mask, scan.volume.grid)


def test_nothing_half_written(tmp_path, monkeypatch):
    dicom_writer.write_series(tmp_path / "study")
    (case,) = dicom.find(tmp_path / "study").cases
    stacked, files = case.stacked(), case.found.files
    mask = drawn(stacked.grid.shape)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "x_seg.dcm"

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            dicom_seg.write_seg(target, mask, stacked, files)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ValueError, match="without a segment"):
        dicom_seg.write_seg(target, mask * 0, stacked, files)
    monkeypatch.setattr(dicom_library.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"highdicom is not installed.*pip install"):
        dicom_seg.write_seg(target, mask, stacked, files)


def test_a_study_that_changed_meanwhile(tmp_path):
    files = dicom_writer.write_series(tmp_path / "study")
    (case,) = dicom.find(tmp_path / "study").cases
    stacked = case.stacked()
    files[5].write_bytes(files[6].read_bytes())
    mask = drawn(stacked.grid.shape)
    with pytest.raises(InputError, match="changed meanwhile"):
        dicom_seg.write_seg(tmp_path / "x.dcm", mask, stacked, case.found.files)


def missing(name):
    raise ImportError(name)
