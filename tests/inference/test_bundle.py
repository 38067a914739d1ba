"""A bundle segments as its runs do, where the runs are not."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from vnet_jax import load
from vnet_jax.errors import InputError
from vnet_jax.inference.postprocess import PostProcessing
from vnet_jax.inference.segment import Segmenter
from vnet_jax.runs.bundle import open_bundle
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
    for phase in ("phase1", "phase2"):
        (was,), (now,) = summary["models"][phase], told["models"][phase]
        was.pop("run")
        assert now.pop("run") == f"{bundle}/{phase}/0"
        assert now == was


def test_a_folder_is_no_bundle(runs):
    with pytest.raises(InputError, match="phase1: a folder, no bundle; give a bundle"):
        load(runs[0])


def test_thresholds_in_a_bundle_are_those_of_the_file(runs, ct, tmp_path):
    given = tmp_path / "t.json"
    rules = PostProcessing(("small",), min_tumour_ml=1e6)
    facts = {"format": 1, "postprocess": rules.as_dict()}
    facts |= {"calibration": None, "models": []}
    given.write_text(json.dumps(facts))
    image = (ct.array, ct.grid.affine)
    wanted, _ = load(*runs, thresholds=given)(image)
    untuned, _ = load(*runs)(image)
    bundle = pack(tmp_path / "kidney.vnet", runs, extras={"thresholds": given})
    found = load(bundle)
    np.testing.assert_array_equal(found(image)[0], wanted)
    assert (wanted != untuned).any()
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    assert found.segmenter.options["thresholds_sha256"] == digest
    other = load(bundle, thresholds=given).segmenter.options
    assert other == found.segmenter.options


def test_thresholds_that_are_none(runs, tmp_path):
    (tmp_path / "t.json").write_text('{"steps": []}')
    extras = {"thresholds": tmp_path / "t.json"}
    with pytest.raises(InputError, match=r"kidney.vnet/thresholds.json: no thresholds"):
        load(pack(tmp_path / "kidney.vnet", runs, extras=extras))


def test_the_newest_checkpoint_only_where_it_was_packed(runs, tmp_path):
    all_of_it = open_bundle(pack(tmp_path / "a.vnet", runs)).phase2
    (model,) = Segmenter(None, all_of_it, newest=True).models["phase2"]
    (wanted,) = Segmenter(None, runs[1:], newest=True).models["phase2"]
    assert model["sha256"] == wanted["sha256"] and model["steps"] == [3]
    best = open_bundle(pack(tmp_path / "b.vnet", runs, members=1)).phase2
    said = "b.vnet/phase2/0: its newest checkpoint, step 3, is not in the bundle"
    with pytest.raises(InputError, match=said):
        Segmenter(None, best, newest=True)
