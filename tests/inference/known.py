"""Networks for tests, and run folders that hold them.

`Threshold` is a network whose answer is known: the class is read off the HU of each
voxel, so that everything around the network can be held against the CT itself.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp

from vnet_jax.data.splits import Splits
from vnet_jax.runs import folder

ROOT = Path(__file__).parents[2]
KIDNEY_HU, TUMOUR_HU = 100.0, 30.0


class Threshold(nn.Module):
    """Kidney from 100 HU on, tumour from 30 to 100, else background; clip +-250.

    Sharp enough that the likeliest class is the class of the voxel; the parameter that
    multiplies the logits makes it a network with variables like any other.
    """

    stages: int = 1

    @nn.compact
    def __call__(self, x, train):
        gain = self.param("gain", nn.initializers.constant(200.0), ())
        hu = x[..., 0] * 250
        kidney = hu - KIDNEY_HU
        tumour = jnp.minimum(hu - TUMOUR_HU, KIDNEY_HU - hu)
        logits = jnp.stack([jnp.zeros_like(hu), kidney, tumour], -1) * gain / 250
        return (logits,) * self.stages


def variables(gain=200.0):
    return {"params": {"gain": np.float32(gain)}, "batch_stats": {}}


def random_variables(module, window, seed=0):
    """Variables of a network without compiling its initialisation.

    Weights are normal with the scale of their fan-in, everything else is its usual
    start: scales and variances 1, biases and means 0.
    """
    x = jax.ShapeDtypeStruct((1, *window, 1), jnp.float32)
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda k, a: module.init(k, a, train=False), key, x)
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if leaf.ndim > 1:
            fan_in = np.prod(leaf.shape[:-1])
            return rng.normal(0, fan_in**-0.5, leaf.shape).astype(np.float32)
        one = any(word in jax.tree_util.keystr(path) for word in ("scale", "var"))
        return np.full(leaf.shape, float(one), np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@dataclass
class Trained:
    """What a checkpoint is saved from."""

    variables: dict
    rest: dict = field(default_factory=lambda: {"opt_state": {"count": np.int32(0)}})


def config(phase, spacing_mm, downsample, window, cascade=False, **model):
    spec = importlib.util.spec_from_file_location("paper", ROOT / "configs/phase1.py")
    paper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(paper)
    c = paper.get_config()
    c.phase, c.name = phase, f"phase{phase}"
    c.data.spacing_mm, c.data.downsample = spacing_mm, downsample
    c.sample.shape = window
    c.model.cascade = cascade
    c.model.update(model)
    return c


def write_run(path, config, members, synthetic=True):
    """A run folder; `members` is {step: (score, variables)}."""
    run = folder.create(path, config, Splits(("a",), ("b",)), synthetic=synthetic)
    with run.checkpoints as checkpoints:
        for step, (score, values) in sorted(members.items()):
            checkpoints.save(step, Trained({"batch_stats": {}, **values}))
            checkpoints.score(step, score)
    return path


def build(**model):
    """In the place of `models.build`: the known network, with as many stages."""
    return Threshold(stages=2 if model["cascade"] else 1)
