"""Series as pydicom writes them, read back; and what is refused, in one line."""

import os
import shutil
import zipfile

import numpy as np
import pytest

from tests import dicom_writer
from tests.dicom_writer import PLANTED, STEP_MM, uid, write_series
from vnet_jax.ct import dicom, dicom_files, dicom_library
from vnet_jax.ct.geometry import is_sheared
from vnet_jax.ct.resample import to_spacing
from vnet_jax.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

HU = dicom_writer.body()
VOXELS = HU.transpose(2, 1, 0)


@pytest.fixture
def study(tmp_path):
    return tmp_path / "study"


def refusal(path, **asked) -> str:
    with pytest.raises(InputError) as caught:
        dicom.read_dicom(path, **asked)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    assert not any(word in line for word in PLANTED.values())
    return line


def test_a_folder_in_any_order(study):
    """Neither names, InstanceNumber nor SliceThickness has a say."""

    def renumbered(data, index):
        data.InstanceNumber = (index * 7) % 24

    write_series(study, change=renumbered)
    scan = dicom.read_dicom(study)
    assert scan.volume.array.dtype == np.int16
    np.testing.assert_array_equal(scan.volume.array, VOXELS)
    np.testing.assert_allclose(scan.volume.grid.affine, dicom_writer.affine())
    assert scan.volume.grid.spacing_mm[2] == STEP_MM
    assert scan.volume.grid.axis_codes == ("L", "P", "S")
    assert (scan.warnings, scan.path) == ((), study)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_from_a_nested_folder_a_zip_and_an_enhanced_file(study, tmp_path):
    files = write_series(study)
    first = dicom.read_dicom(study)
    nested = tmp_path / "nested"
    for number, file in enumerate(files):
        place = nested / f"{number % 3}" / "deeper"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / file.name)
    (nested / "readme.txt").write_text("no DICOM")
    (nested / "DICOMDIR").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(files):
            archive.write(file, f"../../{number // 2}.dcm")
    order = np.random.default_rng(2).permutation(len(HU))
    one = dicom_writer.save(dicom_writer.enhanced(HU, order), tmp_path / "one.dcm")
    for path in (nested, tmp_path / "study.zip", one):
        scan = dicom.read_dicom(path)
        np.testing.assert_array_equal(scan.volume.array, VOXELS)
        assert scan.volume.grid.same_place(first.volume.grid)
        assert scan.path == path
        if path != one:  # the same bytes, whatever their names
            assert scan.sha256 == first.sha256
    assert not list(tmp_path.glob("**/part*"))


def test_45_spaces_other_letters_links_and_read_only(study, tmp_path):
    files = write_series(tmp_path / "Ünterlagen für Ärzte" / "a b")
    for file in files:
        file.chmod(0o444)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    link = tmp_path / "リンク"
    link.symlink_to(files[0].parent)
    study.mkdir()
    for file in files:
        (study / file.name).symlink_to(file)
    for path in (files[0].parent.parent, link, study):
        np.testing.assert_array_equal(dicom.read_dicom(path).volume.array, VOXELS)
    after = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    assert after == before


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "tags"),
    [
        ("<i2", 1, 0, {}),
        ("<u2", 1, -2048, {"PixelRepresentation": 0}),
        ("<u2", 0.5, -1024.5, {"PixelRepresentation": 0}),
        ("<i4", 2, 10, {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}),
    ],
)
def test_rescaling_is_applied_once(study, stored, slope, intercept, tags):
    hu = HU // 4 * 4

    def change(data, index):
        values = ((hu[index] - intercept) / slope).astype(stored)
        data.PixelData = values.tobytes()
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        for keyword, value in tags.items():
            setattr(data, keyword, value)

    write_series(study, hu, change)
    scan = dicom.read_dicom(study)
    np.testing.assert_array_equal(scan.volume.array, hu.transpose(2, 1, 0))
    whole = slope % 1 == 0 and intercept % 1 == 0
    assert scan.volume.array.dtype == (np.int16 if whole else np.float32)


def test_each_slice_has_its_own_rescaling(study):
    def change(data, index):
        data.RescaleIntercept = -1024 - index
        stored = HU[index].astype(np.int32) + 1024 + index
        data.PixelData = stored.astype("<i2").tobytes()

    write_series(study, change=change)
    scan = dicom.read_dicom(study)
    np.testing.assert_array_equal(scan.volume.array, VOXELS)
    assert any("differ from slice to slice" in text for text in scan.warnings)


def test_twelve_bits_with_an_overlay_in_the_others(study):
    def change(data, index):
        data.PixelRepresentation = 0
        data.BitsStored, data.HighBit = 12, 11
        stored = (HU[index].astype(np.int32) + 1024).astype("<u2")
        data.PixelData = (stored | 0x3000).tobytes()

    write_series(study, change=change)
    np.testing.assert_array_equal(dicom.read_dicom(study).volume.array, VOXELS)


