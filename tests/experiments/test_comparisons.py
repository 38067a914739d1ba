import json

import pytest

from tests.experiments.conftest import leave_runs
from tests.training.conftest import load_config
from vnet_jax.data.files import write_json
from vnet_jax.data.folds import draw_folds
from vnet_jax.errors import InputError
from vnet_jax.experiments.comparisons import claims, collect, settled
from vnet_jax.experiments.recipe import CLEANINGS, TUNED_ROWS, Recipe
from vnet_jax.experiments.recipe_jobs import plan
from vnet_jax.reports import paper_tables
from vnet_jax.runs.log import RunLog
from vnet_jax.scores.folder import Report, summarise

IDS = [f"case_{n:05d}" for n in range(6)]
FOLDS = draw_folds(IDS, seed=0, folds=2, test=2)
CLEANED = [f"clean_{name}" for name in CLEANINGS]
CLEANED += [f"tuned_{row}" for row in TUNED_ROWS]
ROWS = ("plain", "checkpoint", "flips", "whole", "models", "folds", "all", *CLEANED)


def validation(*means):
    return [
        {"kind": "validation", "step": 10 * i, "epoch": 5 * i + 4, "mean": mean}
        for i, mean in enumerate(means)
    ]


def test_when_a_share_of_the_last_dice_is_reached():
    found = settled(validation(0.1, 0.5, 0.77, 0.80, 0.79, 0.80))
    assert found == {"step": 20, "epoch": 15}
    assert settled(validation(0.8))["epoch"] == 5
    assert settled([{"kind": "train", "step": 1, "loss": 1.0}]) is None


def test_a_training_that_falls_back_settles_where_it_ends():
    assert settled(validation(0.9, 0.2, 0.4))["epoch"] == 5


@pytest.fixture
def done(experiment):
    """A reproduction of which every job has left what the tables read."""
    config = load_config("reproduce_small")
    config.register.folds, config.models = (), ()
    for name in list(config.ablations):
        del config.ablations[name]
    recipe = Recipe(config, experiment(), FOLDS)
    leave_runs(recipe.experiment, FOLDS, config.fold)
    with RunLog(recipe.run(config.fold, "phase2")) as log:
        for step, mean in enumerate((0.2, 0.7, 0.7)):
            facts = {"kidney": mean, "tumour": mean, "mean": mean, "epoch": step}
            facts["boxes"] = "whole volumes"
            log.write("validation", step, **facts)
    write_scores(recipe.out / "scores" / "scores.json", 0.6, 0.1)
    for name in ROWS:
        tumour = 0.9 if name in ("folds", "clean_both") else 0.5
        tumour = 0.95 if name == "tuned_folds" else tumour
        write_scores(recipe.scores(name), tumour, 0.2)
    for name, passes in (
        ("checkpoint", {"phase1": 2, "phase2": 1}),
        ("whole", {"phase2": 9}),
    ):
        for i, case in enumerate(FOLDS.test):
            write_summary(
                recipe.out / "test" / name / f"{case}.json", passes, 9 - 8 * i
            )
    return recipe


