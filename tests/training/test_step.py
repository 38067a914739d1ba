import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from vnet_jax import models
from vnet_jax.models.layers import ChannelDropout, Conv, activate, normalise
from vnet_jax.models.losses import cross_entropy
from vnet_jax.training.state import TrainState, init_state
from vnet_jax.training.step import train_step

SHAPE = (16, 16, 16)


def batch(count: int, size: int, seed: int = 0) -> dict:
    """The same samples whatever their division into micro-batches."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count * size, *SHAPE, 1)).astype(np.float32)
    labels = rng.integers(0, 3, size=(count * size, *SHAPE)).astype(np.uint8)
    return {
        "image": jnp.asarray(images.reshape(count, size, *SHAPE, 1)),
        "label": jnp.asarray(labels.reshape(count, size, *SHAPE)),
    }


class Small(nn.Module):
    """The parts of a V-Net that a step has to do with, compiled in a second.

    `test_fit` and `test_devices` train the networks themselves.
    """

    norm: str

    @nn.compact
    def __call__(self, x, train=False, index=None):
        index = jnp.arange(len(x)) if index is None else index
        y = normalise(self.norm, Conv(4, 3, name="conv")(x), train, "norm")
        y = ChannelDropout(0.5, name="dropout")(activate("elu", y, "act"), train, index)
        return (Conv(3, 1, use_bias=True, name="logits")(y),)


@functools.cache
def parts(norm: str):
    """A small network, plain gradient descent, a state and its jitted step."""
    module = Small(norm)
    optimiser = optax.sgd(0.1)
    init = functools.partial(init_state, module=module, optimiser=optimiser)
    state = jax.jit(init)(jax.random.key(0, impl="rbg"))
    step = functools.partial(
        train_step,
        module=module,
        optimiser=optimiser,
        stage_weights=(1.0, 0.25),
        seed=3,
    )
    return module, state, jax.jit(step)


def close(a, b, rtol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(
            x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max() + 1e-12)
        ),
        a,
        b,
    )


def test_a_step_by_its_formula():
    module, state, step = parts("none")
    data = batch(1, 4)
    key = jax.random.fold_in(jax.random.key(3), 0)

    def loss(params):
        (logits,) = module.apply(
            {"params": params}, data["image"][0], train=True, rngs={"dropout": key}
        )
        return cross_entropy(logits, data["label"][0])

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    after, metrics = step(state, data)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss_stage1"], value, rtol=1e-6)
    squares = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(grads))
    np.testing.assert_allclose(metrics["grad_norm"], squares**0.5, rtol=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    close(after.params, expected)
    assert int(after.step) == 1 and after.batch_stats == {}


def test_accumulation_is_the_whole_batch_dropout_included():
    # Without batch norm, which sees the micro-batch, nothing may differ but rounding:
    # a sample's dropout follows its index in the global batch.
    _, state, step = parts("none")
    whole, one_by_one = step(state, batch(1, 4)), step(state, batch(4, 1))
    close(one_by_one, whole, rtol=2e-5)


def test_another_order_of_the_samples_is_another_step():
    _, state, step = parts("none")
    data = batch(4, 1)
    turned = jax.tree.map(lambda x: x[::-1], data)
    a, b = step(state, data)[1], step(state, turned)[1]
    assert abs(float(a["loss"] - b["loss"])) > 1e-6  # each sample has its own dropout


def test_running_averages_follow_the_micro_batches_in_their_order():
    module, state, step = parts("batch")
    data = batch(2, 2)
    after, metrics = step(state, data)
    key = jax.random.fold_in(jax.random.key(3), 0)

    @jax.jit
    def forward(stats, micro, index):
        logits, updated = module.apply(
            {"params": state.params, "batch_stats": stats},
            micro["image"],
            train=True,
            index=index,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return cross_entropy(logits[0], micro["label"]), updated["batch_stats"]

    stats, losses = state.batch_stats, []
    for i in range(2):
        micro = jax.tree.map(lambda x, i=i: x[i], data)
        loss, stats = forward(stats, micro, 2 * i + jnp.arange(2))
        losses.append(float(loss))
    close(after.batch_stats, stats)
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)


def test_dropout_follows_the_step():
    _, state, step = parts("none")
    data = batch(1, 4)
    first = step(state, data)[1]["loss"]
    later = step(state.replace(step=jnp.int32(1)), data)[1]["loss"]
    assert float(first) == float(step(state, data)[1]["loss"]) != float(later)


def test_the_inputs_stay_and_the_tree_too():
    _, state, step = parts("batch")
    before = jax.tree.map(np.array, state)
    after, _ = step(state, batch(2, 2))
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, state))
    assert isinstance(after, TrainState)
    assert dtypes(after) == dtypes(state)


def test_in_bfloat16_the_state_and_the_losses_stay_float32():
    module = models.build(cascade=True, width=4, dtype="bfloat16")
    optimiser = optax.adam(0.1)
    init = functools.partial(init_state, module=module, optimiser=optimiser)
    state = jax.eval_shape(init, jax.random.key(0))
    step = functools.partial(
        train_step, module=module, optimiser=optimiser, stage_weights=(1, 1), seed=0
    )
    after, metrics = jax.eval_shape(step, state, batch(1, 1))
    assert dtypes(after) == dtypes(state)
    assert set(jax.tree.leaves(dtypes(metrics))) == {jnp.dtype("float32")}


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def test_the_average_follows_the_parameters_and_is_what_predicts():
    both = dict(module=Small("none"), optimiser=optax.sgd(0.1), ema=0.9)
    init = jax.jit(functools.partial(init_state, **both))
    step = jax.jit(
        functools.partial(train_step, **both, stage_weights=(1.0,), seed=3),
        donate_argnums=0,
    )
    state = init(jax.random.key(0, impl="rbg"))
    expected = jax.tree.map(np.asarray, state.params)
    close(state.average, expected, rtol=1e-9)
    for k in range(3):
        state, _ = step(state, batch(1, 2, seed=k))
        keep = (1 + k) / (10 + k)
        expected = jax.tree.map(
            lambda a, p, keep=keep: keep * a + (1 - keep) * p, expected, state.params
        )
    close(state.average, expected)
    assert state.variables["params"] is state.average
    assert jax.tree.structure(state.rest["params"]) == jax.tree.structure(state.params)
