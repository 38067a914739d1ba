import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_mask

ROOT = Path(__file__).parents[2]
GRID = Grid((6, 8, 10), np.diag([-3.0, 2.0, 2.0, 1.0]))


def evaluate(*arguments):
    command = [sys.executable, ROOT / "bin" / "evaluate.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folders(tmp_path):
    """Two labels; the first has a perfect prediction, the second has none."""
    label = np.zeros(GRID.shape, np.uint8)
    label[1:4, 2:6, 2:6] = 1
    label[1:3, 2:4, 2:4] = 2
    labels, masks = tmp_path / "labels with ä", tmp_path / "masks"
    for folder in (labels, masks):
        folder.mkdir()
    for name in ("case_00000", "case_00001"):
        write_mask(labels / f"{name}.nii.gz", label, GRID)
    write_mask(masks / "case_00000.nii.gz", label, GRID)
    out = tmp_path / "out"
    return label, masks, out, ["--predictions", masks, "--labels", labels, "--out", out]


def test_a_missing_prediction_is_listed_and_ends_with_2(folders):
    _, _, out, arguments = folders
    done = evaluate(*arguments)
    assert done.returncode == 2
    assert "no prediction for case_00001" in done.stderr
    scores = json.loads((out / "scores.json").read_text())
    assert scores["missing"] == ["case_00001"]
    assert scores["summary"]["phase2"]["tumour"]["mean"] == 1.0
    assert "Traceback" not in done.stderr
    assert evaluate(*arguments, "--allow_missing").returncode == 0


def test_complete_predictions_end_with_0_and_print_the_means(folders):
    label, masks, out, arguments = folders
    for name in ("case_00001", "case_00210"):
        write_mask(masks / f"{name}.nii.gz", np.minimum(label, 1), GRID)
    done = evaluate(*arguments)
    assert done.returncode == 0
    assert "0.500 (0.000 to 1.000)" in done.stdout  # tumour: 1 and 0
    assert "1 predictions without a label" in done.stderr
    assert (out / "distribution.png").exists()


def test_a_damaged_prediction_fails_alone(folders):
    _, masks, out, arguments = folders
    (masks / "case_00001.nii.gz").write_bytes(b"")
    done = evaluate(*arguments, "--allow_missing")
    assert done.returncode == 2
    assert "case_00001.nii.gz" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(json.loads((out / "scores.json").read_text())["cases"]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--labels", "nowhere"], "nowhere: no such folder"),
        (["--predictions", "nowhere"], "nowhere: no such folder"),
        (["--label_classes", "0:0,1:kidney"], "'1:kidney' is not value:class"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(folders, change, said):
    _, _, out, arguments = folders
    done = evaluate(*arguments, *change)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not out.exists()


def test_label_classes_map_cysts_to_kidney(folders):
    label, _, out, arguments = folders
    with_cyst = label.copy()
    with_cyst[3, 5, 5] = 3
    write_mask(Path(arguments[3]) / "case_00000.nii.gz", with_cyst, GRID)
    done = evaluate(*arguments, "--allow_missing", "--label_classes=0:0,1:1,2:2,3:1")
    assert done.returncode == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["cases"][0]["phase2"]["kidney"] == 1.0


def test_what_the_choices_were_made_on_stands_beside_the_scores(folders):
    _, masks, out, arguments = folders
    label = masks / "case_00000.nii.gz"
    for name in ("raw", "probability", "disagreement"):  # as infer leaves them there
        (masks / f"case_00000_{name}.nii.gz").write_bytes(label.read_bytes())
    done = evaluate(*arguments, "--allow_missing", "--chosen_on", "same cases")
    assert done.returncode == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["chosen_on"] == "same cases"
    assert scores["extra"] == []
    assert "chosen on: same cases." in (out / "tables.md").read_text()
