import importlib.util
from pathlib import Path

import pytest

from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs import sharding
from vnet_jax.training import setup

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


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
    assert cut.devices == (1 if path.stem.startswith("demo") else 4)


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