@pytest.mark.parametrize("unsigned", [False, True])
def test_padding_is_air(study, unsigned):
    def change(data, index, value=-2000):
        stored = HU[index].astype(np.int32) + 1024
        stored[:3] = value
        data.PixelData = stored.astype("<i2").tobytes()
        vr, told = ("US", value + 65536) if unsigned else ("SS", value)
        data.add_new("PixelPaddingValue", vr, told)

    write_series(study, change=change)
    scan = dicom.read_dicom(study)
    assert (scan.volume.array[:, :3] == -1024).all()
    np.testing.assert_array_equal(scan.volume.array[:, 3:], VOXELS[:, 3:])


def test_padding_that_would_be_tissue_is_ignored(study):
    write_series(study, PixelPaddingValue=1064)
    scan = dicom.read_dicom(study)
    np.testing.assert_array_equal(scan.volume.array, VOXELS)
    assert any("PixelPaddingValue stands for tissue" in w for w in scan.warnings)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
def test_compressed(study, syntax):
    """Run lengths come with pydicom, JPEG-LS with what highdicom brings."""
    if syntax.endswith("80"):
        pytest.importorskip("jpeg_ls", reason="no decoder of JPEG-LS")

    def change(data, index):
        data.PixelRepresentation = 0
        data.compress(syntax, generate_instance_uid=False)

    write_series(study, change=change)
    np.testing.assert_array_equal(dicom.read_dicom(study).volume.array, VOXELS)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_implicit_and_big_endian(study, syntax):
    def change(data, index):
        data.file_meta.TransferSyntaxUID = syntax
        if syntax.endswith(".2.2"):
            stored = np.frombuffer(data.PixelData, "<i2").astype(">i2")
            data.PixelData = stored.tobytes()

    write_series(study, change=change)
    np.testing.assert_array_equal(dicom.read_dicom(study).volume.array, VOXELS)


def test_what_nothing_decodes_is_told_with_a_remedy(study, monkeypatch):
    def change(data, index):
        data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + b"\0" * 40])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"

    write_series(study, change=change)
    decoder = pydicom.pixels.get_decoder(pydicom.uid.JPEGLosslessSV1)
    monkeypatch.setattr(type(decoder), "is_available", False)
    line = refusal(study)
    assert "JPEG Lossless" in line
    assert "python-gdcm" in line
    assert "gdcmconv --raw" in line


def test_19_gantry_tilt(study, tmp_path):
    """Slices that lean by 15 degrees and are stacked along z, of a straight body."""
    tilt = np.radians(15.0)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    origin = np.array([-60.0, -55.0, -300.0])
    shape = (40, 36, 32)

    def scene(lps):
        """A ball and a rod along z in air and fat: where is each in the world?"""
        x, y, z = np.moveaxis(lps, -1, 0)
        hu = np.where((x**2 + y**2) < 55**2, -60.0, -1000.0)
        hu[(x - 15) ** 2 + y**2 < 12**2] = 60
        hu[(x + 20) ** 2 + y**2 + (z + 215) ** 2 < 14**2] = 220
        return hu.round().astype(np.int16)

    k, j, i = np.meshgrid(*map(np.arange, shape), indexing="ij")
    lps = origin + i[..., None] * 3.8 * row + j[..., None] * 3.2 * column
    lps = lps + k[..., None] * np.array([0, 0, 4.0])

    def change(data, index):
        data.ImagePositionPatient = [*origin[:2], origin[2] + 4.0 * index]

    turn = [*row, *column]
    spacing = [3.2, 3.8]
    tags = {"ImageOrientationPatient": turn, "PixelSpacing": spacing}
    write_series(study, scene(lps), change, **tags)
    scan = dicom.read_dicom(study)
    grid = scan.volume.grid
    assert is_sheared(grid)
    assert "gantry tilt of 15.0 degrees: resampled" in scan.warnings[0]
    assert not any("oblique" in warning for warning in scan.warnings)  # told once
    ras = lps.transpose(2, 1, 0, 3) * [-1, -1, 1]
    np.testing.assert_allclose(
        grid.to_mm(np.argwhere(np.ones(grid.shape))), ras.reshape(-1, 3), atol=1e-6
    )
    straight = to_spacing(scan.volume, (3, 3, 3), "linear")
    ball = np.argwhere(straight.array > 80)
    assert len(ball) * 27 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.05)
    centre = straight.grid.to_mm(ball.mean(axis=0))
    np.testing.assert_allclose(centre, [20, 0, -215], atol=0.7)
    assert np.ptp(straight.grid.to_mm(ball), axis=0) == pytest.approx([27] * 3, abs=3.1)


