import itertools
import json

import nibabel as nib
import numpy as np
import pytest

from tests.inference import known
from vnet_jax import load
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.nifti import ct_from, read_labels, write_image, write_mask
from vnet_jax.ct.resample import block_mean, to_spacing
from vnet_jax.errors import InputError
from vnet_jax.inference import roi
from vnet_jax.inference.case import Keep
from vnet_jax.inference.ensemble import Ensemble
from vnet_jax.inference.kidneys import locate
from vnet_jax.inference.segment import Segmenter
from vnet_jax.models.conv import quick_dtype
from vnet_jax.scores.coverage import coverage
from vnet_jax.scores.dice import kits19

SPACING_MM = (5.0, 3.0, 2.5)  # of the fixtures
ML = 0.0375  # of a voxel


def codes(result):
    return [warning["code"] for warning in result.summary["warnings"]]


def scan_of(volume):
    return ct_from((volume.array, volume.grid.affine))


@pytest.fixture
def segmenter(runs):
    return Segmenter(runs[0], [runs[1]])


def test_the_mask_is_the_known_network_s_answer(segmenter, ct, truth):
    got = segmenter.segment(scan_of(ct), keep=Keep(stages=True))
    np.testing.assert_array_equal(got.mask, truth)
    assert got.mask.dtype == np.uint8
    np.testing.assert_array_equal(got.stages["stage1"], truth)
    facts = got.summary
    assert facts["status"] == "ok"
    assert facts["warnings"] == []
    assert facts["ledger"] == []
    # Both kidneys are 10 x 10 x 8 voxels, 64 of the right one a tumour.
    assert facts["volumes_ml"] == pytest.approx(
        {
            "kidney_left": 800 * ML,
            "kidney_left_with_tumour": 800 * ML,
            "kidney_right": 736 * ML,
            "kidney_right_with_tumour": 800 * ML,
            "tumour": 64 * ML,
        }
    )
    (tumour,) = facts["tumours"]
    assert tumour["side"] == "right"
    assert tumour["mean_hu"] == pytest.approx(60, abs=4)
    assert tumour["diameter_mm"] == pytest.approx(np.sqrt(15**2 + 9**2 + 7.5**2))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert list(facts["timings_s"]) == [
        *("resample", "phase1", "mask", "phase2", "confidence"),
        *("postprocess", "measure"),
    ]


def turned(volume, order, flips):
    """The same voxels at the same places, with other axes."""
    turn = tuple(slice(None, None, f) for f in flips)
    last = np.array(volume.grid.shape) - 1
    affine = volume.grid.affine @ np.diag([*flips, 1.0])
    affine[:3, 3] = volume.grid.to_mm(np.where(np.array(flips) < 0, last, 0))
    grid = Grid(
        [volume.grid.shape[a] for a in order],
        np.column_stack([affine[:, a] for a in (*order, 3)]),
    )
    return Volume(volume.array[turn].transpose(order), grid)


def test_the_48_orientations_give_the_same_mask_in_the_world(segmenter, ct, truth):
    reference = segmenter.segment(scan_of(ct)).summary
    phases = (segmenter.phase1, segmenter.phase2)
    compiled = [phase.predictors[0].compiled for phase in phases]
    seen = set()
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            volume = turned(ct, order, flips)
            seen.add(volume.grid.axis_codes)
            got = segmenter.segment(scan_of(volume))
            expected = turned(Volume(truth, ct.grid), order, flips).array
            np.testing.assert_array_equal(got.mask, expected)
            assert got.summary["volumes_ml"] == pytest.approx(reference["volumes_ml"])
            for a, b in zip(got.summary["tumours"], reference["tumours"], strict=True):
                assert a["side"] == b["side"]
                assert a["centre_mm"] == pytest.approx(b["centre_mm"])
    assert len(seen) == 48
    assert compiled == [phase.predictors[0].compiled for phase in phases]  # once each


@pytest.mark.parametrize("spacing_mm", [(2.5, 2.0, 1.3), (7.0, 1.5, 1.5), (5, 3, 3.1)])
def test_another_spacing_gives_the_same_place(segmenter, ct, spacing_mm):
    fine = to_spacing(ct, spacing_mm, "linear")
    got = segmenter.segment(scan_of(fine))
    expected = np.select([fine.array >= 100, fine.array >= 30], [1, 2])
    # Resampled twice the borders blur, but what lies between them must not move.
    assert kits19(got.mask, expected)["kidney"] > 0.9
    middle = fine.grid.shape[2] // 2
    for side in (slice(0, middle), slice(middle, None)):
        found, true = (
            np.argwhere(mask[..., side]).mean(axis=0) for mask in (got.mask, expected)
        )
        # Voxel corners taken for centres would show as half a voxel.
        assert np.abs(found - true).max() < 0.25


