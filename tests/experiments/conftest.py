"""A cross-validation of six tiny cases, planned; runs and masks as it leaves them."""

import json
from pathlib import Path

import pytest

from tests.inference import known
from tests.training.conftest import load_config, write_case
from vnet_jax.data.folds import Folds
from vnet_jax.experiments.folds import Experiment, Phase
from vnet_jax.runs import folder as run_folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Six cases of 32^3 voxels, as KiTS19 has them."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    for number in range(6):
        write_case(root, number)
    return root


@pytest.fixture
def experiment(tiny_data, tmp_path):
    """Changes of phase 1's config -> the experiment in `tmp_path / "out"`."""

    def make(**changes) -> Experiment:
        phases = []
        for number in (1, 2):
            config = load_config("phase1")
            config.phase, config.model.width = number, 4
            config.data.root, config.data.cache = str(tiny_data), str(tmp_path / "c")
            config.data.spacing_mm, config.data.downsample = (4.0,) * 3, (1, 1, 1)
            config.data.folds = 3
            if number == 1:
                config.update_from_flattened_dict(changes)
            file = f"configs/phase{number}.py"
            phases.append(Phase(file, {"epochs": number}, config))
        return Experiment(tmp_path / "out", tuple(phases), infer_args=("--fast",))

    return make


def leave_runs(experiment: Experiment, folds: Folds, fold: int) -> dict:
    """Writes a fold's run folders with a checkpoint; what a summary says of them."""
    models = {}
    for phase in (1, 2):
        path = experiment.run_folder(fold, phase)
        config = experiment.phases[phase - 1].config
        run = run_folder.create(path, config, folds.splits(fold), synthetic=True)
        with run.checkpoints as checkpoints:
            values = known.variables(gain=200.0 + 10 * fold + phase)
            checkpoints.save(1, known.Trained({"batch_stats": {}, **values}))
            checkpoints.score(1, 0.5)
        models[f"phase{phase}"] = run.identity(1)
    return {"phase1": [models["phase1"]], "phase2": [models["phase2"]]}


def leave_summary(experiment: Experiment, name: str, models: dict) -> None:
    """A summary as `bin/infer.py --fast` leaves it, as far as gathering reads it."""
    facts = {
        "models": models,
        "options": {"fast": True, "newest": False, "kidneys_sha256": None},
        "notice": "trained on synthetic CTs",
    }
    (experiment.masks / f"{name}.json").write_text(json.dumps(facts))
