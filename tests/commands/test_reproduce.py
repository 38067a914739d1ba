"""The program as a user runs it; what it runs itself is tried by the recipe."""

import os
import subprocess
import sys
from pathlib import Path

from tests.training.conftest import write_case

ROOT = Path(__file__).parents[2]


def test_tables_run_nothing(tmp_path):
    """Not even what would be painted or drawn anew: the label maps are not there."""
    for number in range(6):
        write_case(tmp_path / "data", number)
    ended = subprocess.run(
        [
            sys.executable,
            str(ROOT / "bin" / "reproduce.py"),
            f"--config={ROOT / 'configs' / 'reproduce_small.py'}",
            "--config.test=2",
            "--config.phantoms={}",
            *("--labels=nowhere", "--data=data", "--out=out", "--tables"),
        ],
        cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 2, ended.stderr
    assert "scores.json: no scores" in ended.stderr
    assert not (tmp_path / "out" / "logs").exists()
    assert len(list((tmp_path / "data").iterdir())) == 6
