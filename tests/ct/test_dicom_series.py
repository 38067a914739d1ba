"""Which series is chosen, and why."""

import pytest

from tests import dicom_writer
from tests.dicom_writer import uid, write_series
from vnet_jax.ct import dicom
from vnet_jax.ct.dicom_series import kernel_kind
from vnet_jax.errors import InputError

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

HU = dicom_writer.body((14, 12, 12))


def write(folder, series, **tags):
    step = tags.pop("step", 5.0)

    def place(data, index):
        data.ImagePositionPatient[2] = -300 + step * index

    write_series(folder, HU, place, series=series, **tags)


def chosen(folder) -> str:
    """The word of the chosen series' UID."""
    (case,) = dicom.find(folder).cases
    words = {uid("s", word): word for word in ("a", "b", "c", "d", "e")}
    return words[case.series().uid]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "ConvolutionKernel": "B"}),
        ({}, {"BodyPartExamined": "CHEST", "ContrastBolusAgent": "Ultravist"}),
        ({"ContrastBolusAgent": "x", "ConvolutionKernel": "B70f"}, {"step": 4.0}),
        ({"ContrastBolusAgent": "x"}, {"ContrastBolusAgent": "NONE"}),
        ({"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "BONEPLUS"}),
        ({"ConvolutionKernel": "I30f\\3"}, {"ConvolutionKernel": "vendor's own"}),
        ({"ConvolutionKernel": "own"}, {"ConvolutionKernel": "Br59", "step": 4.0}),
        ({"step": 4.5}, {"step": 5.0}),
    ],
)
def test_the_better_of_two(tmp_path, better, worse):
    write(tmp_path, "b", **better)
    write(tmp_path, "a", **worse)
    assert chosen(tmp_path) == "b"
    (case,) = dicom.find(tmp_path).cases
    assert "chosen of 2 CT series by the stated rules" in case.read().warnings[0]


def test_what_is_no_candidate(tmp_path):
    """A scout, a reformat, a short series, another modality; contrast helps none."""
    write(tmp_path, "a")
    agent = {"ContrastBolusAgent": "x"}
    write(tmp_path, "b", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **agent)
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    write_series(tmp_path, HU, turned_stack, series="c", **coronal, **agent)
    write(tmp_path, "d", step=2.0, **agent)
    write(tmp_path, "e", ImageType=["DERIVED", "SECONDARY", "REFORMATTED"], **agent)
    write(tmp_path, "f", Modality="MR", **agent)
    assert chosen(tmp_path) == "a"
    said = {row.split("\t")[1]: row for row in listing(tmp_path)}
    for word, why in {
        "a": "yes",
        "b": "no: localizer",
        "c": "no: not axial",
        "d": "no: 26 mm long, less than 50",
        "e": "no: secondary: no picture of the scanner's",
        "f": "no: modality MR",
    }.items():
        assert said[uid("s", word)].endswith(f"\t{why}"), why


def turned_stack(data, index):
    data.ImagePositionPatient = [-60, -55 + 5 * index, -300]


def listing(folder) -> list[str]:
    return dicom.listing(dicom.find(folder)).splitlines()[1:]


def test_a_scout_inside_the_series_is_left_out(tmp_path):
    def scout(data, index):
        if index == 0:
            data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path, change=scout)
    (case,) = dicom.find(tmp_path).cases
    scan = case.read()
    assert scan.volume.grid.shape[2] == 23
    assert "1 localizer images in the series left out" in scan.warnings


def test_a_derived_series_alone_is_taken_and_told(tmp_path):
    write(tmp_path, "a", ImageType=["DERIVED", "PRIMARY", "AXIAL"])
    (case,) = dicom.find(tmp_path).cases
    assert "a derived series: no original one is there" in case.read().warnings


def test_none_that_fits_is_refused_with_reasons(tmp_path):
    write(tmp_path, "a", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(tmp_path, "b", step=1.0)
    (case,) = dicom.find(tmp_path).cases
    with pytest.raises(InputError, match="no series that is an axial CT") as caught:
        case.read()
    assert f"{uid('s', 'a')}: localizer" in str(caught.value)
    asked = dicom.asked(dicom.find(tmp_path), uid("s", "b"))
    assert asked[0].read().volume.grid.shape == (12, 12, 14)


def test_several_studies_are_several_cases(tmp_path):
    write_series(tmp_path / "x" / "Zweistein", HU, study="1")
    write_series(tmp_path / "x" / "y", HU, study="2")
    write_series(tmp_path / "x" / "y", HU, study="3", Modality="MR")
    cases = dicom.find(tmp_path).cases
    assert len({case.name for case in cases}) == 2
    assert all(case.name.startswith("ct_") and len(case.name) == 15 for case in cases)
    (case,) = dicom.asked(dicom.find(tmp_path), uid("2", "a"))
    assert case.series().uid == uid("2", "a")
    assert case.name in {case.name for case in cases}


def test_the_listing_says_nothing_of_the_patient(tmp_path):
    write(tmp_path, "a", ConvolutionKernel="Albertine", Modality="CT")
    write(tmp_path, "b", BodyPartExamined="ZWEISTEIN")
    text = dicom.listing(dicom.find(tmp_path)).lower()
    for word in ("zweistein", "albertine", "mrn773", "acc555", "1931", "abdomen"):
        assert word not in text


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("B30F", "soft"),
        ("I40F\\3", "soft"),
        ("BR44D\\3", "soft"),
        ("B70F", "sharp"),
        ("BL57", "sharp"),
        ("STANDARD", "soft"),
        ("LUNG", "sharp"),
        ("BONE", "sharp"),
        ("FC08", "soft"),
        ("FC52", "sharp"),
        ("YA", "sharp"),
        ("C", "soft"),
        ("", "unknown"),
        ("SOMETHING", "unknown"),
    ],
)
def test_kernels(kernel, kind):
    assert kernel_kind(kernel) == kind
