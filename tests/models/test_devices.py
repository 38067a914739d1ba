"""One device and four, in a process of their own that has four CPU devices."""

import os
import subprocess
import sys

PROGRAM = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from vnet_jax.models import build
from vnet_jax.models.conv import conv, which_form
from vnet_jax.models.losses import staged

assert len(jax.devices()) == 4
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
whole, batch = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
rng = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def both(f, params, *data):
    '''f on one device; on four with `data` cut over the batch; the program's text.'''
    one = jax.jit(f)(params, *data)
    shardings = (whole, *(batch for _ in data))
    program = jax.jit(f, in_shardings=shardings).lower(params, *data).compile()
    arguments = [jax.device_put(a, s) for a, s in zip((params, *data), shardings)]
    return one, program(*arguments), program.as_text()


def close(a, b, rtol):
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(a))
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(q, p, rtol=0, atol=rtol * scale)


def conv_loss(w, x):
    return jnp.mean(conv(x, w) ** 2)


w, x = draw(5, 3, 5, 3, 6), draw(8, 5, 6, 7, 3)
one, four, text = both(jax.value_and_grad(conv_loss, (0, 1)), w, x)
close(one[0], four[0], 1e-6)
close(one[1], four[1], 1e-5)
if which_form() == "onednn":
    assert "__onednn$convolution" in text
    assert "all-gather" not in text and "all-to-all" not in text, text
    assert "all-reduce" in text, "the kernel's gradient is summed over the devices"

module = build(cascade=False, width=4, norm="batch")
x = draw(4, 16, 16, 16, 1)
labels = rng.integers(0, 3, (4, 16, 16, 16), np.uint8)
variables = jax.jit(module.init)(jax.random.key(0), x)


def network_loss(params, x, labels):
    logits, new = module.apply(
        {**variables, "params": params}, x, True,
        rngs={"dropout": jax.random.key(1)}, mutable=["batch_stats"],
    )
    return staged(logits, labels), new


f = jax.value_and_grad(network_loss, has_aux=True)
one, four, text = both(f, variables["params"], x, labels)
assert "all-gather" not in text, "no device needs the samples of another"
close(one[0], four[0], 1e-5)
close(one[1], four[1], 1e-4)
print("equal")
"""


def test_one_device_and_four_are_equal():
    # Without LLVM's optimisation, half of the compilation; partitioning comes before.
    flags = (
        "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "equal"
