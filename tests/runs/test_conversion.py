"""Files of weights to run folders and back."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from vnet_jax.errors import InputError
from vnet_jax.models.monai import Layout, entries
from vnet_jax.models.weights import counters, from_state_dict
from vnet_jax.runs import conversion, sources
from vnet_jax.runs.folder import RunFolder, resume
from vnet_jax.runs.weight_files import read_weights, write_weights

ROOT = Path(__file__).parents[2]
SINGLE = Layout(False, 1, 4, 3, "elu")
SECOND = Layout(False, 4, 4, 3, "elu")
CASCADE = Layout(True, 1, 4, 3, "prelu")


def config(phase=1, **model):
    spec = importlib.util.spec_from_file_location("paper", ROOT / "configs/phase1.py")
    paper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(paper)
    c = paper.get_config()
    c.phase, c.model.cascade = phase, phase == 2
    c.model.update(model)
    return c.lock()


def state_of(layout, step=7, dtype=np.float32, seed=0):
    """A state dict as MONAI would save it, drawn at random."""
    rng, state = np.random.default_rng(seed), {}
    for e in entries(layout):
        state[e.name] = rng.random(e.shape).astype(dtype)
        if e.name.endswith("running_var"):
            norm = e.name.removesuffix("running_var")
            state[f"{norm}num_batches_tracked"] = np.array(step, np.int64)
    return state


def write(path, layout, **options):
    write_weights(path, state_of(layout, **options))
    return path


def same(a, b):
    assert set(a) == set(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(("layout", "phase"), [(SINGLE, 1), (CASCADE, 2)])
def test_file_to_run_to_file_is_exact(tmp_path, layout, phase):
    source = write(tmp_path / "a.npz", layout, step=1234)
    found = sources.open_weights(source)
    run, told = conversion.to_run(found, tmp_path / "run", config(phase))
    assert run.checkpoints.steps() == [1234] and run.ensemble() == [1234]
    assert run.config.model.width == 4 and "model.width was 16, is 4" in told[-1]
    jax.tree.map(
        np.testing.assert_array_equal,
        run.checkpoints.variables(1234),
        from_state_dict(read_weights(source)),
    )
    back = sources.open_weights(tmp_path / "run")
    conversion.to_file(back, tmp_path / "b.npz")
    same(read_weights(tmp_path / "b.npz"), read_weights(source))


def test_the_models_facts(tmp_path):
    source = write(tmp_path / "a.npz", SINGLE)
    run, _ = conversion.to_run(
        sources.open_weights(source), tmp_path / "run", config(classes=2)
    )
    origin = run.model["converted_from"]
    assert origin["files"][0]["name"] == "a.npz"
    assert len(origin["files"][0]["sha256"]) == 64
    assert run.model["training_cases"] is None
    assert run.model["classes"] == ["background", "kidney", "tumour"]
    assert run.model["synthetic"] is None and run.synthetic is False
    assert run.identity()["synthetic"] is False
    known, _ = conversion.to_run(
        sources.open_weights(source), tmp_path / "b", config(), synthetic=True
    )
    assert known.synthetic is True
    assert sources.open_weights(tmp_path / "b").synthetic is True


def test_the_config_follows_the_weights(tmp_path):
    """Here PReLU is caffe's own, which "variant" says no more once that is "monai"."""
    source = write(tmp_path / "a.npz", Layout(False, 1, 4, 3, "prelu"))
    given = config(variant="caffe", width=4)
    run, told = conversion.to_run(sources.open_weights(source), tmp_path / "run", given)
    assert told == [
        "model.activation was elu, is prelu as in the weights",
        "model.variant was caffe, is monai as in the weights",
    ]
    assert given.model.variant == "caffe"  # not changed
    model = run.config.model
    assert (model.variant, model.activation, model.norm) == (
        "monai",
        "prelu",
        "variant",
    )


def test_a_cascade_from_two_files_with_other_counts(tmp_path):
    first = write(tmp_path / "1.npz", SINGLE, step=100)
    second = write(tmp_path / "2.npz", SECOND, step=50, seed=1)
    found = sources.of_files([first, second])
    run, _ = conversion.to_run(found, tmp_path / "run", config(2))
    assert run.config.model.cascade and run.checkpoints.steps() == [0]
    assert [f["name"] for f in run.model["converted_from"]["files"]] == [
        "1.npz",
        "2.npz",
    ]
    conversion.to_file(sources.open_weights(run.path), tmp_path / "both.npz")
    both = read_weights(tmp_path / "both.npz")
    for stage, source in (("stage1.", first), ("stage2.", second)):
        part = {
            k.removeprefix(stage): v for k, v in both.items() if k.startswith(stage)
        }
        same(part, read_weights(source))


def test_two_files_in_the_wrong_order(tmp_path):
    first, second = write(tmp_path / "1.npz", SINGLE), write(tmp_path / "2.npz", SECOND)
    with pytest.raises(InputError, match=r"1\.npz: .*; give stage 1 first"):
        sources.of_files([second, first])


