"""The same function as PyTorch's, to float64: against values that PyTorch gave once.

`python -m benchmarks.values_torch` made `reference_values.json`: a projection of each
array. `tests/baseline/test_same_function.py` compares whole arrays, and MONAI's.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import values_jax
from benchmarks.probes import CASES, RATE, draw_state, fingerprint
from vnet_jax.models import build
from vnet_jax.models.weights import to_state_dict

STORED = json.loads(
    Path(__file__).with_name("reference_values.json").read_text(encoding="utf-8")
)


def module_of(case):
    return build(
        cascade=case.cascade,
        activation=case.activation,
        width=case.width,
        dropout=0.0,
        dtype="float64",
    )


def drawn(module, channels):
    x = jax.ShapeDtypeStruct((1, 16, 16, 16, channels), jnp.float64)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    empty = jax.tree.map(lambda a: np.zeros(a.shape), shapes)
    return draw_state({k: v.shape for k, v in to_state_dict(empty).items()})


def free(name, kind):
    """What PyTorch and we may differ in.

    A bias before batch norm has no true gradient: what is there is rounding, which Adam
    scales up to whole steps. The norm takes the bias out again; only its running mean
    follows. Both are bounded instead, in `test_a_bias_before_batch_norm`.
    """
    followed = name.endswith("bn1.running_mean") and "up_tr" in name
    return name.endswith("up_conv.bias") or (kind == "after 20" and followed)


def compare(values, stored, kind, tolerance):
    named = {k: v for k, v in values.items() if not k.endswith("_tracked")}
    assert len(named) == len(stored)
    for (name, array), expected in zip(named.items(), stored, strict=True):
        if free(name, kind):
            continue
        off = abs(fingerprint(name, array) - expected)
        assert off <= tolerance * np.linalg.norm(array), name


@pytest.fixture(scope="module")
def found():
    """{name: (logits, training)} of our side, each computed once."""
    results = {}
    with jax.enable_x64(True):
        for name, case in CASES.items():
            module = module_of(case)
            state = drawn(module, case.channels)
            args = (module, state, case.channels)
            logits = values_jax.forward(*args, jax.jit)
            trained = values_jax.train(*args, case.stops, jax.jit)
            results[name] = (state, logits, trained)
    return results


@pytest.mark.parametrize("name", STORED)
def test_logits(found, name):
    _, logits, _ = found[name]
    stages = {f"stage{i + 1}": x for i, x in enumerate(logits)}
    compare(stages, STORED[name]["logits"], "logits", 1e-10)


@pytest.mark.parametrize("name", STORED)
def test_loss_and_gradients(found, name):
    _, _, trained = found[name]
    assert trained["loss"] == pytest.approx(STORED[name]["loss"], rel=1e-12)
    compare(trained["grads"], STORED[name]["grads"], "grads", 1e-10)


@pytest.mark.parametrize(
    ("name", "steps"), [(n, steps) for n, case in CASES.items() for steps in case.stops]
)
def test_adams_steps(found, name, steps):
    """1e-10 after one step; each step multiplies what rounding left, so 1e-8 after 20.

    A wrong epsilon, bias correction or rate would show at 1e-4, the size of a step.
    """
    _, _, trained = found[name]
    stored = STORED[name][f"after {steps}"]
    kind = f"after {steps}"
    compare(trained["after"][steps], stored, kind, 1e-10 if steps == 1 else 1e-8)


def test_a_bias_before_batch_norm(found):
    state, _, trained = found["vnet_elu"]
    largest = max(np.abs(g).max() for g in trained["grads"].values())
    for name in (n for n in state if n.endswith("up_conv.bias")):
        assert np.abs(trained["grads"][name]).max() < 1e-12 * largest
        moved = np.abs(trained["after"][20][name] - state[name]).max()
        assert moved <= 20 * RATE * (1 + 1e-6)
