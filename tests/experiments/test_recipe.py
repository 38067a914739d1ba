import re
from pathlib import Path

import pytest

from tests.training.conftest import load_config
from vnet_jax.data.folds import draw_folds
from vnet_jax.experiments import forecast, recipe
from vnet_jax.experiments.painting import drawing
from vnet_jax.experiments.recipe import Recipe
from vnet_jax.experiments.recipe_jobs import plan

ROOT = Path(__file__).parents[2]
CONFIGS = ("reproduce", "reproduce_small")


@pytest.fixture(params=CONFIGS)
def asked(request, tmp_path):
    config = load_config(request.param)
    experiment = recipe.experiment_of(config, str(tmp_path / "data"), tmp_path / "out")
    case = tmp_path / "data" / "case_00000"
    case.mkdir(parents=True)
    for name in ("imaging.nii.gz", "segmentation.nii.gz"):
        (case / name).touch()
    count = config.paint.get("cases", 210)
    ids = [f"case_{i:05d}" for i in range(count)]
    folds = draw_folds(ids, seed=0, folds=config.folds, test=config.test)
    return Recipe(config, experiment, folds)


def flags_of(command: str) -> set[str]:
    commands = ROOT / "vnet_jax" / "commands"
    text = (commands / f"{command}.py").read_text()
    if "adopt_module_key_flags(cleaning)" in text:
        text += (commands / "cleaning.py").read_text()
    return set(re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", text))


def test_every_job_follows_those_that_it_builds_on(asked):
    seen = set()
    for job in plan(asked):
        assert set(job.after) <= seen, job.name
        assert job.name not in seen
        seen.add(job.name)


def test_every_flag_is_one_of_its_program(asked):
    made = [drawing(asked.config, asked.out)] if asked.config.phantoms else []
    for job in [*made, *plan(asked)]:
        command = Path(job.argv[1]).stem
        assert (ROOT / "bin" / f"{command}.py").is_file()
        given = {
            word[2:].split("=")[0].split(".")[0]
            for word in job.argv[2:]
            if word.startswith("--")
        }
        assert given <= flags_of(command), job.name


def test_phantoms_of_no_patient_train_phase_2_of_every_fold(tmp_path):
    config = load_config("reproduce_small")
    config.phantoms = dict(cases=7, spacing_mm=(3.0, 1.5, 1.5), tumour_ml=(30.0, 1.8))
    experiment = recipe.experiment_of(config, "data", tmp_path)
    ids = [f"case_{i:05d}" for i in range(config.paint.cases)]
    asked = Recipe(config, experiment, draw_folds(ids, seed=0, folds=2, test=16))
    drawn, warped = str(tmp_path / "phantoms"), str(tmp_path / "registered" / "fold_0")
    trainings = [job for job in plan(asked) if job.kind.startswith("phase")]
    for job in trainings:
        more = (drawn, warped) if job.name == "fold 0, registered" else (drawn,)
        more = () if job.kind == "phase 1" else more
        assert f"--config.data.extra={more}" in job.argv
    job = drawing(config, tmp_path)
    assert job.argv[job.argv.index("--out") + 1] == drawn
    assert job.outputs[0].parent.name == "case_80006"


def test_every_change_is_a_field_of_phase_2(asked):
    for changes in asked.ablations.values():
        for field in changes:
            section, _, name = field.rpartition(".")
            there = asked.phase2[section] if section else asked.phase2
            assert name in there


def test_no_model_predicts_a_case_that_it_saw(asked):
    """Test cases are in no fold, whatever is averaged."""
    test = set(asked.folds.test)
    assert len(test) == asked.config.test
    for fold in range(asked.config.folds):
        splits = asked.folds.splits(fold)
        assert not test & {*splits.train, *splits.validation}


def test_what_it_will_take(asked):
    rows = {row.kind: row for row in forecast.forecast(asked)}
    count = len(asked.folds.folds)
    ablations = len(asked.ablations) + len(asked.config.register.folds)
    assert rows["phase 1"].jobs == count
    assert rows["phase 2"].jobs == count + ablations
    config = asked.phase2
    cases = len(asked.folds.splits(0).train) + asked.config.phantoms.get("cases", 0)
    per_epoch = -(-cases // config.batch_size)
    folds = len(asked.folds.folds) + len(asked.config.register.folds)
    lengths = [int(c.get("epochs", config.epochs)) for c in asked.ablations.values()]
    steps = (folds * config.epochs + sum(lengths)) * per_epoch
    warped = asked.config.register.hard * asked.config.register.per_hard
    if asked.config.register.equal_steps:
        assert rows["phase 2"].steps == pytest.approx(steps, rel=0.02)
    else:
        more = -(-(cases + warped) // config.batch_size)
        longer = len(asked.config.register.folds) * config.epochs * (more - per_epoch)
        assert rows["phase 2"].steps == steps + longer
    assert rows["phase 2"].disk > rows["phase 1"].disk / 2 > 0
    text = forecast.as_text(list(rows.values()))
    assert "phase 2" in text and "In all" in text
