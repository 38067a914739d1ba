import json

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.nifti import write_image, write_mask, write_scaled
from vnet_jax.data.files import write_json
from vnet_jax.data.splits import split, write_splits
from vnet_jax.errors import InputError
from vnet_jax.experiments import tuning
from vnet_jax.experiments.tuning_cases import find_sources, folds_of, volumes
from vnet_jax.inference.decision import CERTAIN
from vnet_jax.inference.measure import all_volumes_ml
from vnet_jax.inference.postprocess import PAPER, PostProcessing, clean
from vnet_jax.inference.thresholds import read_thresholds
from vnet_jax.reports.tuning import as_markdown
from vnet_jax.scores.dice import kits19

#: As KiTS stores it, and large enough for two kidneys 60 mm apart.
GRID = Grid(
    (10, 16, 30),
    np.array([[0, 0, -4.0, 60], [0, -4.0, 0, 30], [-4.0, 0, 0, 20], [0, 0, 0, 1]]),
)


def case(i):
    """Two kidneys; a tumour of 40 HU, and a cyst of 18 HU that was taken for one."""
    truth = np.zeros(GRID.shape, np.uint8)
    truth[2:8, 4:10, 3:9] = 1
    truth[2:8, 4:10, 21:27] = 1
    truth[3:6, 5:8, 4:7] = 2
    hu = np.full(GRID.shape, -1000, np.int16)
    hu[:, 2:14, 1:29] = 30
    hu[truth == 1] = 180
    hu[truth == 2] = 40 + i
    hu[4:6, 5:8, 22:25] = 18
    raw = truth.copy()
    raw[4:6, 5:8, 22:25] = 2
    raw[0, 2, 2 : 3 + i % 3] = 1  # a speck
    return hu, truth, raw


@pytest.fixture
def folders(tmp_path):
    """(predictions, data) of 10 cases with summaries."""
    data, oof = tmp_path / "data", tmp_path / "oof"
    for i in range(10):
        name = f"case_{i:05d}"
        hu, truth, raw = case(i)
        (data / name).mkdir(parents=True)
        oof.mkdir(exist_ok=True)
        write_image(data / name / "imaging.nii.gz", hu, GRID)
        write_mask(data / name / "segmentation.nii.gz", truth, GRID)
        write_mask(oof / f"{name}_raw.nii.gz", raw, GRID)
        score = {"kidney": 0.9, "tumour": 0.5 + i / 50, "score": 0.7 + i / 100}
        facts = {
            "confidence": score,
            "models": {"phase2": [{"sha256": f"model {i % 2}"}]},
            "trained_on_synthetic": True,
            "options": {"newest": False},
        }
        write_json(oof / f"{name}.json", facts)
    return oof, data


def add_probabilities(oof, missing=()):
    """Kidney 0.6 and tumour 0.4 in the truth's tumour: the argmax calls it kidney."""
    for i in range(10):
        _, truth, raw = case(i)
        raw[truth == 2] = 1
        kidney = (raw == 1) * np.uint16(CERTAIN)
        tumour = (raw == 2) * np.uint16(CERTAIN)
        kidney[truth == 2], tumour[truth == 2] = 39321, 26214
        name = f"case_{i:05d}"
        write_mask(oof / f"{name}_raw.nii.gz", raw, GRID)
        if i not in missing:
            path = oof / f"{name}_probability.nii.gz"
            write_scaled(path, [kidney, tumour], GRID, 1 / CERTAIN)


def tuned(folders, **options):
    sources = find_sources(*folders)
    folds = folds_of([s.id for s in sources], (), 5, 0)
    return tuning.tune(sources, folds, **options)


def test_the_grid_begins_with_the_paper_and_repeats_nothing():
    grid = tuning.grid()
    assert grid[0] == PAPER
    assert len(set(grid)) == len(grid) == 6 * 9 * 6 * 2 * 5
    assert PostProcessing(()) in grid
    assert len(tuning.grid((1.0,))) == 6 * 9 * 6 * 2


def test_a_tie_goes_to_the_setting_nearer_to_the_paper():
    means = np.array([[0.5, 0.7, 0.7 + 1e-12], [0.5, 0.7, 0.7]])
    assert tuning.choose(means) == 1
    assert tuning.choose(np.full((3, 4), 0.9)) == 0


