import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax import models
from vnet_jax.training.state import (
    adam,
    init_state,
    learning_rate,
    moving_average,
)

PAPER = dict(initial=1e-4, decay=0.5, decay_epochs=(200, 400), steps_per_epoch=42)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-4),
        (8399, 1e-4),  # the last step of epoch 200
        (8400, 5e-5),
        (16799, 5e-5),
        (16800, 2.5e-5),
        (25199, 2.5e-5),  # the last of epoch 600
    ],
)
def test_the_papers_learning_rate(step, rate):
    schedule = learning_rate(**PAPER)
    assert schedule(step) == pytest.approx(rate, rel=1e-12)
    assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(rate, rel=1e-6)


def test_no_decay_is_a_constant():
    assert learning_rate(0.1, 0.5, (), 10)(10**6) == 0.1


def test_adam_by_its_formula():
    # Kingma and Ba 2015, algorithm 1, with the rate halved after the second step.
    optimiser = adam(learning_rate(0.1, 0.5, (2,), 1), b1=0.9, b2=0.99, eps=1e-3)
    params, state = {"w": jnp.array([1.0, -2.0])}, None
    state = optimiser.init(params)
    m = v = np.zeros(2)
    w = np.array([1.0, -2.0])
    for t, g in enumerate(([0.5, 2.0], [-1.0, 0.25], [3.0, 0.0]), start=1):
        updates, state = optimiser.update({"w": jnp.array(g)}, state, params)
        params = {"w": params["w"] + updates["w"]}
        m, v = 0.9 * m + 0.1 * np.array(g), 0.99 * v + 0.01 * np.square(g)
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        w = w - (0.1 if t <= 2 else 0.05) * step
        np.testing.assert_allclose(params["w"], w, rtol=1e-6)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_state_before_the_first_step(norm):
    module = models.build(cascade=False, width=1, norm=norm)
    optimiser = adam(learning_rate(**PAPER), 0.9, 0.999, 1e-8)
    state = jax.eval_shape(
        lambda key: init_state(key, module, optimiser), jax.random.key(0)
    )
    assert state.step.shape == () and state.step.dtype == jnp.int32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
    assert bool(state.batch_stats) == (norm == "batch")
    assert state.variables == {"params": state.params, "batch_stats": state.batch_stats}
    sizes = [
        sum(x.size for x in jax.tree.leaves(t)) for t in (state.params, state.opt_state)
    ]
    assert sizes[1] == 2 * sizes[0] + 2  # two moments and two counters


def numbers(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_moving_average_by_its_formula():
    values = np.random.default_rng(0).normal(size=200)
    average, expected = {"w": jnp.float32(5.0)}, 5.0
    for step, value in enumerate(values):
        average = moving_average(
            average, {"w": jnp.float32(value)}, jnp.int32(step), decay=0.9
        )
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
    assert float(average["w"]) == pytest.approx(expected, rel=1e-5)
    assert moving_average({}, {"w": 1.0}, 0, 0.9) == {}
