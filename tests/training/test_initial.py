"""Which values a new training takes from another's, and which it draws."""

import jax
import numpy as np
import pytest

from tests.inference import known
from vnet_jax import models
from vnet_jax.errors import InputError
from vnet_jax.models.monai import Layout, entries
from vnet_jax.models.weights import from_state_dict
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.packing import write_bundle
from vnet_jax.runs.weight_files import read_weights, write_weights
from vnet_jax.training.initial import open_start, started
from vnet_jax.training.state import adam, init_state

DRAWN = -9.0  # in the place of drawn initial values; no weight below is negative


@pytest.fixture
def config(tiny_config, tmp_path):
    """phase, path, changes of `model` -> a config that starts from the path."""

    def make(phase, path, **model):
        changes = {"width": 4, "activation": "elu"} | model
        changes = {f"model.{name}": value for name, value in changes.items()}
        return tiny_config(phase, init_from=str(path), **changes)

    return make


def write(path, cascade=False, classes=3, channels=1, activation="elu"):
    """A file of random weights of width 4."""
    rng = np.random.default_rng(3)
    layout = Layout(cascade, channels, 4, classes, activation)
    write_weights(path, {e.name: rng.random(e.shape) for e in entries(layout)})
    return path


def drawn(config, ema=0.0):
    """A state before the first step, as a config would draw it, filled with `DRAWN`."""
    module = models.build(**config.model)
    optimiser = adam(lambda step: 0.1, 0.9, 0.999, 1e-8)
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda k: init_state(k, module, optimiser, ema), key)
    return jax.tree.map(lambda a: np.full(a.shape, DRAWN, a.dtype), shapes)


def start(config, ema=0.0):
    """The state that a config starts from, and the line that says so."""
    found = open_start(config, "nowhere")
    return started(drawn(config, ema), found), str(found)


def redrawn(tree) -> set[str]:
    """The modules, down to the second level, that keep drawn values, all of them."""
    modules = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = "/".join(entry.key for entry in path[:2])
        modules.setdefault(name, []).append(np.all(leaf == DRAWN))
    assert all(len(set(flags)) == 1 for flags in modules.values())
    return {name for name, flags in modules.items() if flags[0]}


@pytest.mark.parametrize("phase", [1, 2])
def test_the_same_network_takes_everything(config, tmp_path, phase):
    path = write(tmp_path / "a.npz", cascade=phase == 2)
    state, line = start(config(phase, path), ema=0.9)
    given = from_state_dict(read_weights(path))
    for tree, expected in (
        (state.params, given["params"]),
        (state.batch_stats, given["batch_stats"]),
        (state.average, given["params"]),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float32)),
            tree,
            expected,
        )
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(state.params))
    for a, b in zip(*map(jax.tree.leaves, (state.params, state.average)), strict=True):
        assert not np.shares_memory(a, b)  # each of them is donated
    assert line == f"starts from {path}"
    moments = jax.tree.leaves(state.opt_state)
    assert all(np.all(leaf == DRAWN) for leaf in moments)  # as drawn


def test_no_average_is_kept_where_none_was(config, tmp_path):
    assert start(config(1, write(tmp_path / "a.npz")))[0].average == {}


def test_other_classes_draw_the_head_anew(config, tmp_path):
    path = write(tmp_path / "a.npz", classes=2)
    state, line = start(config(1, path))
    assert redrawn(state.params) == {"head/conv_0", "head/norm_0", "head/logits"}
    assert redrawn(state.batch_stats) == {"head/norm_0"}
    assert line.endswith("; drawn anew: head (2 classes there, 3 here)")


def test_a_cascade_with_other_classes(config, tmp_path):
    path = write(tmp_path / "a.npz", cascade=True, classes=2)
    state, line = start(config(2, path))
    anew = {"stage1/head", "stage2/head", "stage2/encoder_0"}
    assert redrawn(state.params) == redrawn(state.batch_stats) == anew
    assert line.count("stage") == 4 and "stage2/encoder_0 (reads the softmax" in line


def test_a_single_v_net_becomes_stage_1(config, tmp_path):
    path = write(tmp_path / "a.npz")
    state, line = start(config(2, path))
    names = {name.split("/")[0] for name in redrawn(state.params)}
    assert names == {"stage2"}
    given = from_state_dict(read_weights(path))["params"]
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float32)),
        state.params["stage1"],
        given,
    )
    assert line.endswith("drawn anew: stage2 (the weights are a single V-Net's)")


def test_a_single_v_net_with_other_classes_in_a_cascade(config, tmp_path):
    state, line = start(config(2, write(tmp_path / "a.npz", classes=5)))
    stage1 = {n for n in redrawn(state.params) if n.startswith("stage1")}
    assert stage1 == {"stage1/head"}
    assert "stage1/head (5 classes there, 3 here), stage2 (the weights" in line


@pytest.mark.parametrize(
    ("phase", "given", "model", "said"),
    [
        (1, {}, {"width": 2}, r"model\.width is 4 there, 2 in the config; .*width=4$"),
        (
            1,
            {},
            {"variant": "caffe"},
            r"model\.variant is monai .*; model\.norm is bat",
        ),
        (1, {}, {"norm": "group"}, r"model\.norm is batch there, group in the config"),
        (1, {"activation": "prelu"}, {}, r"model\.activation is prelu there, elu in"),
        (1, {"cascade": True}, {}, r"model\.cascade is True there, False in"),
        (1, {"channels": 4}, {}, r"a V-Net for 4 input channels"),
    ],
)
def test_what_does_not_fit_is_named(config, tmp_path, phase, given, model, said):
    path = write(tmp_path / "a.npz", **given)
    with pytest.raises(InputError, match=said) as caught:
        open_start(config(phase, path, **model), "nowhere")
    assert caught.value.path == path


def test_a_bundle_starts_its_phase(config, tmp_path):
    values, single = {}, {"cascade": False}  # for speed
    for phase in (1, 2):
        module = models.build(**config(phase, "", **single).model)
        values[phase] = known.random_variables(module, (16, 16, 16), phase)
    runs = [
        RunFolder(
            known.write_run(tmp_path / str(p), config(p, "", **single), {7: (0, v)})
        )
        for p, v in values.items()
    ]
    path = tmp_path / "kidney.vnet"
    write_bundle(path, runs[:1], runs[1:], licence="CC0-1.0")
    for phase in (1, 2):
        state, told = start(config(phase, path, **single))
        assert told == f"starts from {path}/phase{phase}/0, step 7"
        jax.tree.map(np.testing.assert_array_equal, state.variables, values[phase])


def test_nothing_to_start_from(config, tmp_path):
    assert open_start(config(1, ""), "nowhere") is None
    with pytest.raises(InputError, match="neither a run folder nor a file of weights"):
        open_start(config(1, tmp_path), "nowhere")
