"""The programs themselves, as a user starts them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.inference import known
from vnet_jax import models
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image
from vnet_jax.models.weights import from_state_dict
from vnet_jax.runs.sources import open_weights
from vnet_jax.runs.weight_files import read_weights

BIN = Path(__file__).parents[2] / "bin"
GRID = Grid((16, 16, 16), np.diag([5.0, 4.0, 3.0, 1.0]))
WINDOW = (16, 16, 16)
KIDNEY = "--phase1=runs/phase1", "--phase2=runs/phase2", "--output=kidney.vnet"
LICENCE = "--licence=CC BY-NC-SA 4.0"

#: Runs one command with several command lines in one process, which starts but once.
SEVERAL = """
import contextlib, importlib, io, json, sys
from absl import flags
from vnet_jax import commands
command = importlib.import_module("vnet_jax.commands." + sys.argv[1])
told = []
for given in json.loads(sys.argv[2]):
    flags.FLAGS.unparse_flags()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = commands._status(command.main, flags.FLAGS([sys.argv[1], *given]))
    told.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(told))
"""


def started(place, *argv):
    return subprocess.run(
        [sys.executable, *argv], cwd=place, capture_output=True, text=True, timeout=300
    )


def call(place, name, *flags):
    return started(place, str(BIN / f"{name}.py"), *flags)


def several(place, name, *lines):
    """(exit status, stdout, stderr) of a command for each of several lines of flags."""
    done = started(place, "-c", SEVERAL, name, json.dumps(lines))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a CT, two runs of single V-Nets, and the bundle of both."""
    root = tmp_path_factory.mktemp("bundle")
    hu = np.random.default_rng(0).integers(-200, 300, GRID.shape).astype(np.int16)
    hu[:, :4] = -1000
    write_image(root / "ct.nii.gz", hu, GRID)
    for phase in (1, 2):
        config = known.config(phase, GRID.spacing_mm, (1, 1, 1), WINDOW, width=4)
        values = known.random_variables(models.build(**config.model), WINDOW, phase)
        known.write_run(root / "runs" / f"phase{phase}", config, {5: (0.5, values)})
    done = call(root, "bundle", *KIDNEY, LICENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kidney.vnet: 2 checkpoints, 22.")
    assert "bundle 2/2" in done.stderr
    changed = bytearray((root / "kidney.vnet").read_bytes())
    changed[len(changed) // 2] ^= 1
    (root / "changed.vnet").write_bytes(changed)
    return root


def test_a_mask_from_the_file_alone(place, tmp_path):
    for name in ("kidney.vnet", "ct.nii.gz"):
        shutil.copy(place / name, tmp_path)
    flags = ("--input=ct.nii.gz", "--output=masks", "--device=cpu")
    done = call(tmp_path, "infer", *flags, "--bundle=kidney.vnet")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "masks/ct.nii.gz").exists()
    facts = json.loads((tmp_path / "masks/ct.json").read_text())
    assert facts["models"]["phase1"][0]["run"] == "kidney.vnet/phase1/0"


def test_it_tells_what_it_is_and_verifies(place):
    shown, verified = several(
        place, "bundle", ["--show=kidney.vnet"], ["--verify=kidney.vnet"]
    )
    assert json.loads(shown[1])["licence"] == "CC BY-NC-SA 4.0"
    assert verified[0] == 0 and "every checksum is right" in verified[1]


def test_weights_come_out_of_it(place, tmp_path):
    target = tmp_path / "w.safetensors"
    flags = ("--source=kidney.vnet", "--phase=2", f"--target={target}")
    done = call(place, "convert", *flags)
    assert done.returncode == 0, done.stderr
    jax.tree.map(
        np.testing.assert_array_equal,
        from_state_dict(read_weights(target)),
        open_weights(place / "runs/phase2").variables,
    )


CHANGED = "changed.vnet: is damaged or was changed: its SHA-256 differs"
FAULTS = {
    "bundle": [
        (["--show=changed.vnet"], CHANGED),
        (["--verify=changed.vnet"], CHANGED),
        ([], "nothing to do; pass one of --output, --show and --verify"),
        (["--show=x", "--verify=x"], "--show and --verify to do"),
        (["--output=x.vnet"], "--licence is missing"),
        (["--output=x.zip", LICENCE], "no name of a bundle: .vnet ends it"),
        ([*KIDNEY, LICENCE], "kidney.vnet: is there already"),
        (
            ["--output=x.vnet", LICENCE, "--phase2=runs/phase1"],
            "a run of phase 1, wanted is one of phase 2",
        ),
        (["--output=x.vnet", LICENCE, "--members=0"], "--members is 0"),
    ],
    "infer": [
        (["--input=ct.nii.gz", "--output=x", "--bundle=changed.vnet"], CHANGED),
        (
            ["--input=ct.nii.gz", "--output=x", "--bundle=a", "--phase1=b"],
            "--bundle and --phase1 both name a phase 1; pass one of them",
        ),
        (
            ["--input=ct.nii.gz", "--output=x", "--bundle=a", "--validation_only"],
            "--validation_only with a bundle, which names no cases",
        ),
    ],
    "convert": [
        (
            ["--source=kidney.vnet", "--target=x.npz"],
            "holds two phases; say which: --phase=1 or --phase=2",
        ),
        (
            ["--source=runs/phase1", "--target=x.npz", "--phase=1"],
            "--phase is of a bundle",
        ),
    ],
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_done_is_one_line(place, name):
    told = several(place, name, *[flags for flags, _ in FAULTS[name]])
    for (status, out, err), (_, said) in zip(told, FAULTS[name], strict=True):
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("vnet_jax: ") and said in err
    assert not list(place.glob("x*")) and not list(place.glob(".*"))