def test_itk_reads_the_same_place(study, tmp_path):
    """An independent reader, on slices that are turned in all directions."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", (11, -7, 5), degrees=True).as_matrix()

    def change(data, index):
        data.ImageOrientationPatient = [*turn[:, 0], *turn[:, 1]]
        place = np.array([-60.0, -55.0, -300.0]) + STEP_MM * index * turn[:, 2]
        data.ImagePositionPatient = list(place)

    files = write_series(study, change=change)
    scan = dicom.read_dicom(study)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0].parent)))
    image = reader.Execute()
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(image), scan.volume.array.transpose(2, 1, 0)
    )
    for index in ([0, 0, 0], [27, 0, 5], [3, 19, 23]):
        lps = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(
            scan.volume.grid.to_mm(index), np.multiply(lps, [-1, -1, 1]), atol=1e-3
        )


def test_41_a_missing_slice_names_the_gap(study):
    files = write_series(study)
    files[9].unlink()
    line = refusal(study)
    assert "a gap of 10 mm between slice 9 (z -260 mm) and slice 11 (z -250 mm)" in line
    assert "slices are 5 mm apart: about 1 missing" in line
    files[10].unlink()
    files[15].unlink()
    assert "about 2 missing there (2 gaps in all)" in refusal(study)


def test_41_doubled_positions(study, tmp_path):
    files = write_series(study)
    shutil.copy(files[4], study / "copy.dcm")
    assert "doubled positions: slice 5 (z -280 mm) and slice 5" in refusal(study)
    both = tmp_path / "phases"
    write_series(both)

    def later(data, index):
        data.SOPInstanceUID = uid("later", index)
        data.InstanceNumber = 100 + index

    write_series(both, HU + 20, later)
    line = refusal(both)
    assert "doubled positions" in line
    assert "and 23 more pairs" in line


def test_41_two_series_that_no_rule_tells_apart(study):
    write_series(study, series="a")
    write_series(study, HU + 30, series="b")
    line = refusal(study)
    assert "2 series are equally fit" in line
    for word in "ab":
        assert uid("s", word) in line
    assert "--series=UID" in line
    scan = dicom.read_dicom(study, uid("s", "b"))
    np.testing.assert_array_equal(scan.volume.array, VOXELS + 30)
    assert "no series 1.2.3" in refusal(study, uid="1.2.3")


def test_two_stacks_in_one_series(study):
    cases = {
        "Rows": (lambda d: small(d), "28 x 20 and 28 x 10 voxels"),
        "turn": (
            lambda d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]),
            "different orientations",
        ),
        "spacing": (
            lambda d: setattr(d, "PixelSpacing", [6, 4]),
            "spacings of",
        ),
        "frame": (
            lambda d: setattr(d, "FrameOfReferenceUID", "1.2.9"),
            "different frames of reference",
        ),
    }
    for name, (change, words) in cases.items():
        folder = study / name
        write_series(folder, change=lambda d, i, c=change: c(d) if i == 8 else None)
        line = refusal(folder)
        assert "two stacks in one series: " in line
        assert words in line


def small(data):
    data.Rows = 10
    data.PixelData = data.PixelData[: 10 * 28 * 2]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": None}, "no usable ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no usable ImageOrientationPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "are no right angle"),
        ({"PixelSpacing": None}, "no usable PixelSpacing"),
        ({"PixelSpacing": [0, 1]}, "no usable PixelSpacing"),
        ({"RescaleSlope": 0}, "its RescaleSlope is 0"),
        ({"RescaleSlope": None}, "no RescaleSlope or RescaleIntercept, unlike others"),
        ({"Rows": 40000, "Columns": 40000}, "40000 x 40000 voxels"),
        ({"PixelData": b"\0" * 100}, "truncated: 100 bytes of 1120"),
        ({"PixelData": None}, "no PixelData"),
        ({"BitsAllocated": None}, "pixels are cut or damaged"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "is not MONOCHROME2"),
        ({"SamplesPerPixel": 3}, "it is in colour"),
        ({"NumberOfFrames": 4}, "several frames, but no enhanced CT"),
    ],
)
def test_a_slice_at_fault_is_named(study, tags, words):
    file = write_series(study)[6]
    data = dicom_writer.slice_of(HU[6], 6, **tags)
    dicom_writer.save(data, file)
    line = refusal(study)
    assert words in line
    assert "slice 7" in line


def test_no_rescaling_at_all_is_told(study):
    def change(data, index):
        data.PixelData = HU[index].astype("<i2").tobytes()

    none = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "RescaleType"))
    write_series(study, change=change, **none)
    scan = dicom.read_dicom(study)
    np.testing.assert_array_equal(scan.volume.array, VOXELS)
    assert "no RescaleSlope or RescaleIntercept: read as 1 and 0" in scan.warnings


def test_the_checks_of_every_ct_hold(study, tmp_path):
    write_series(study, HU * 0 - 1000)
    assert "every voxel is -1000" in refusal(study)
    write_series(tmp_path / "raw", RescaleIntercept=0)
    assert "no Hounsfield units" in refusal(tmp_path / "raw")
    write_series(tmp_path / "far", PixelSpacing=[90, 90])
    assert "larger than 2 m" in refusal(tmp_path / "far")


def test_uneven_and_bent_stacks(study, tmp_path):
    def uneven(data, index):
        if index > 11:
            data.ImagePositionPatient[2] += 1.2

    def bent(data, index):
        data.ImagePositionPatient[1] += 0.05 * index**2

    write_series(study, change=uneven)
    assert "off an even, straight stack" in refusal(study)
    write_series(tmp_path / "bent", change=bent)
    assert "off an even, straight stack" in refusal(tmp_path / "bent")


def test_what_is_no_volume(study, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no readable DICOM file" in refusal(tmp_path / "empty")
    files = write_series(study)
    line = refusal(files[0])
    assert "1 slices, fewer than 10" in line
    write_series(tmp_path / "mr", Modality="MR")
    assert "DICOM without a CT" in refusal(tmp_path / "mr")
    write_series(tmp_path / "two", study="1")
    write_series(tmp_path / "two", study="2")
    assert "2 studies" in refusal(tmp_path / "two")


def test_damaged_files(study):
    files = write_series(study)
    files[-1].write_bytes(files[-1].read_bytes()[:300])
    scan = dicom.read_dicom(study)
    assert scan.volume.grid.shape[2] == 23
    assert "1 damaged files left out" in scan.warnings
    files[3].write_bytes(files[3].read_bytes()[:300])
    assert "a gap of 10 mm" in refusal(study)


def test_zips_that_are_refused(tmp_path, monkeypatch):
    files = write_series(tmp_path / "study")
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "no zip, or a damaged one" in refusal(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 4
    path.write_bytes(flipped)
    assert "the zip is damaged" in refusal(path)
    path.write_bytes(whole)
    monkeypatch.setattr(dicom_files, "MOST_FILES", 5)
    assert "more than 5 files" in refusal(path)
    assert "more than 5 files" in refusal(tmp_path / "study")


def test_names_in_a_zip_lead_nowhere(study, tmp_path):
    """They are read as they are, and nothing appears on the disk."""
    files = write_series(study)
    place = tmp_path / "place"
    place.mkdir()
    with zipfile.ZipFile(place / "study.zip", "w") as archive:
        for number, file in enumerate(files):
            lead = ("../", "/", "../../tmp/", "C:\\")[number % 4]
            archive.writestr(zipfile.ZipInfo(f"{lead}{number}.dcm"), file.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    assert dicom.read_dicom(place / "study.zip").volume.grid.shape[2] == len(files)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_encrypted_zip_is_refused(study, tmp_path):
    files = write_series(study)
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, file.name)
    packed = bytearray(path.read_bytes())
    entry = packed.rindex(b"PK\x01\x02")
    packed[entry + 8] |= 1  # the bit that says so, in the list of files
    path.write_bytes(packed)
    assert "encrypted" in refusal(path)


def test_43_a_zip_bomb_is_refused_before_it_unfolds(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = bytes(128) + b"DICM"
        for number in range(3):
            archive.writestr(f"{number}.dcm", head + bytes(4_000_000))
    monkeypatch.setattr(dicom_files, "BOMB_BYTES", 10_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    assert "the zip would unfold to 0.012 GB" in refusal(path)


def test_without_pydicom_one_line_says_what_to_install(study, monkeypatch):
    write_series(study)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(dicom_library.importlib, "import_module", missing)
    assert dicom.holds_dicom(study)
    line = refusal(study)
    assert line.endswith('pydicom is not installed; pip install "vnet-jax[dicom]"')


def test_a_path_that_names_the_patient_is_not_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("export/ZWEISTEIN_A", "mrn7731904"):
        write_series(tmp_path / folder)
        (case,) = dicom.find(folder).cases
        assert case.name == str(case.path) == case.study.name
        assert case.name.startswith("ct_")
    write_series(tmp_path / "a" / "Zweistein")
    (case,) = dicom.find("a").cases
    assert (case.name, str(case.path)) == ("a", "a")


def test_a_pipe_in_the_folder_does_not_hang(study):
    write_series(study)
    os.mkfifo(study / "pipe")
    np.testing.assert_array_equal(dicom.read_dicom(study).volume.array, VOXELS)
