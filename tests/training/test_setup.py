import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.inference.known import Trained, variables
from vnet_jax.data.folds import Folds, write_folds
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs import sharding
from vnet_jax.training import setup

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(set(CONFIGS.glob("*.py")) - set(CONFIGS.glob("reproduce*.py")))


def config_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_config_can_train_on_four_devices(monkeypatch, tmp_path, path):
    monkeypatch.setattr(sharding, "available_devices", lambda: 4)
    config = setup.with_dtype(config_of(path), tmp_path)
    setup.check(config)
    assert setup.needs_of(config).parameters > 1e6
    cut = setup.plan_of(config)
    assert cut.devices == (1 if path.stem.startswith(("demo", "small")) else 4)


def test_a_mesh_that_the_machine_does_not_have_is_refused(monkeypatch):
    monkeypatch.setattr(sharding, "available_devices", lambda: 2)
    config = config_of(FILES[[p.stem for p in FILES].index("whole_ct")])
    with pytest.raises(InputError, match="needs 4 devices, there are 2"):
        setup.check(config)
    config.mesh.space = 0
    with pytest.raises(InputError, match=r"mesh\.data must not be below 0"):
        setup.check(config)


def test_dtype_auto_is_the_machines_until_a_run_has_begun(monkeypatch, tmp_path):
    monkeypatch.setattr(setup, "training_dtype", lambda: "bfloat16")
    config = config_of(FILES[[p.stem for p in FILES].index("demo_phase1")])
    assert config.model.dtype == "auto"
    begun = setup.with_dtype(config, tmp_path)
    assert (begun.model.dtype, config.model.dtype) == ("bfloat16", "auto")
    assert setup.with_dtype(begun, tmp_path) is begun

    run_folder.create(tmp_path, begun, Splits(("a",), ("b",)), synthetic=True)
    monkeypatch.setattr(setup, "training_dtype", lambda: "float32")  # another machine
    assert setup.with_dtype(config, tmp_path).model.dtype == "bfloat16"


@pytest.fixture
def frozen(tmp_path):
    """Three folds of the six tiny cases, as no seed would draw them."""
    ids = [f"case_{n:05d}" for n in range(6)]
    path = tmp_path / "folds.json"
    write_folds(path, Folds(0, tuple(tuple(ids[k : k + 2]) for k in (0, 2, 4))))
    return path


def test_frozen_folds_take_the_place_of_drawn_ones(tiny_config, frozen, tmp_path):
    config = tiny_config(**{"data.splits": str(frozen), "data.fold": 1})
    folder, cases, _ = setup.open_run(config, tmp_path / "run")
    assert folder.splits == cases.splits
    assert folder.splits.validation == ("case_00002", "case_00003")
    assert setup.open_run(config, tmp_path / "run")[0].splits == folder.splits
    moved = shutil.copy(frozen, tmp_path / "moved.json")
    config = tiny_config(**{"data.splits": str(moved), "data.fold": 1})
    assert setup.open_run(config, tmp_path / "run")[2] == {
        "data.splits": [str(frozen), str(moved)]
    }


def test_a_run_keeps_the_fold_it_began_with(tiny_config, frozen, tmp_path):
    setup.open_run(tiny_config(), tmp_path / "run")
    with pytest.raises(InputError, match="its fold is not the one that"):
        setup.open_run(tiny_config(**{"data.splits": str(frozen)}), tmp_path / "run")
    with pytest.raises(InputError, match=r"data\.fold 3 is not one of the 3"):
        changes = {"data.splits": str(frozen), "data.fold": 3}
        setup.open_run(tiny_config(**changes), tmp_path / "new")


def test_phase_2_refuses_a_phase_1_that_knows_its_validation_cases(
    tiny_config, frozen, tmp_path
):
    first = {"data.splits": str(frozen), "data.fold": 0}
    path = tmp_path / "phase1"
    run, _, _ = setup.open_run(tiny_config(**first), path)
    with run.checkpoints as checkpoints:
        checkpoints.save(1, Trained({"batch_stats": {}, **variables()}))
    second = first | {"data.phase1": str(path)}
    with pytest.raises(InputError, match="trained on 2 cases that validate here"):
        setup.open_run(tiny_config(2, **second | {"data.fold": 1}), tmp_path / "other")
    folder, _, _ = setup.open_run(tiny_config(2, **second), tmp_path / "same")
    assert folder.splits.validation == run.splits.validation