def test_cross_fitting_by_hand():
    # Setting 1 is best for the first fold, setting 2 for the second.
    means = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1.0]])
    np.testing.assert_array_equal(
        tuning.cross_fit(means, [7, 7, 9, 9]),
        [2, 2, 1, 1],  # each fold gets what the other chose
    )


def test_what_is_chosen_on_noise_is_too_good_and_cross_fitted_is_not():
    rng = np.random.default_rng(0)
    same, crossed = [], []
    for _ in range(200):
        means = rng.normal(size=(20, 30))  # no setting is better than another
        same.append(means[:, tuning.choose(means)].mean())
        chosen = tuning.cross_fit(means, np.arange(20) % 5)
        crossed.append(means[np.arange(20), chosen].mean())
    assert np.mean(same) > 0.3
    assert abs(np.mean(crossed)) < 0.05


def test_a_better_threshold_is_found_and_scored_both_ways(folders, tmp_path):
    facts, failures = tuned(folders)
    assert failures == []
    # 15 HU leaves the false tumour of 18, 20 does not; all else ties.
    assert facts["postprocess"] == PostProcessing(cyst_hu=20).as_dict()
    scores = facts["scores"]
    assert scores["tuned"]["chosen_on"] == "same cases"
    assert scores["tuned_cross_fitted"]["chosen_on"] == "cross-fitted"
    assert scores["tuned_cross_fitted"]["mean"]["mean"] == 1.0
    assert scores["none"]["kidney"]["mean"] < 1  # the specks
    hu, truth, raw = case(0)
    expected = kits19(clean(raw, hu, GRID)[0], truth)["tumour"]
    assert scores["paper"]["tumour"]["mean"] == pytest.approx(expected)
    assert facts["models"] == ["model 0", "model 1"]
    report = as_markdown(facts)
    assert "| tuned " in report
    for said in ("same cases", "cross-fitted", "below 20 HU", "synthetic"):
        assert said in report
    write_json(tmp_path / "thresholds.json", facts)
    trust = read_thresholds(tmp_path / "thresholds.json")
    assert trust.rules.cyst_hu == 20
    assert trust.calibration.cases == 10
    assert trust.calibration.residuals["tumour"] == 0  # all volumes are exact here


def test_a_weight_of_the_tumour_is_found(folders, tmp_path):
    add_probabilities(folders[0])
    facts, failures = tuned(folders)
    assert failures == []
    # 2 * 0.4 is more than 0.6, 1.5 * 0.4 is not; below 20 HU lies the cyst.
    expected = PostProcessing(cyst_hu=20, tumour_weight=2)
    assert facts["postprocess"] == expected.as_dict()
    assert facts["scores"]["paper"]["tumour"]["mean"] == 0
    assert facts["scores"]["tuned_cross_fitted"]["tumour"]["mean"] == 1
    assert facts["calibration"]["residuals"]["tumour"] == 0  # of the weighed masks
    report = as_markdown(facts)
    assert "the tumour's probability times 2" in report
    assert "stayed 1" not in report
    write_json(tmp_path / "thresholds.json", facts)
    assert read_thresholds(tmp_path / "thresholds.json").rules == expected


def test_without_all_probabilities_no_weight_is_tried(folders):
    add_probabilities(folders[0], missing=(4,))
    facts, _ = tuned(folders)
    assert facts["postprocess"]["tumour_weight"] == 1
    assert facts["tumour_weights_tried"] == [1]
    assert "The tumour's weight stayed 1" in as_markdown(facts)


def test_masks_predicted_with_a_weight_are_refused(folders):
    path = folders[0] / "case_00006.json"
    facts = json.loads(path.read_text())
    facts["options"]["postprocess"] = {"tumour_weight": 3.0}
    path.write_text(json.dumps(facts))
    facts, (failure,) = tuned(folders)
    assert facts["cases"] == 9
    assert "case_00006_raw.nii.gz: predicted with tumour_weight 3" in failure


