"""The program itself, as a user starts it."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vnet_jax.models.monai import Layout, entries
from vnet_jax.models.weights import from_state_dict
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.weight_files import read_weights, write_weights

ROOT = Path(__file__).parents[2]
CONFIG = f"--config={ROOT / 'configs/phase1.py'}"


def convert(place, *flags):
    return subprocess.run(
        [sys.executable, str(ROOT / "bin/convert.py"), *map(str, flags)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def place(tmp_path):
    """A folder with the weights of a V-Net of width 4."""
    rng = np.random.default_rng(0)
    layout = Layout(False, 1, 4, 3, "prelu")
    arrays = {e.name: rng.random(e.shape, np.float32) for e in entries(layout)}
    write_weights(tmp_path / "weights.npz", arrays)
    return tmp_path


def test_a_file_becomes_a_run_and_a_file_again(place):
    flags = (CONFIG, "--config.sample.shape=16,16,16", "--synthetic")
    done = convert(place, "--source=weights.npz", "--target=run", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "run: phase 1, V-Net of width 4 with 3 classes and prelu, step 0",
        "model.activation was elu, is prelu as in the weights",
        "model.width was 16, is 4 as in the weights",
    ]
    run = RunFolder(place / "run")
    assert run.synthetic and run.config.sample.shape == (16, 16, 16)
    jax.tree.map(
        np.testing.assert_array_equal,
        run.checkpoints.variables(0),
        from_state_dict(read_weights(place / "weights.npz")),
    )
    again = convert(place, "--source=run", "--target=again.npz", "--step=0")
    assert again.returncode == 0, again.stderr
    assert "convert it back with --synthetic" in again.stdout
    back = read_weights(place / "again.npz")
    for name, array in read_weights(place / "weights.npz").items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--source=weights.npz", "--target=run"],
            "neither phase nor spacing nor wind",
        ),
        (
            ["--source=weights.npz", "--target=weights.npz"],
            "weights.npz: is there already; remove it or pass another --target",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(place, flags, said):
    done = convert(place, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and said in done.stderr
    assert [path.name for path in place.iterdir()] == ["weights.npz"]
