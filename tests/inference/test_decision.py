"""The tumour's weight: in a prediction, and again from what was stored."""

import json

import numpy as np
import pytest

from tests.inference import known
from tests.inference.test_batch import data, run
from tests.inference.test_segment import SPACING_MM, scan_of
from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import read_labels, write_mask, write_scaled
from vnet_jax.errors import InputError
from vnet_jax.inference import batch
from vnet_jax.inference.case import Keep
from vnet_jax.inference.decision import (
    CERTAIN,
    labels_of,
    read_shares,
    weigh_tumour,
    weight_of,
)
from vnet_jax.inference.postprocess import PostProcessing
from vnet_jax.inference.recleaned import clean_folder
from vnet_jax.inference.segment import Segmenter
from vnet_jax.inference.thresholds import UNTUNED, changed, with_rules

__all__ = ["data"]  # a fixture

#: What `Keep` has for a mask that is made anew with another weight.
STORED = Keep(raw=True, probability=True)


def weighed(weight, *steps):
    return with_rules(UNTUNED, PostProcessing(steps, tumour_weight=weight))


@pytest.fixture
def unsure(runs):
    """A run of phase 2 to which tumour and what it borders on are alike."""
    config = known.config(2, SPACING_MM, (1, 1, 1), (16, 32, 48))
    members = {1: (0.9, known.variables(6.0))}
    return known.write_run(runs[1].parent / "unsure", config, members)


def test_the_likeliest_class_by_hand():
    #        sure   tumour less  as much  nothing  rounded up to more than 1
    kidney = np.array([[[65535, 40000, 32768, 0, 32768]]], np.uint16)
    tumour = np.array([[[0, 20000, 32767, 0, 32768]]], np.uint16)
    for weight, expected in (
        (1, [1, 1, 1, 0, 1]),
        (2, [1, 1, 2, 0, 2]),
        (2.1, [1, 2, 2, 0, 2]),
    ):
        got = labels_of(kidney, tumour, weight)
        np.testing.assert_array_equal(got, [[expected]])
    # Against background: 0.3 of tumour, 0.7 of nothing.
    share = np.full((1, 1, 1), round(0.3 * CERTAIN), np.uint16)
    none = np.zeros_like(share)
    assert [labels_of(none, share, w).item() for w in (1, 2, 3)] == [0, 0, 2]
    assert not labels_of(none, none, 4).any()


def test_a_weight_of_one_changes_nothing():
    p = np.random.default_rng(0).dirichlet(np.ones(3), (2, 3, 4)).astype(np.float32)
    same = p.copy()
    weigh_tumour(p, 1.0)
    np.testing.assert_array_equal(p, same)
    weigh_tumour(p, 2.0)
    np.testing.assert_array_equal(p[..., 2], 2 * same[..., 2])
    np.testing.assert_array_equal(p[..., :2], same[..., :2])