def test_an_oblique_ct_comes_back_in_its_own_grid(segmenter, ct, truth):
    angle = np.radians(8)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tilted = Volume(ct.array, Grid(ct.grid.shape, turn @ ct.grid.affine))
    got = segmenter.segment(scan_of(tilted)).mask
    assert got.shape == truth.shape
    assert (
        2 * np.sum((got > 0) & (truth > 0)) / (np.sum(got > 0) + np.sum(truth > 0))
        > 0.9
    )


def test_no_kidney_is_an_empty_mask_and_no_error(segmenter, ct):
    ct.array[ct.array > 29] = 0
    got = segmenter.segment(scan_of(ct), keep=Keep(stages=True))
    assert not got.mask.any()
    assert got.summary["status"] == "no_kidney"
    assert got.summary["box"] is None
    assert got.summary["tumours"] == []
    assert set(got.stages) == {"phase1", "stage1"}
    assert not got.stages["stage1"].any()
    json.dumps(got.summary, allow_nan=False)


def test_a_kidney_cut_by_the_picture_is_marked(segmenter, ct, truth):
    # The picture now ends with the 13th slice, in the middle of both kidneys.
    cut = Volume(ct.array[:13], ct.grid.crop((0, 0, 0), (13, 40, 48)))
    got = segmenter.segment(scan_of(cut))
    np.testing.assert_array_equal(got.mask, truth[:13])
    assert got.summary["status"] == "incomplete"
    assert codes(got)[-1] == "incomplete"


@pytest.mark.parametrize("shape", [(16, 16, 16), (4, 5, 6), (2, 40, 48)])
def test_volumes_smaller_than_the_windows(segmenter, ct, truth, shape):
    start = (8, 0, 0) if shape[2] == 48 else (8, 14, 9)
    part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    small = np.ascontiguousarray(ct.array[part])
    small[0, 0, :3] = -1000, -100, 0  # so that it reads as a CT
    small[-1, -1, -1] = 1500
    grid = ct.grid.crop(start, small.shape)
    got = segmenter.segment(scan_of(Volume(small, grid)))
    expected = truth[part].copy()
    expected[0, 0, :3] = 0
    expected[-1, -1, -1] = got.mask[-1, -1, -1]
    np.testing.assert_array_equal(got.mask, expected)


def test_a_foreground_larger_than_the_window_is_tiled_and_said(runs, ct, truth):
    small = known.config(2, SPACING_MM, (1, 1, 1), (16, 16, 16), cascade=True)
    run = known.write_run(
        runs[1].parent / "small", small, {1: (0.5, known.variables())}
    )
    got = Segmenter(runs[0], [run]).segment(scan_of(ct))
    np.testing.assert_array_equal(got.mask, truth)
    assert codes(got) == ["roi_tiled"]


def test_a_kidney_that_the_box_cuts_is_incomplete(runs, ct, truth, tmp_path):
    """The given kidneys end at slice 8, the box at 16, the left kidney at 17 of 24."""
    start = np.zeros_like(truth)
    start[6:8] = truth[6:8]
    write_mask(tmp_path / "top.nii.gz", start, ct.grid)
    alone = Segmenter(None, [runs[1]])
    got = alone.segment(scan_of(ct), read_labels(tmp_path / "top.nii.gz"))
    assert not got.mask[16:].any() and truth[16:].any()
    assert codes(got) == ["box_cut"]
    (warning,) = got.summary["warnings"]
    assert "(lower face)" in warning["text"]
    assert got.summary["status"] == "incomplete"
    assert got.summary["review"]["reasons"] == ["box_cut"]


def test_a_phantom_of_water_is_no_abdomen(segmenter, ct):
    ct.array[ct.array > -500] = 0
    got = segmenter.segment(scan_of(ct))
    assert codes(got) == ["input", "not_abdomen"]  # its HU are few, too
    assert got.summary["review"]["reasons"] == ["no_kidney", "not_abdomen"]


def test_phase_1_leaves_out_components_that_do_not_count(segmenter, ct, truth):
    ct.array[20:22, 4:6, 4:6] = 150  # 8 voxels: below 5 % of a kidney
    got = segmenter.segment(scan_of(ct), keep=Keep(stages=True))
    np.testing.assert_array_equal(got.mask, truth)
    assert not got.stages["phase1"][20:22, 4:6, 4:6].any()
    assert got.stages["phase1"][8, 20, 35] == 1
    # The box is as if the speck were not there: 16 slices around slices 6 to 16, so
    # the speck in slices 20 and 21 is outside it and phase 2 never sees it.
    assert got.summary["box"]["shape"] == [16, 32, 48]
    assert got.stages["stage1"][20:22].max() == 0


