"""What may be written beside a mask: raw mask, probability, disagreement, trust."""

import json

import nibabel as nib
import numpy as np
import pytest

from tests.inference import known
from tests.inference.test_batch import data, run
from tests.inference.test_segment import ML, SPACING_MM, codes, scan_of
from vnet_jax import load
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.inference import batch
from vnet_jax.inference.case import Keep
from vnet_jax.inference.confidence import STRUCTURES, Calibration
from vnet_jax.inference.ensemble import validated_by
from vnet_jax.inference.postprocess import PostProcessing
from vnet_jax.inference.segment import Segmenter
from vnet_jax.inference.thresholds import (
    UNTUNED,
    Trust,
    changed,
    read_thresholds,
    with_rules,
)
from vnet_jax.runs import folder

__all__ = ["data"]  # a fixture

ALL = Keep(raw=True, probability=True, disagreement=True)


@pytest.fixture
def unsure(runs):
    """A run of phase 2 whose members differ near the classes' borders."""
    config = known.config(2, SPACING_MM, (1, 1, 1), (16, 32, 48), cascade=True)
    members = {1: (0.9, known.variables(2.0)), 2: (0.8, known.variables(40.0))}
    return known.write_run(runs[1].parent / "unsure", config, members)


def test_raw_is_the_mask_before_post_processing(runs, ct):
    ct.array[7:10, 34:36, 20:23] = 150  # a speck, which the rules remove
    got = Segmenter(runs[0], [runs[1]]).segment(scan_of(ct), keep=Keep(raw=True))
    assert (got.stages["raw"][7:10, 34:36, 20:23] == 1).all()
    assert not got.mask[7:10, 34:36, 20:23].any()
    trust = with_rules(UNTUNED, PostProcessing(()))
    kept = Segmenter(runs[0], [runs[1]], trust=trust).segment(scan_of(ct))
    np.testing.assert_array_equal(kept.mask, got.stages["raw"])
    assert kept.summary["ledger"] == []


def test_maps_are_the_ensemble_s_mean_and_its_disagreement(
    data, tmp_path, runs, unsure, ct
):
    segmenter = Segmenter(runs[0], [unsure])
    out = tmp_path / "out"
    assert run(batch.plan(data, out), segmenter, keep=ALL)[0] == []
    p = nib.load(out / "case_00000_probability.nii.gz")
    assert p.shape == (*ct.grid.shape, 2)
    np.testing.assert_allclose(p.affine, ct.grid.affine, atol=1e-5)
    p = p.get_fdata()
    facts = json.loads((out / "case_00000.json").read_text())
    box = np.zeros(ct.grid.shape, bool)
    at = np.linalg.inv(ct.grid.affine) @ np.array(facts["box"]["affine"])
    start = np.rint(at[:3, 3]).astype(int)
    box[tuple(map(slice, start, start + facts["box"]["shape"]))] = True
    assert box.sum() == np.prod(facts["box"]["shape"])
    expected = segmenter.phase2.predict(ct).stages[-1][0][..., 1:]
    np.testing.assert_allclose(p[box], expected[box], atol=1e-5)
    assert (p[~box] == 0).all()
    raw = nib.load(out / "case_00000_raw.nii.gz").get_fdata()
    likeliest = np.concatenate([1 - p.sum(-1, keepdims=True), p], -1).argmax(-1)
    np.testing.assert_array_equal(raw[box], likeliest[box])
    spread = nib.load(out / "case_00000_disagreement.nii.gz").get_fdata()
    assert spread.shape == ct.grid.shape
    assert (spread[~box] == 0).all()
    assert 0.1 < spread.max() <= np.log(2) + 1e-4  # two members
    assert len(facts["outputs"]) == 5


def test_where_phase_1_finds_nothing_the_maps_are_empty(runs, ct):
    ct.array[ct.array > 29] = 0
    got = Segmenter(runs[0], [runs[1]]).segment(scan_of(ct), keep=ALL)
    assert not got.stages["raw"].any()
    assert [len(got.maps[m].volumes) for m in ("probability", "disagreement")] == [2, 1]
    assert not any(v.any() for m in got.maps.values() for v in m.volumes)
    assert got.summary["confidence"]["score"] is None
    assert got.summary["review"] == {"flag": True, "reasons": ["no_kidney"]}


def test_mirrors_change_nothing_for_a_network_that_sees_voxels_alone(runs, ct, truth):
    plain = Segmenter(runs[0], [runs[1]])
    mirrored = Segmenter(runs[0], [runs[1]], flips="xz")
    assert (mirrored.flips, mirrored.options["flips"]) == ((0, 2), "zx")
    got = mirrored.segment(scan_of(ct))
    np.testing.assert_array_equal(got.mask, truth)
    assert codes(got) == ["flips_untrained"]
    same = plain.segment(scan_of(ct)).summary["confidence"]
    assert got.summary["confidence"]["score"] == pytest.approx(same["score"])
    with pytest.raises(ValueError, match="substring"):
        Segmenter(runs[0], [runs[1]], flips="w")


def test_phase_1_may_be_several_runs(runs, ct, truth):
    config = known.config(1, SPACING_MM, (1, 2, 2), (16, 16, 16))
    blind = known.variables(-200.0)  # sees kidneys where none are, but is outvoted
    fold = known.write_run(runs[0].parent / "fold1", config, {4: (0.5, blind)})
    third = known.write_run(
        runs[0].parent / "fold2", config, {4: (0.5, known.variables(150.0))}
    )
    several = Segmenter([runs[0], fold, third], [runs[1]])
    assert [model["steps"] for model in several.models["phase1"]] == [[2], [4], [4]]
    np.testing.assert_array_equal(several.segment(scan_of(ct)).mask, truth)


