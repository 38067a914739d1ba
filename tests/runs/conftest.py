"""A training state small enough to look at."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState


def make(step: int, norm: bool = True) -> State:
    rng = np.random.default_rng(step)
    params = {"conv": {"kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}}
    stats = {"norm": {"mean": jnp.asarray(rng.normal(size=4), jnp.float32)}}
    opt_state = optax.adam(lambda count: 0.1).init(params)
    return State(jnp.int32(step), params, stats if norm else {}, opt_state)


@pytest.fixture(name="make")
def make_fixture():
    """Step, norm -> a state that differs from step to step."""
    return make
