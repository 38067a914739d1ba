"""Four classes: the config, one step, and a whole tiny run on labels with cysts."""

import functools
import importlib.util
import json
from pathlib import Path

import jax
import nibabel as nib
import numpy as np
import optax
import pytest

from tests.training.conftest import write_case
from vnet_jax.models.losses import cross_entropy
from vnet_jax.runs.folder import RunFolder
from vnet_jax.training import fit, setup
from vnet_jax.training.state import init_state
from vnet_jax.training.step import train_step

PATH = Path(__file__).parents[2] / "configs" / "kits23.py"


def get_config(options=""):
    spec = importlib.util.spec_from_file_location("kits23", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(options)


@pytest.mark.parametrize(
    ("options", "phase", "classes", "cyst", "name"),
    [
        ("", 2, 4, 3, "kits23"),
        ("phase1", 1, 4, 3, "kits23_phase1"),
        ("cyst_as_kidney", 2, 3, 1, "kits23_cyst_as_kidney"),
        ("phase1,cyst_as_kidney", 1, 3, 1, "kits23_phase1_cyst_as_kidney"),
    ],
)
def test_what_the_argument_asks_for(options, phase, classes, cyst, name):
    config = get_config(options)
    assert (config.phase, config.name) == (phase, name)
    assert config.model.classes == classes
    assert config.model.cascade == (phase == 2)
    assert dict(config.data.labels) == {0: 0, 1: 1, 2: 2, 3: cyst}
    assert config.model.width == 16
    setup.check(config)


def test_another_argument_is_refused():
    with pytest.raises(ValueError, match="none of cyst_as_kidney, phase1"):
        get_config("phase2")


def parts(config):
    """An initial state and a training step, neither run yet."""
    module, optimiser = setup.module_of(config), optax.sgd(1e-2)
    init = functools.partial(init_state, module=module, optimiser=optimiser)
    step = functools.partial(
        train_step,
        module=module,
        optimiser=optimiser,
        loss=cross_entropy,
        stage_weights=(1.0, 1.0),
        seed=0,
    )
    return functools.partial(init, jax.random.key(0, impl="rbg")), step


def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.normal(size=(1, 1, 16, 16, 16, 1)).astype(np.float32),
        "label": rng.integers(0, 4, (1, 1, 16, 16, 16)).astype(np.uint8),
    }


@pytest.mark.slow
def test_a_step_learns_from_every_class():
    config = get_config()
    config.model.width = 6  # as 16, no multiple of the 5 channels of stage 2
    init, step = parts(config)
    state = jax.jit(init)()
    after, metrics = jax.jit(step)(state, batch())
    assert np.isfinite(metrics["loss"])
    for stage in ("stage1", "stage2"):
        before, now = (
            s.params[stage]["head"]["logits"]["bias"] for s in (state, after)
        )
        assert before.shape == (4,)
        assert (before != now).all()


@pytest.mark.slow
def test_a_run_on_labels_with_cysts(tmp_path):
    root = tmp_path / "kits23"
    for number in range(3):
        write_case(root / "dataset", number)
        path = root / "dataset" / f"case_{number:05d}" / "segmentation.nii.gz"
        image = nib.load(path)
        label = np.asarray(image.dataobj).astype(np.uint8)
        label[16:][label[16:] == 1] = 3
        nib.save(nib.Nifti1Image(label, image.affine), path)
    config = get_config()
    config.data.root, config.data.cache = str(root), str(tmp_path / "cache")
    config.data.spacing_mm, config.data.folds = (4.0, 4.0, 4.0), 3
    config.sample.shape, config.model.width = (16, 32, 32), 6
    config.epochs = config.eval_every = 1
    config.batch_size = 2
    assert fit.fit(config, tmp_path / "run") == 0
    run = RunFolder(tmp_path / "run")
    facts = json.loads((run.path / "model.json").read_text())
    assert facts["classes"] == ["background", "kidney", "tumour", "cyst"]
