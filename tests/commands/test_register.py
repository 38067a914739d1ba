import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "bin" / "register.py"


@pytest.fixture
def files(tmp_path):
    """Flags that would do, but for --out."""
    names = [f"case_{k:05d}" for k in range(4)]
    for name in names:
        (tmp_path / "kits" / name).mkdir(parents=True)
        (tmp_path / "kits" / name / "imaging.nii.gz").touch()
    cases = [{"id": name, "phase2": {"tumour": 0.5}} for name in names]
    (tmp_path / "scores.json").write_text(json.dumps({"cases": cases}))
    folds = {"version": 1, "seed": 0, "folds": [names[:1], names[1:]], "test": []}
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    return {
        "scores": tmp_path / "scores.json",
        "splits": tmp_path / "folds.json",
        "data": tmp_path / "kits",
        "out": tmp_path / "out",
        "hard": 1,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": ""}, "--scores is missing; pass --scores=PATH"),
        ({"roi": "80,240"}, "--roi=80,240 is not z,y,x"),
        ({"spacing": "3,0,1"}, "--spacing=3,0,1 is not z,y,x"),
        ({"labels": "0:0,1"}, "value:class pairs"),
        ({"fold": 2}, "fold 2 is not one of its 2 folds; pass --fold=0 to 1"),
        ({"fold": 1}, "--hard=1 of 1 training cases"),
        ({"hard": 3}, "--hard=3 of 3 training cases; pass 1 to 2"),
        ({"data": "/nowhere"}, "/nowhere: no such folder; pass --data=DIR"),
    ],
)
def test_bad_flags_are_one_line_and_status_2(files, change, words):
    flags = [f"--{name}={value}" for name, value in (files | change).items()]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *flags], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not files["out"].exists()