def test_a_weight_paints_more_tumour_and_leaves_what_was_stored(runs, unsure, ct):
    got = {
        w: Segmenter(runs[0], [unsure], trust=weighed(w)).segment(
            scan_of(ct), keep=STORED
        )
        for w in (0.5, 1.0, 3.0)
    }
    count = {w: int((one.mask == 2).sum()) for w, one in got.items()}
    assert count[0.5] < count[1.0] < count[3.0]
    plain = got[1.0]
    for w, one in got.items():
        assert one.summary["confidence"] == plain.summary["confidence"]
        for ours, theirs in zip(
            one.maps["probability"].volumes,
            plain.maps["probability"].volumes,
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
        # The same mask comes out of what the plain prediction stored.
        anew = labels_of(*plain.maps["probability"].volumes, w)
        differ = anew != one.stages["raw"]
        assert differ.mean() < 1e-4  # equally likely but for the rounding


def test_masks_are_made_anew_with_another_weight(data, tmp_path, runs, unsure):
    """As `bin/postprocess.py` does: to the voxel what a new prediction would give."""
    out, anew, again = (tmp_path / name for name in ("out", "anew", "again"))
    jobs = batch.plan(data, out)[:1]
    run(jobs, Segmenter(runs[0], [unsure], trust=weighed(1.0)), keep=STORED)
    rules = PostProcessing(("components",), tumour_weight=3.0)
    assert clean_folder(out, data, anew, rules, shown=False) == (1, [])
    run(
        batch.plan(data, again)[:1],
        Segmenter(runs[0], [unsure], trust=with_rules(UNTUNED, rules)),
        keep=STORED,
    )
    masks = [read_labels(at / "case_00000.nii.gz") for at in (anew, again, out)]
    np.testing.assert_array_equal(*(m.volume.array for m in masks[:2]))
    assert (masks[0].volume.array != masks[2].volume.array).any()
    assert weight_of(again / "case_00000.json") == 3
    # What was predicted with 3 and asked for with 3 needs no probabilities.
    (again / "case_00000_probability.nii.gz").unlink()
    assert clean_folder(again, data, tmp_path / "b", rules, shown=False)[1] == []
    _, (told,) = clean_folder(
        again, data, tmp_path / "c", PostProcessing(), shown=False
    )
    assert "there is no case_00000_probability.nii.gz beside it" in told
    assert "--save_probability" in told


@pytest.fixture
def stored(tmp_path, ct):
    """A raw mask with its probabilities, and the volume it holds."""
    raw = np.zeros(ct.grid.shape, np.uint8)
    raw[2:4, 2:4, 2:4] = 1
    share = raw.astype(np.uint16) * 40000
    write_mask(tmp_path / "a_raw.nii.gz", raw, ct.grid)
    write_scaled(
        tmp_path / "a_probability.nii.gz", [share, share // 4], ct.grid, 1 / CERTAIN
    )
    return tmp_path / "a_raw.nii.gz", Volume(raw, ct.grid)


def test_what_was_stored_is_read_back(stored):
    raw, mask = stored
    kidney, tumour = read_shares(raw, mask)
    assert kidney.dtype == tumour.dtype == np.uint16
    np.testing.assert_array_equal(kidney, mask.array * np.uint16(40000))
    np.testing.assert_array_equal(tumour, mask.array * np.uint16(10000))


def test_probabilities_that_do_not_fit_are_one_line(stored):
    raw, mask = stored
    path = raw.with_name("a_probability.nii.gz")
    cysts = Volume(mask.array * np.uint8(3), mask.grid)
    with pytest.raises(InputError, match="has cysts, whose probability is not stored"):
        read_shares(raw, cysts)
    share = mask.array.astype(np.uint16)
    for volumes, said in (([share] * 3, "3 volumes, not 2"), ([share], "1 volumes")):
        write_scaled(path, volumes, mask.grid, 1 / CERTAIN)
        with pytest.raises(InputError, match=said):
            read_shares(raw, mask)
    write_mask(path, mask.array, mask.grid)
    with pytest.raises(InputError, match="1 volumes, not 2"):
        read_shares(raw, mask)
    write_scaled(path, [share, share], mask.grid.downsample((1, 1, 1)), 1 / CERTAIN)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="a_probability"):
        read_shares(raw, mask)
    path.unlink()
    with pytest.raises(InputError, match="there is no a_probability"):
        read_shares(raw, mask)


def test_the_weight_that_a_case_was_predicted_with(tmp_path):
    path = tmp_path / "a.json"
    assert weight_of(path) == 1
    path.write_text(json.dumps({"options": {"postprocess": {}}}))
    assert weight_of(path) == 1
    path.write_text(json.dumps({"options": {"postprocess": {"tumour_weight": 2}}}))
    assert weight_of(path) == 2
    for text in ("[1]", "{", '{"options": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="no summary of a case"):
            weight_of(path)


def test_a_weight_needs_no_step_and_goes_with_keep_all():
    tuned = changed(UNTUNED, None, False, {"tumour_weight": 2.0})
    assert tuned.rules == PostProcessing(tumour_weight=2.0)
    assert changed(tuned, None, True, {}).rules == PostProcessing(())
    kept = changed(tuned, ["components"], False, {})
    assert kept.rules == PostProcessing(("components",), tumour_weight=2.0)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="tumour_weight is"):
            changed(UNTUNED, None, False, {"tumour_weight": wrong})
