import subprocess
import sys
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image, write_mask

PROGRAM = Path(__file__).parents[2] / "bin" / "submit.py"
GRID = Grid((4, 5, 6), np.diag([-3.0, 2.0, 2.0, 1.0]))


def submit(folder, *flags):
    command = [sys.executable, PROGRAM, "--predictions=masks", "--cts=cts", *flags]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_whole_way(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "cts").mkdir()
    write_image(
        tmp_path / "cts/case_00210.nii.gz", np.zeros(GRID.shape, np.int16), GRID
    )
    write_mask(
        tmp_path / "masks/case_00210.nii.gz", np.ones(GRID.shape, np.uint8), GRID
    )
    done = submit(tmp_path)
    assert done.returncode == 2
    assert "89 of 90 predictions are missing: 211 to 299" in done.stderr
    assert not (tmp_path / "predictions.zip").exists()
    done = submit(tmp_path, "--allow_missing")
    assert done.returncode == 0, done.stderr
    assert "1 predictions in predictions.zip" in done.stdout
    assert "missing: 211 to 299" in done.stderr
