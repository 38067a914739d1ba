import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SMALL = ("--config.data.downsample=2,8,8", "--config.sample.shape=32,32,48")


def augment(folder, *flags):
    config = ("--config", str(ROOT / "configs/phase2_strong.py"))
    command = [sys.executable, str(ROOT / "bin/augment.py"), *config, *flags]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder
    )


@pytest.mark.slow
def test_it_draws_a_phantom(tmp_path):
    spacing = "--config.data.spacing_mm=3,1.75,1.75"
    done = augment(tmp_path, "--phantom", "--out=seen.png", spacing, *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "18 views of case_00000 in seen.png"
    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.height > 500
    assert [path.name for path in tmp_path.iterdir()] == ["seen.png"]


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        (
            "--config.augment.elastic_mm=30",
            "config.augment: elastic_mm 30.0, not from 0",
        ),
        ("--out=seen.jpg", "seen.jpg: no .png in a folder that is there"),
    ],
)
def test_bad_input_is_one_line(tmp_path, flag, told):
    done = augment(tmp_path, "--phantom", flag)
    assert done.returncode == 2
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
