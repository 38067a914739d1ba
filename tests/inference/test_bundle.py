"""A bundle segments as its runs do, where the runs are not."""

import shutil

import numpy as np
import pytest

from vnet_jax import load
from vnet_jax.errors import InputError
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.packing import write_bundle


def pack(path, runs, **changes):
    phase1, *phase2 = map(RunFolder, runs)
    write_bundle(path, [phase1], phase2, licence="CC0-1.0", **changes)
    return path


@pytest.fixture
def bundle(runs, tmp_path):
    return pack(tmp_path / "kidney.vnet", runs)


@pytest.mark.parametrize("fast", [False, True])
def test_the_masks_are_the_run_folders_own(bundle, runs, ct, fast):
    image = (ct.array, ct.grid.affine)
    mask, summary = load(*runs, fast=fast)(image)
    shutil.rmtree(runs[0].parent)
    packed, told = load(bundle, fast=fast)(image)
    np.testing.assert_array_equal(packed, mask)
    assert packed.any() and told["trained_on_synthetic"]
    for was, now in [
        (summary["models"]["phase1"], told["models"]["phase1"]),
        *zip(summary["models"]["phase2"], told["models"]["phase2"], strict=True),
    ]:
        assert now.pop("run").startswith(f"{bundle}/phase")
        was.pop("run")
        assert now == was


def test_a_folder_is_no_bundle(runs):
    with pytest.raises(InputError, match="phase1: a folder, no bundle; give a bundle"):
        load(runs[0])


def test_thresholds_are_not_passed_over(runs, tmp_path):
    (tmp_path / "t.json").write_text('{"steps": []}')
    extras = {"thresholds": tmp_path / "t.json"}
    with pytest.raises(InputError, match="holds thresholds, and this version has no"):
        load(pack(tmp_path / "kidney.vnet", runs, extras=extras))