def test_without_counters_the_step_is_0(tmp_path):
    state = state_of(SINGLE)
    for name in counters(state):
        del state[name]
    write_weights(tmp_path / "a.npz", state)
    found = sources.open_weights(tmp_path / "a.npz")
    assert found.step == 0 and found.counters == {}


def test_doubles_become_singles_and_it_is_said(tmp_path):
    source = write(tmp_path / "a.npz", SINGLE, dtype=np.float64)
    found = sources.open_weights(source)
    run, told = conversion.to_run(found, tmp_path / "run", config())
    assert told[-1] == "the weights were float64, are float32"
    leaves = jax.tree.leaves(run.checkpoints.variables(7))
    assert {leaf.dtype.name for leaf in leaves} == {"float32"}
    conversion.to_file(found, tmp_path / "b.npz")  # from file to file they stay
    same(read_weights(tmp_path / "b.npz"), read_weights(source))


@pytest.mark.parametrize(
    ("layout", "phase", "said"),
    [
        (SECOND, 2, "stage 2 of a cascade; give stage 1's file as the first --source"),
        (
            CASCADE,
            1,
            r"a cascade, but --config is of phase 1; pass --config=configs/ph",
        ),
        (Layout(False, 2, 4, 3, "elu"), 1, "for 2 input channels; a CT has one"),
        (Layout(False, 1, 4, 1, "elu"), 1, "one class, for a sigmoid"),
        (
            Layout(True, 1, 2, 2, "elu"),
            2,
            "no network of this package: width 2 is below",
        ),
    ],
)
def test_what_is_no_run_of_that_phase(tmp_path, layout, phase, said):
    found = sources.open_weights(write(tmp_path / "a.npz", layout))
    with pytest.raises(InputError, match=said):
        conversion.to_run(found, tmp_path / "run", config(phase))
    assert not (tmp_path / "run").exists()


def test_a_single_v_net_may_be_phase_2(tmp_path):
    found = sources.open_weights(write(tmp_path / "a.npz", SINGLE))
    run, told = conversion.to_run(found, tmp_path / "run", config(2))
    assert run.config.phase == 2 and not run.config.model.cascade
    assert "model.cascade was True, is False as in the weights" in told


def test_nothing_is_overwritten(tmp_path):
    found = sources.open_weights(write(tmp_path / "a.npz", SINGLE))
    with pytest.raises(InputError, match="is there already"):
        conversion.to_file(found, tmp_path / "a.npz")
    with pytest.raises(InputError, match="is there already"):
        conversion.to_run(found, tmp_path, config())
    (tmp_path / "empty").mkdir()
    conversion.to_run(found, tmp_path / "empty", config())


def test_weights_that_are_not_finite_or_not_monais(tmp_path):
    state = state_of(SINGLE)
    state["down_tr32.bn1.bias"][3] = np.nan
    write_weights(tmp_path / "nan.npz", state)
    with pytest.raises(InputError, match=r"down_tr32\.bn1\.bias holds .* not finite"):
        sources.open_weights(tmp_path / "nan.npz")
    write_weights(tmp_path / "other.npz", {"fc.weight": np.ones(3)})
    with pytest.raises(InputError, match=r"other\.npz: no V-Net of MONAI's form"):
        sources.open_weights(tmp_path / "other.npz")


def test_neither_run_nor_file(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / "x.ckpt"):
        with pytest.raises(InputError, match="neither a run folder nor a file"):
            sources.open_weights(path)


def test_a_run_of_another_variant_or_step_has_no_file(tmp_path):
    source = write(tmp_path / "a.npz", SINGLE)
    run, _ = conversion.to_run(sources.open_weights(source), tmp_path / "r", config())
    with pytest.raises(InputError, match="no checkpoint of step 8; choose from 7"):
        sources.open_weights(run.path, 8)
    facts = json.loads((run.path / "config.json").read_text())
    facts["model"]["variant"] = "caffe"
    (run.path / "config.json").write_text(json.dumps(facts))
    said = "model.variant is caffe, MONAI's V-Net has monai"
    with pytest.raises(InputError, match=said):
        conversion.to_file(sources.open_weights(run.path), tmp_path / "b.npz")
    facts["model"] |= {"variant": "monai", "norm": "group"}
    (run.path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"model.norm is group, .* has batch"):
        conversion.to_file(sources.open_weights(run.path), tmp_path / "b.npz")


def test_a_converted_run_does_not_train_on(tmp_path):
    source = write(tmp_path / "a.npz", SINGLE)
    path = tmp_path / "run"
    run, _ = conversion.to_run(sources.open_weights(source), path, config())
    with pytest.raises(InputError, match=f"--config.init_from={path}"):
        resume(path, run.config)
    assert RunFolder(path).config == run.config
