"""A network and a loss from a file of the user's: trained, resumed, predicted with."""

import json
import sys

import numpy as np
import pytest

from vnet_jax.errors import InputError
from vnet_jax.inference.ensemble import Ensemble
from vnet_jax.inference.predict import from_config
from vnet_jax.models import own
from vnet_jax.runs.conversion import to_file
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.log import read_log
from vnet_jax.runs.sources import of_run
from vnet_jax.training import needs, setup
from vnet_jax.training.fit import fit
from vnet_jax.training.initial import open_start

MODULE = """
from flax import linen as nn
import jax.numpy as jnp


class Net(nn.Module):
    classes: int
    dtype: object
    width: int

    @nn.compact
    def __call__(self, x, train):
        assert x.shape[1] == 15, "made for volumes of 15 slices"
        fine = nn.relu(nn.Conv(self.width, (3, 3, 3), dtype=self.dtype)(x))
        coarse = nn.Conv(self.classes, (1, 1, 1))(x)
        return coarse, nn.Conv(self.classes, (1, 1, 1))(fine)


def brier(classes, scale):
    def loss(logits, labels):
        truth = labels[..., None] == jnp.arange(classes)
        return scale * jnp.mean((nn.softmax(logits) - truth) ** 2)

    return loss
"""
SHAPE = (15, 24, 20)  # no multiples of 16


@pytest.fixture(scope="module")
def on_path(tmp_path_factory):
    """A folder with the user's module, on Python's path."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_parts.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def own_config(tiny_config):
    def make(phase=1, **changes):
        chosen = {
            "model.factory": "my_parts:Net",
            "model.kwargs.width": 3,
            "loss.factory": "my_parts:brier",
            "loss.kwargs.scale": 10.0,
            "sample.shape": SHAPE,
            "epochs": 1,
            "eval_every": 1,
        }
        return tiny_config(phase, **chosen | changes)

    return make


@pytest.mark.parametrize("phase", [1, 2])
def test_it_trains_resumes_and_predicts(on_path, own_config, tmp_path, phase):
    path = tmp_path / "run"
    assert fit(own_config(phase), str(path)) == 0
    assert fit(own_config(phase, epochs=2), str(path)) == 0
    rows = [row for row in read_log(path) if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["loss"] == pytest.approx(row["loss_stage1"] + row["loss_stage2"])
        assert 0 < row["loss_stage1"] < 10

    facts = json.loads((path / "config.json").read_text())
    assert facts["model"]["factory"] == "my_parts:Net"
    assert "nn.Module" not in "".join(p.read_text() for p in path.glob("*.json"))

    ensemble = Ensemble([path], phase, members=1)
    assert ensemble.stages == 2
    window = np.zeros((1, *SHAPE, 1), np.float32)
    variables = RunFolder(path).checkpoints.variables(4)
    first, last = ensemble.predictors[0].program(variables, window)
    assert first.shape == last.shape == (*SHAPE, 3)
    np.testing.assert_allclose(np.asarray(last).sum(-1), 1, rtol=1e-5)

    # A new training starts from it; nothing else does, and it makes no V-Net's file.
    start = open_start(own_config(phase, init_from=str(path)), tmp_path / "new")
    assert "net" in start.variables["params"] and start.anew == {}
    other = own_config(phase, **{"init_from": str(path), "model.kwargs.width": 4})
    with pytest.raises(InputError, match=r"model\.kwargs is .*3.* there, .*4"):
        open_start(other, tmp_path / "new")
    with pytest.raises(InputError, match=r"a run of model\.factory my_parts:Net"):
        to_file(of_run(path), tmp_path / "weights.npz")


def test_a_run_whose_module_is_gone_says_which(on_path, own_config, tmp_path):
    path = tmp_path / "run"
    assert fit(own_config(), str(path)) == 0
    config = json.loads((path / "config.json").read_text())
    config["model"]["factory"] = "my_lost_parts:Net"
    (path / "config.json").write_text(json.dumps(config))
    told = "run: model.factory my_lost_parts:Net: no module my_lost_parts .*PYTHONPATH"
    with pytest.raises(InputError, match=told):
        Ensemble([path], 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model.factory": "my_parts:Nett"}, r"config\.model: factory .* has no Nett"),
        ({"model.factory": "my_parts"}, "not 'package.module:name'"),
        ({"sample.shape": (16, 24, 20)}, "AssertionError: made for volumes of 15"),
        ({"model.factory": "my_parts:brier"}, "called with classes, dtype, width"),
        ({"loss.factory": "my_parts:Net"}, r"config\.loss: factory .*TypeError"),
        ({"loss.factory": "no_parts:f"}, r"config\.loss: .*no module no_parts"),
        ({"stage_weights": (1.0,)}, r"stage_weights \(1.0,\) for 2 stages"),
        ({"augment.elastic_mm": 20.0}, r"config\.augment: elastic_mm 20.0"),
        ({"loss.factory": "", "loss.name": "hinge"}, r"config\.loss: name is 'hinge'"),
    ],
)
def test_a_config_that_names_nothing_is_refused(on_path, own_config, changes, told):
    with pytest.raises(InputError, match=told) as error:
        setup.check(own_config(**changes))
    assert "\n" not in str(error.value)


def test_needs_tell_what_is_known_before_compiling(on_path, own_config):
    found = setup.needs_of(own_config())
    assert found.parameters == 27 * 3 + 3 + 3 * 3 + 3 + 3 + 3
    assert found.activations == 0 and found.least == found.state
    assert "what it takes of activations" in str(found)
    needs.check_memory(found, found.state)
    with pytest.raises(InputError, match="needs at least"):
        needs.check_memory(found, found.state - 1)


def test_the_dtype_of_inference_reaches_the_network(on_path, own_config):
    module = from_config(own_config(), "bfloat16").module
    assert isinstance(module, own.Own) and module.net.dtype == "bfloat16"
