"""A training state small enough to look at."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vnet_jax.training.state import TrainState


def make(step: int, norm: bool = True, average: bool = False) -> TrainState:
    rng = np.random.default_rng(step)
    params = {"conv": {"kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}}
    stats = {"norm": {"mean": jnp.asarray(rng.normal(size=4), jnp.float32)}}
    opt_state = optax.adam(lambda count: 0.1).init(params)
    mean = jax.tree.map(lambda p: p / 2, params) if average else {}
    return TrainState(jnp.int32(step), params, stats if norm else {}, opt_state, mean)


@pytest.fixture(name="make")
def make_fixture():
    """Step, norm, average -> a state that differs from step to step."""
    return make
