import json
from dataclasses import replace

import numpy as np
import pytest

from tests.experiments.conftest import leave_runs, leave_summary
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import read_labels, write_mask
from vnet_jax.data.folds import draw_folds, write_folds
from vnet_jax.errors import InputError
from vnet_jax.experiments.gather import check, fold_table, gather

IDS = [f"case_{n:05d}" for n in range(6)]
FOLDS = draw_folds(IDS, seed=0, folds=2, test=1)


@pytest.fixture
def predicted(experiment, tiny_data):
    """Both folds, run: masks are the labels; one lacks the tumour."""
    made = experiment()
    made.masks.mkdir(parents=True)
    write_folds(made.out / "folds.json", FOLDS)
    for fold, names in enumerate(FOLDS.folds):
        models = leave_runs(made, FOLDS, fold)
        for name in names:
            label = read_labels(tiny_data / name / "segmentation.nii.gz").volume
            mask = label.array.astype(np.uint8)
            if name == spoilt():
                mask = np.minimum(mask, 1)
            write_mask(made.masks / f"{name}.nii.gz", mask, label.grid)
            leave_summary(made, name, models)
    return made


def spoilt() -> str:
    return FOLDS.folds[1][0]


def test_scores_and_audit_of_all_folds_together(predicted):
    report = gather(predicted, FOLDS, pictures=1)
    assert [case["id"] for case in report.cases] == list(FOLDS.ids)
    assert report.missing == report.failed == []  # nor is the test case missing
    scores = json.loads((predicted.out / "scores" / "scores.json").read_text())
    assert {c["id"]: c["phase2"]["tumour"] for c in scores["cases"]} == {
        name: float(name != spoilt()) for name in FOLDS.ids
    }
    audit = json.loads((predicted.out / "audit" / "audit.json").read_text())["cases"]
    assert len(audit) == len(FOLDS.ids)
    assert (audit[0]["id"], audit[0]["fold"], audit[0]["disagreement"]) == (
        *(spoilt(), 1, 0.5),
    )
    drawn = [path.name for path in (predicted.out / "audit").glob("*.png")]
    assert drawn == [f"001_{spoilt()}.png"]
    page = (predicted.out / "audit" / "audit.html").read_text()
    assert "no tumour predicted" in page and "trained on synthetic CTs" in page
    folds = json.loads((predicted.out / "scores" / "folds.json").read_text())["folds"]
    assert [row["cases"] for row in folds] == [3, 2]
    _, rows = fold_table(report, FOLDS)
    assert rows[1] == ["1", "1.000", "0.500", "0.750", "2"]


def test_what_another_folds_models_predicted_is_not_out_of_fold(predicted):
    other = json.loads((predicted.masks / f"{FOLDS.folds[1][0]}.json").read_text())
    name = FOLDS.folds[0][0]
    leave_summary(predicted, name, other["models"])
    good, (failed,) = check(predicted, FOLDS)
    assert failed["id"] == name and name not in good
    assert "was not made by its fold's models" in failed["reason"]
    report = gather(predicted, FOLDS, pictures=0)
    assert name not in {case["id"] for case in report.cases}
    assert [case["id"] for case in report.failed] == [name]


def test_a_mask_without_a_summary_does_not_count(predicted):
    name = FOLDS.folds[0][0]
    (predicted.masks / f"{name}.json").unlink()
    _, (failed,) = check(predicted, FOLDS)
    assert failed["id"] == name and "no summary" in failed["reason"]


def test_a_fold_that_did_not_run_is_missing(predicted):
    for name in FOLDS.folds[1]:
        for path in predicted.masks.glob(f"{name}*"):
            path.unlink()
    report = gather(predicted, FOLDS, pictures=0)
    assert report.missing == sorted(FOLDS.folds[1])


def test_a_run_on_another_split_is_refused(predicted):
    other = replace(FOLDS, folds=FOLDS.folds[::-1])
    with pytest.raises(InputError, match="fold_0/phase1: was trained on another"):
        check(predicted, other)


def test_nothing_to_gather(experiment):
    with pytest.raises(InputError, match="holds no out-of-fold prediction"):
        gather(experiment(), FOLDS)


def test_a_mask_on_another_grid_fails_alone(predicted):
    name = FOLDS.folds[0][0]
    grid = Grid((4, 4, 4), np.eye(4))
    write_mask(predicted.masks / f"{name}.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    report = gather(predicted, FOLDS, pictures=0)
    assert [case["id"] for case in report.failed] == [name]
    assert len(report.cases) == 4