def write_scores(path, tumour, earlier):
    cases = [
        {
            "id": case,
            "phase1": dict.fromkeys(("kidney", "tumour", "mean"), earlier),
            "stage1": dict.fromkeys(("kidney", "tumour", "mean"), earlier),
            "phase2": {"kidney": 0.8, "tumour": tumour, "mean": (0.8 + tumour) / 2},
            "volumes_ml": {},
            "lesions": {"true": [], "false": []},
        }
        for case in FOLDS.test
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    stages = ("phase1", "stage1", "phase2")
    plain = [{k: v for k, v in case.items() if k in ("id", *stages)} for case in cases]
    report = Report(cases=cases, summary=summarise(plain, 0))
    path.write_text(json.dumps(report.as_dict()))


def write_summary(path, passes, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "timings_s": {"read": 1.0, "phase2": seconds},
        "forward_passes": passes,
        "peak_bytes": 3 * 10**9,
    }
    path.write_text(json.dumps(facts))


def test_every_claim_is_tested_case_by_case(done):
    facts = collect(done)
    found = {claim["text"]: claim["tests"] for claim in facts["claims"]}
    assert len(found) == len(claims(done))
    stage = found["stage 2 against stage 1 of the same cascade"]
    assert stage["kidney"]["difference"]["mean"] == pytest.approx(0.6)
    assert stage["kidney"]["n"] == len(FOLDS.test)
    folds = found["several folds against one"]["tumour"]["difference"]
    assert folds["mean"] == pytest.approx(0.4)
    assert found["both rules against none"]["tumour"]["higher"] == 2
    assert found["HU filter against none"]["tumour"]["p"] == 1
    tuned = found["chosen out of fold against the paper's, all folds"]["tumour"]
    assert tuned["difference"]["mean"] == pytest.approx(0.05)
    (run,) = facts["convergence"]
    assert (run["epoch"], run["step"], run["last"]) == (2, 1, 0.7)
    assert facts["cysts"] is None  # nobody knows them here


def test_what_the_jobs_took_and_how_the_trainings_went(done):
    for job in plan(done):
        if job.kind == "masks" or job.name == "scores flips":
            job.marker.parent.mkdir(parents=True, exist_ok=True)
            write_json(job.marker, {"argv": list(job.argv), "seconds": 90.0})
    write_json(done.out / "logs" / "phantoms.done", {"argv": [], "seconds": 30.0})
    facts = collect(done)
    assert facts["durations"] == {
        "phantoms": [30.0],
        "masks": [90.0, 90.0],
        "test scores": [90.0],
    }
    fold = f"fold {done.config.fold}, phase 2"
    assert [row["training"] for row in facts["validations"]] == [fold] * 3
    took, went = paper_tables.build(facts)[-2:]
    assert ["masks", "2", "3.0", "1.5 to 1.5"] in took.rows
    assert went.rows[1] == [fold, "1", "2", "0.700", "0.700", "0.700", "whole volumes"]


def test_what_two_phases_save(done):
    costs = collect(done)["costs"]
    assert costs["checkpoint"]["network_s"] == 1  # the first case compiled
    assert costs["checkpoint"]["case_s"] == 2
    assert costs["checkpoint"]["peak_gb"] == 3
    window = costs["whole"]["work_tflop"] / 9  # the phases' networks are alike
    assert costs["checkpoint"]["work_tflop"] == pytest.approx(3 * window)


def test_tables_in_every_form(done, tmp_path):
    facts = collect(done)
    paper_tables.write(tmp_path / "tables", facts, "Measured on synthetic CTs.")
    text = (tmp_path / "tables" / "tables.md").read_text()
    assert text.startswith("Measured on synthetic CTs.")
    for title in ("Table 1: phase 1", "Table 2: phase 2", "Ensembles", "Convergence"):
        assert f"## {title}" in text
    assert "+0.400 (+0.400 to +0.400)" in text
    assert "stage 2, tuned, all folds | 0.800" in text.replace("  ", " ")
    latex = (tmp_path / "tables" / "tables.tex").read_text()
    assert latex.count("begin{table}") == len(paper_tables.build(facts))
    read = json.loads((tmp_path / "tables" / "tables.json").read_text())
    assert read["cases"] == {"folds": [2, 2], "test": 2}
    assert (tmp_path / "tables" / "claims.png").stat().st_size > 10_000


def test_rows_that_are_not_there_are_left_out_and_named(done, tmp_path):
    for name in ("flips", "folds", "whole", "clean_hu"):
        done.scores(name).unlink()
    facts = collect(done)
    assert facts["missing"] == ["clean_hu", "flips", "folds", "whole"]
    rows = {row for claim in facts["claims"] for row in (*claim["first"],)}
    assert {"checkpoint", "all", "clean_both"} - rows == {"checkpoint"}
    assert not rows & set(facts["missing"])
    assert list(facts["costs"]) == ["checkpoint"]
    paper_tables.write(tmp_path / "tables", facts, "")
    assert "stage 2, all folds" in (tmp_path / "tables" / "tables.md").read_text()


def test_scores_that_cannot_be_read_are_named(done):
    done.scores("flips").write_text("{")
    with pytest.raises(InputError, match=r"flips/scores.json: no scores"):
        collect(done)
