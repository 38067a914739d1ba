"""The programs themselves, as a user starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.measures.shapes import KITS, ball, ellipsoid, grid
from vnet_jax.ct.nifti import read_labels, write_image, write_mask

BIN = Path(__file__).parents[2] / "bin"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A CT of a kidney with a tumour on the right, with a mask, and a broken mask."""
    root = tmp_path_factory.mktemp("measure")
    g = grid((120, 90, 160), KITS)
    kidney, tumour = ellipsoid(g, (25, 20, 50), (40, 0, 0)), ball(g, 12, (62, 0, 10))
    hu = (ellipsoid(g, (78, 44, 500)) * 1040 - 1000).astype("int16")
    hu[:, 5:12, 60:140] = -100
    hu[kidney], hu[tumour] = 160, 60
    labels = kidney.astype("uint8")
    labels[tumour] = 2
    for folder in ("cts", "masks"):
        (root / folder).mkdir()
    for name in ("a", "b"):
        write_image(root / "cts" / f"{name}.nii.gz", hu, g)
    write_mask(root / "masks" / "a.nii.gz", labels, g)
    (root / "masks" / "b.nii.gz").write_bytes(b"none")
    return root


def start(place, program, *flags):
    return subprocess.run(
        [sys.executable, str(BIN / f"{program}.py"), *flags],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def first(place):
    """The folder, measured."""
    return start(place, "measure", "--image", "cts", "--mask", "masks", "--out", "one")


def test_a_folder_with_a_broken_mask(place, first):
    assert first.returncode == 2
    assert "Traceback" not in first.stderr
    assert "vnet_jax: masks/b.nii.gz: " in first.stderr
    assert "1 of 2 cases are in one" in first.stdout
    names = sorted(path.name for path in (place / "one").iterdir())
    assert names == ["a.html", "a.json", "a.nii.gz", "a.png", "report.html"]
    facts = json.loads((place / "one" / "a.json").read_text())
    (tumour,) = facts["tumours"]
    assert (tumour["side"], tumour["pole"]) == ("right", "middle")
    assert tumour["axial_diameter_mm"] == pytest.approx(24, abs=1)
    assert 0.4 < tumour["exophytic_share"] < 0.9


def test_a_corrected_mask_is_measured_and_compared(place, first):
    labels = read_labels(place / "masks" / "a.nii.gz").volume
    labels.array[ball(labels.grid, 15, (62, 0, 10)) & (labels.array > 0)] = 2
    write_mask(place / "corrected.nii.gz", labels.array, labels.grid)
    given = ("--image", "cts/a.nii.gz", "--mask", "corrected.nii.gz", "--out", "two")
    assert start(place, "measure", *given).returncode == 0
    days = ("--dates", "2024-01-05,2025-01-04")
    done = start(place, "compare", "one/a.json", "two/a.nii.gz", *days)
    assert done.returncode == 0, done.stderr
    assert "| 1 right, matched |" in done.stdout
    assert "1 of 1 comparisons are in compared" in done.stdout
    names = sorted(path.name for path in (place / "compared").iterdir())
    assert names == [f"comparison.{end}" for end in ("html", "json", "png")]


def test_dry_runs_tell_what_is_done_and_write_nothing(place, first):
    given = ("--image", "cts", "--mask", "masks", "--dry_run")
    done = start(place, "measure", *given, "--out", "one")
    assert done.returncode == 0, done.stderr
    assert "a: done, would be skipped -> one/a.nii.gz" in done.stdout
    assert "b: would be measured -> one/b.nii.gz" in done.stdout
    assert "1 of 2 cases to measure" in done.stdout
    done = start(place, "measure", *given, "--out", "dry", "--json")
    assert [case["done"] for case in json.loads(done.stdout)["cases"]] == [False] * 2
    pair = ("one/a.json", "one/a.json", "--out", "dry", "--dry_run")
    done = start(place, "compare", *pair)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cases to compare" in done.stdout
    assert not (place / "dry").exists()