def test_a_cyst_and_a_speck_are_in_the_ledger(segmenter, ct, truth):
    ct.array[8:12, 16:20, 10:14] = 5
    ct.array[7:10, 34:36, 20:23] = 150
    got = segmenter.segment(scan_of(ct))
    rules = [entry["rule"] for entry in got.summary["ledger"]]
    assert rules == ["largest_components"]  # 5 HU is background for this network
    assert got.summary["ledger"][0]["ml"] == pytest.approx(18 * ML)
    assert got.summary["ledger"][0]["mean_hu"] == pytest.approx(150)


def test_no_contrast_is_a_warning(segmenter, ct, monkeypatch):
    monkeypatch.setattr("vnet_jax.inference.summary.CONTRAST_HU", 200.0)
    got = segmenter.segment(scan_of(ct))
    assert codes(got) == ["no_contrast"]
    assert got.summary["status"] == "ok"


def test_another_program_s_kidneys_replace_phase_1(runs, ct, truth, tmp_path):
    # On its own axes, with a speck that the rule of components leaves out.
    rough = np.zeros_like(truth)
    rough[6:17, 14:25, 8:40] = truth[6:17, 14:25, 8:40] > 0
    rough[23, 39, 47] = 1
    other = turned(Volume(rough, ct.grid), (2, 0, 1), (1, -1, 1))
    write_mask(tmp_path / "k.nii.gz", other.array, other.grid)
    kidneys = read_labels(tmp_path / "k.nii.gz")
    got = Segmenter(None, [runs[1]]).segment(
        scan_of(ct), kidneys, keep=Keep(stages=True)
    )
    np.testing.assert_array_equal(got.mask, truth)
    assert set(got.stages) == {"stage1"}
    assert got.summary["models"]["phase1"] == []
    with pytest.raises(InputError, match="kidney mask"):
        Segmenter(None, [runs[1]]).segment(scan_of(ct))


def test_kidneys_outside_the_ct_are_refused(segmenter, ct, truth, tmp_path):
    far = Grid(truth.shape, ct.grid.affine + np.outer([500, 0, 0, 0], [0, 0, 0, 1]))
    write_mask(tmp_path / "k.nii.gz", truth, far)
    with pytest.raises(InputError, match="outside the CT"):
        segmenter.segment(scan_of(ct), read_labels(tmp_path / "k.nii.gz"))
    write_mask(tmp_path / "k.nii.gz", 0 * truth, ct.grid)
    got = segmenter.segment(scan_of(ct), read_labels(tmp_path / "k.nii.gz"))
    assert got.summary["status"] == "no_kidney"


def test_the_box_covers_the_foreground_and_lies_in_the_volume(segmenter, ct, truth):
    box = segmenter.segment(scan_of(ct)).summary["box"]
    grid = Grid(tuple(box["shape"]), np.array(box["affine"]))
    assert coverage(truth, ct.grid, grid) == 1
    assert roi.lay_over(grid, ct.grid)[1] == grid.shape


def test_locate_gives_phase_1_s_box_to_training(segmenter, ct, truth):
    image = block_mean(ct, (1, 2, 2))
    predictor = segmenter.phase1.predictors[0]
    region = locate(predictor, [known.variables()], image)
    assert coverage(truth, ct.grid, region) == 1
    image.array[...] = 0
    assert locate(predictor, [known.variables()], image) is None


def test_the_ensemble_is_the_mean_of_its_members(runs, ct):
    both = Ensemble([runs[1]], 2)
    assert both.identity()[0]["steps"] == [2, 3, 1]  # best first
    ((_, _), (got, _)) = both.predict(ct).stages
    p = both.predictors[0]
    alone = [p.softmax(known.variables(g), ct)[1][0] for g in (100, 150, 200)]
    np.testing.assert_allclose(got, np.mean(alone, axis=0), atol=1e-6)
    (_, (fast, _)) = Ensemble([runs[1]], 2, 1).predict(ct).stages
    np.testing.assert_array_equal(fast, p.softmax(known.variables(200), ct)[1][0])


def test_phase_1_and_fast_use_the_best_checkpoint_alone(runs):
    models = Segmenter(runs[0], [runs[1]], fast=True).models
    assert models["phase1"][0]["steps"] == [2]
    assert models["phase2"][0]["steps"] == [2]
    assert len(Segmenter(runs[0], [runs[1]]).models["phase2"][0]["steps"]) == 3


