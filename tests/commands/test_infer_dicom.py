"""The program on DICOM: what it lists, and that it tells nothing of the patient."""

import gzip
import re

import numpy as np
import pytest

from tests import dicom_writer
from tests.commands.test_infer import GRID, infer, place  # noqa: F401

pytest.importorskip("highdicom", reason="the extra dicom is not installed")


@pytest.fixture(scope="module")
def studies(place):  # noqa: F811
    """Three studies, filed as exports are: one good, one with a gap, one an MR."""
    hu = np.random.default_rng(0).integers(-200, 300, (16, 32, 40)).astype(np.int16)
    hu[:, :4] = -1000

    def spaced(data, index):
        data.PixelSpacing = [4.0, 3.0]

    root = place / "export"
    for study in "abc":
        folder = root / "ZWEISTEIN^ALBERTINE" / study
        tags = {"Modality": "MR"} if study == "c" else {}
        files = dicom_writer.write_series(folder, hu, spaced, study=study, **tags)
        if study == "b":
            files[5].rename(folder / "mrn7731904.txt")
            files[5] = folder / "mrn7731904.txt"
            files[5].write_bytes(files[5].read_bytes()[:-9])
            files[6].unlink()
    return root


def told_of(text: str) -> list[str]:
    """The patient's words in a text."""
    words = {w for v in dicom_writer.PLANTED.values() for w in re.split(r"\W+", v)}
    words -= {"Abdomen", "portal", "venous", "Frau"}
    return [word for word in words if word.lower() in text.lower()]


def test_nothing_of_the_patient_is_told(place, studies):  # noqa: F811
    flags = ("--input", "export", "--output", "dicom_masks", "--device", "cpu")
    done = infer(place, *flags)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "vnet_jax: export: a gap of " in done.stderr
    assert "1 of 2 cases are in dicom_masks" in done.stdout
    assert told_of(done.stdout + done.stderr) == []
    written = sorted((place / "dicom_masks").iterdir())
    assert [re.sub("[0-9a-f]{12}", "X", path.name) for path in written] == [
        *("ct_X.html", "ct_X.json", "ct_X.nii.gz", "ct_X.png", "ct_X_seg.dcm"),
        *("labels_itksnap.txt", "labels_slicer.ctbl", "report.html"),
    ]
    for path in written:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        text = re.sub(r"[\w+/=]{500,}", "", data.decode("latin1"))  # pictures, volumes
        found = told_of(path.name + text)
        if path.suffix == ".dcm":  # as it must
            assert {"Zweistein", "MRN7731904", "19310417"} <= set(found)
        else:
            assert found == []


def test_the_list_of_series(place, studies):  # noqa: F811
    done = infer(place, "--input", "export", "--list_series")
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0][:4] == ["case", "series", "number", "modality"]
    assert {row[1] for row in rows[1:]} == {
        dicom_writer.uid(study, "a") for study in "ab"
    }
    assert told_of(done.stdout + done.stderr) == []