def test_the_newest_checkpoint_is_chosen_by_nothing(runs):
    models = Segmenter(runs[0], [runs[1]], newest=True).models
    assert models["phase2"][0]["steps"] == [3]  # 2 scored best


def thresholds(tmp_path, **changes):
    facts = {
        "format": 1,
        "postprocess": {"steps": ["hu", "small"], "min_tumour_ml": 64.5 * ML},
        "calibration": {
            "residuals": dict.fromkeys(STRUCTURES, 2.0),
            "review_at_most": 0.99999,
            "cases": 20,
        },
        **changes,
    }
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps(facts))
    return path


def test_thresholds_bring_rules_intervals_and_the_flag(runs, ct, tmp_path):
    segment = load(*runs, thresholds=thresholds(tmp_path))
    mask, facts = segment((ct.array, ct.grid.affine))
    assert 2 not in mask  # the tumour of 64 voxels is too small for these
    assert [e["rule"] for e in facts["ledger"]] == ["small_tumours"]
    low, high = facts["intervals_ml"]["kidney_left"]
    assert low < 800 * ML < high
    assert facts["intervals_ml"]["level"] == 0.9
    assert facts["confidence"]["calibrated"]
    assert facts["confidence"]["score"] <= 1
    assert facts["review"]["flag"] == (facts["confidence"]["score"] <= 0.99999)


def test_other_rules_than_the_calibrated_ones_give_no_interval(tmp_path):
    trust = read_thresholds(thresholds(tmp_path))
    assert with_rules(trust, trust.rules) is trust
    other = with_rules(trust, PostProcessing())
    assert other.calibration is None
    assert other.why_not == "not calibrated for this post-processing"
    assert other.sha256 == trust.sha256
    bare = read_thresholds(thresholds(tmp_path, calibration=None))
    assert bare.calibration is None
    assert "without a calibration" in bare.why_not


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 9}, "format 9, this program reads 1"),
        ({"postprocess": {"steps": ["x"]}}, "no post-processing step 'x'"),
        ({"calibration": {}}, "no thresholds"),
    ],
)
def test_what_is_no_thresholds_file_is_one_line(tmp_path, changes, said):
    with pytest.raises(InputError, match=said) as told:
        read_thresholds(thresholds(tmp_path, **changes))
    assert "bin/tune.py" in str(told.value)
    with pytest.raises(InputError, match="No such file"):
        read_thresholds(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("[]")
    with pytest.raises(InputError, match="no thresholds"):
        read_thresholds(tmp_path / "text.json")


def test_every_option_is_part_of_what_was_done(data, tmp_path, runs):
    jobs = batch.plan(data, tmp_path / "out")[:1]
    small = Trust(PostProcessing(("small",), min_tumour_ml=1.0))
    calibrated = Trust(calibration=Calibration({}, 0.5, 9), sha256="ab")
    variants = [
        {},
        {"flips": "x"},
        {"newest": True},
        {"trust": small},
        {"trust": calibrated},
    ]
    all_options = [Segmenter(runs[0], [runs[1]], **v).options for v in variants]
    assert len({json.dumps(options) for options in all_options}) == len(variants)
    for options in ({"newest": True}, {"newest": True, "trust": small}):
        segmenter = Segmenter(runs[0], [runs[1]], **options)
        assert "skipped" not in run(jobs, segmenter)[1], options
        assert "skipped" in run(jobs, segmenter)[1], options
    assert "skipped" not in run(jobs, segmenter, keep=Keep(raw=True))[1]


def test_what_is_asked_for_changes_what_was_tuned(tmp_path):
    trust = read_thresholds(thresholds(tmp_path))
    assert changed(trust, None, False, {}) is trust
    assert changed(trust, None, True, {}).rules.steps == ()
    other = changed(trust, ["components", " hu"], False, {"cyst_hu": 5.0})
    assert other.rules.steps == ("components", "hu")
    assert other.rules.cyst_hu == 5
    assert other.rules.min_tumour_ml == trust.rules.min_tumour_ml
    assert other.calibration is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((None, True, {"cyst_hu": 5.0}), "--keep_all and flags of post-processing"),
        ((["hu"], True, {}), "--keep_all and flags of post-processing"),
        ((["hu", "hole"], False, {}), "no post-processing step 'hole'"),
        (
            (None, False, {"min_tumour_ml": 1.0}),
            "without the step 'small'; pass --postprocess=components,hu,small",
        ),
        ((None, False, {"second_share": -1.0}), "second_share is -1"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(asked, said):
    with pytest.raises(InputError, match=said):
        changed(UNTUNED, *asked)


def test_only_what_every_run_held_out(data, tmp_path, runs):
    assert validated_by(runs) == {"b"}  # as the known runs' splits say
    config = known.config(2, SPACING_MM, (1, 1, 1), (16, 32, 48))
    other = folder.create(
        tmp_path / "other", config, Splits(("b",), ("a", "c")), synthetic=True
    )
    assert validated_by([*runs, other.path]) == set()
    jobs = batch.plan(data, tmp_path / "out", only={"case_00001", "case_9"})
    assert [job.name for job in jobs] == ["case_00001"]
    with pytest.raises(InputError, match="none of its cases is wanted"):
        batch.plan(data, tmp_path / "out", only=set())
