import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "bin" / "phantom.py"


def run(*flags):
    command = [sys.executable, str(PROGRAM), *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_writes_and_goes_on(tmp_path):
    flags = ("--out", tmp_path, "--spacing", "10,10,10", "--workers", 1)
    done = run(*flags, "--n", 1)
    assert (done.returncode, done.stdout) == (
        0,
        f"1 synthetic cases in {tmp_path}, 0 of them from before\n",
    )
    done = run(*flags, "--n", 2)
    assert done.stdout == f"2 synthetic cases in {tmp_path}, 1 of them from before\n"
    assert "case_00001" in done.stderr


def test_numbers_and_sizes_of_drawn_tumours(tmp_path):
    flags = ("--spacing", "10,10,10", "--workers", 1, "--n", 1, "--first", 80_000)
    done = run("--out", tmp_path, *flags, "--tumour_ml", "1,0.1")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "case_80000" / "case.json").read_text())
    assert facts["recipe"]["tumour_sizes"]["median_ml"] == 1
    done = run("--out", tmp_path, *flags)  # other tumours: drawn anew
    assert "0 of them from before" in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--spacing", "3,0.8"), "3 numbers from 0.3 to 10"),
        (("--spacing", "3,0.8,x"), "3 numbers from 0.3 to 10"),
        (("--spacing", "3,0,0"), "3 numbers from 0.3 to 10"),
        (("--tumour_ml", "30"), "is no median and spread"),
        (("--tumour_ml", "0.5,1"), "is no median and spread"),
        (("--spacing", "3,0.8,0.9"), "square"),
        (("--labels", "x", "--tumour_ml", "30,1"), "--tumour_ml with --labels"),
        (("--labels", "x", "--first", "1"), "--first with --labels"),
        (("--labels", "/nowhere"), "a KiTS19 tree of label maps"),
    ],
)
def test_bad_flags_are_one_line_and_status_2(tmp_path, flags, words):
    done = run("--out", tmp_path / "out", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