def test_the_dtype_is_the_trained_one_unless_asked_otherwise(runs):
    def computed_in(**dtype):
        return Segmenter(runs[0], [runs[1]], **dtype).dtype

    assert computed_in() is None
    assert computed_in(dtype="bfloat16") == "bfloat16"
    assert computed_in(dtype="auto") == quick_dtype()
    with pytest.raises(ValueError, match="float16"):
        computed_in(dtype="float16")


def test_several_runs_are_averaged_by_member(runs, ct):
    one = known.config(2, SPACING_MM, (1, 1, 1), (16, 32, 48))  # no cascade
    run = known.write_run(runs[1].parent / "b", one, {7: (0.1, known.variables(1.0))})
    several = Ensemble([runs[1], run], 2)
    assert several.stages == 1  # only the last stage is common
    ((got, _),) = several.predict(ct).stages
    p = several.predictors[1]
    alone = [p.softmax(known.variables(g), ct)[0][0] for g in (100, 150, 200, 1)]
    np.testing.assert_allclose(got, np.mean(alone, axis=0), atol=1e-6)


def test_runs_on_different_grids_are_refused(runs):
    other = known.config(2, (5.0, 3.0, 2.0), (1, 1, 1), (16, 32, 48), cascade=True)
    run = known.write_run(runs[1].parent / "c", other, {1: (0.1, known.variables())})
    with pytest.raises(InputError, match=r"data.spacing_mm is \(5.0, 3.0, 2.0\)"):
        Segmenter(runs[0], [runs[1], run])


def test_runs_of_the_wrong_phase_or_none_are_refused(runs, tmp_path):
    with pytest.raises(InputError, match="a run of phase 2, wanted is one of phase 1"):
        Segmenter(runs[1], [runs[1]])
    with pytest.raises(InputError, match=r"no run.*train"):
        Segmenter(runs[0], [tmp_path / "nothing"])
    config = known.config(1, SPACING_MM, (1, 1, 1), (16, 16, 16))
    untrained = known.write_run(tmp_path / "untrained", config, {})
    with pytest.raises(InputError, match=r"no checkpoint.*train"):
        Segmenter(untrained, [runs[1]])


def test_load_takes_a_path_an_image_or_an_array(runs, ct, truth, tmp_path):
    segment = load(*runs)
    path = tmp_path / "ein CT ä.nii.gz"
    write_image(path, ct.array, ct.grid)
    mask, summary = segment(str(path))
    np.testing.assert_array_equal(mask, truth)
    assert summary["input"]["path"] == str(path)
    for image in (nib.load(path), (ct.array, ct.grid.affine)):
        other, facts = segment(image)
        np.testing.assert_array_equal(other, mask)
        assert facts["volumes_ml"] == summary["volumes_ml"]
    assert summary["trained_on_synthetic"]
    assert summary["notice"] == "trained on synthetic CTs"


def test_models_that_saw_a_real_ct_bear_no_mark(runs, tmp_path):
    config = known.config(2, SPACING_MM, (1, 1, 1), (16, 32, 48))
    members = {1: (0.5, known.variables())}
    real = known.write_run(tmp_path / "real", config, members, synthetic=False)
    assert not Segmenter(None, [real]).synthetic
    assert Segmenter(runs[0], [real]).synthetic  # phase 1 has never seen one


def test_the_ct_is_not_modified(segmenter, ct):
    before = ct.array.copy()
    scan = scan_of(ct)
    segmenter.segment(scan)
    np.testing.assert_array_equal(scan.volume.array, before)


def test_a_real_network_goes_the_whole_way(tmp_path, ct):
    """Random weights find what they find; shapes, summary and caches must be right."""
    from vnet_jax import models

    paths = []
    for phase in (1, 2):
        window = (16, 32, 32)
        config = known.config(phase, SPACING_MM, (1, 1, 1), window, width=4)
        values = known.random_variables(models.build(**config.model), window)
        paths.append(known.write_run(tmp_path / str(phase), config, {5: (0.1, values)}))
    got = Segmenter(paths[0], [paths[1]]).segment(scan_of(ct), keep=Keep(stages=True))
    assert got.mask.shape == ct.array.shape
    assert got.mask.max() <= 2
    json.dumps(got.summary, allow_nan=False)


def test_every_window_is_told(segmenter, ct):
    told = []
    segmenter.segment(scan_of(ct), tell=lambda *step: told.append(step))
    # Phase 1: 24 x 20 x 24 voxels under windows of 16: two an axis. Phase 2: one window
    # and three members.
    assert told[:8] == [("phase 1", i, 8) for i in range(1, 9)]
    assert told[8:] == [("phase 2", i, 3) for i in range(1, 4)]