def test_volumes_are_those_of_the_cleaned_mask(folders):
    source = find_sources(*folders)[3]
    hu, truth, raw = case(3)
    name, predicted, true = volumes(source, PAPER)
    assert name == "case_00003"
    mask, _ = clean(raw, hu, GRID)
    assert predicted == pytest.approx(all_volumes_ml(mask, Volume(hu, GRID)))
    assert true == pytest.approx(all_volumes_ml(truth, Volume(hu, GRID)))
    assert predicted["tumour"] > true["tumour"] > 0
    assert None not in true.values()


def test_too_few_cases_give_no_interval(folders):
    oof, _ = folders
    for i in range(4, 10):
        (oof / f"case_{i:05d}_raw.nii.gz").unlink()
    facts, _ = tuned(folders)
    assert set(facts["calibration"]["residuals"].values()) == {None}
    assert facts["calibration"]["review_at_most"] is None
    assert "| -" in as_markdown(facts).replace("|        -", "| -")


def test_a_case_in_which_nothing_was_found_calibrates_nothing(folders):
    path = folders[0] / "case_00004.json"
    facts = json.loads(path.read_text())
    facts["confidence"] = dict.fromkeys(facts["confidence"])
    path.write_text(json.dumps(facts))
    facts, _ = tuned(folders)
    assert facts["cases"] == 10
    assert facts["calibration"]["cases"] == 9
    for path in folders[0].glob("*.json"):
        facts = json.loads(path.read_text())
        facts["confidence"] = dict.fromkeys(facts["confidence"])
        path.write_text(json.dumps(facts))
    facts, _ = tuned(folders)
    assert facts["calibration"] is None
    assert "nothing was found in any case" in as_markdown(facts)


def test_without_summaries_there_is_no_calibration(folders):
    (folders[0] / "case_00002.json").unlink()
    facts, _ = tuned(folders)
    assert facts["calibration"] is None
    assert "1 of 10 cases have no confidence" in as_markdown(facts)
    json.dumps(facts, allow_nan=False)


def test_a_broken_case_is_told_and_the_others_are_used(folders):
    (folders[0] / "case_00002_raw.nii.gz").write_bytes(b"")
    _, _, raw = case(3)
    moved = Grid(GRID.shape, GRID.affine + np.eye(4)[:, [3, 3, 3, 0]])
    write_mask(folders[0] / "case_00003_raw.nii.gz", raw, moved)
    facts, failures = tuned(folders)
    assert facts["cases"] == 8
    assert "case_00002_raw.nii.gz: the file is empty" in failures[0]
    assert "another grid than" in failures[1]


def test_the_folds_are_those_of_the_trainings(tmp_path):
    ids = [f"case_{i:05d}" for i in range(10)]
    paths = []
    for fold in range(5):
        paths.append(tmp_path / f"{fold}.json")
        write_splits(paths[-1], split(ids, seed=3, folds=5, fold=fold))
    folds = folds_of(ids, paths, 9, 0)
    for fold in range(5):
        parts = split(ids, seed=3, folds=5, fold=fold)
        assert {folds[i] for i in parts.validation} == {fold}
    assert sorted(np.bincount(list(folds.values()))) == [2] * 5
    with pytest.raises(InputError, match="no training of --splits held out"):
        folds_of(ids, paths[:4], 5, 0)
    one = split(ids, seed=3, folds=2, fold=0)
    write_splits(tmp_path / "one.json", one)
    drawn = folds_of(one.validation, [tmp_path / "one.json"], 5, 0)
    assert set(drawn.values()) == set(range(5))
    apart = split(ids, seed=3, folds=2, fold=0, test=3)
    write_splits(tmp_path / "apart.json", apart)
    with pytest.raises(InputError, match="set apart for testing"):
        folds_of(ids, [tmp_path / "apart.json"], 5, 0)


def test_what_is_not_there_is_one_line(tmp_path, folders):
    with pytest.raises(InputError, match="no such folder; check --predictions"):
        find_sources(tmp_path / "nowhere", folders[1])
    with pytest.raises(InputError, match="--save_raw"):
        find_sources(folders[1], folders[1])
    with pytest.raises(InputError, match="at least 2"):
        folds_of(["a"], (), 5, 0)
