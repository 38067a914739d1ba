import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def filled():
    """Variables of a module with every leaf drawn at random, so that none is neutral.

    Kernels keep the size of their input; variances stay positive.
    """

    def draw(module, shape, seed=0):
        rng = np.random.default_rng(seed)
        spec = jax.ShapeDtypeStruct(shape, jnp.float32)
        variables = jax.eval_shape(module.init, jax.random.key(0), spec)

        def leaf(path, aval):
            value = rng.standard_normal(aval.shape)
            name = path[-1].key
            if name == "kernel":
                value /= np.sqrt(np.prod(aval.shape[:-1]))
            elif name in ("var", "scale"):
                value = 0.5 + np.abs(value)
            elif name == "alpha":
                value = 0.25 + 0.1 * value
            return jnp.asarray(value, aval.dtype)

        return jax.tree_util.tree_map_with_path(leaf, variables)

    return draw
