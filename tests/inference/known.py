"""A network whose answer is known: it reads the class off the HU of each voxel."""

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp


class Threshold(nn.Module):
    """Kidney from 100 HU on, tumour from 30 to 100, else background; clip +-250.

    Sharp enough that the likeliest class is the class of the voxel; a parameter that
    multiplies the logits makes it a network with variables like any other.
    """

    stages: int = 1

    @nn.compact
    def __call__(self, x, train):
        gain = self.param("gain", nn.initializers.constant(200.0), ())
        hu = x[..., 0] * 250
        kidney, tumour = hu - 100, jnp.minimum(hu - 30, 100 - hu)
        logits = jnp.stack([jnp.zeros_like(hu), kidney, tumour], -1) * gain / 250
        return (logits,) * self.stages


VARIABLES = {"params": {"gain": jnp.float32(200.0)}}


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
