"""One device and four: the same training. In processes of their own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
import jax, numpy as np
from vnet_jax import models
from vnet_jax.runs import sharding
from vnet_jax.training.programs import programs
from vnet_jax.training.state import learning_rate

steps, device_batch, *shape = map(int, sys.argv[1:])
plan = sharding.plan_batch(4, device_batch, sharding.available_devices())
rate = learning_rate(1e-4, 0.5, (200, 400), 42)
module = models.build(cascade=True, width=4)
run = programs(module, plan, rate, (0.9, 0.999, 1e-8), (1.0, 1.0), 0)
state = run.init(jax.random.key(0, impl="rbg"))
initial = float(sum(abs(x).sum() for x in jax.tree.leaves(state.params)))
rng = np.random.default_rng(0)
losses = []
for _ in range(steps):
    label = np.zeros((4, *shape), np.uint8)
    label[:, 4:12, 8:24, 8:24] = rng.integers(1, 3, (4, 1, 1, 1))
    image = rng.normal(label, 0.5)[..., None].astype(np.float32)
    state, metrics = run.step(state, run.put({"image": image, "label": label}))
    losses.append(float(metrics["loss"]))
print(json.dumps({
    "devices": plan.devices,
    "micro_batch": plan.micro_batch,
    "held_by": len(jax.tree.leaves(state.params)[0].devices()),
    "initial": initial,
    "losses": losses,
    "programs": run.step._cache_size(),
}))
"""


def train(devices: int, steps: int, shape, device_batch: int = 4) -> dict:
    flags = f"--xla_force_host_platform_device_count={devices}"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    arguments = map(str, (steps, device_batch, *shape))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_same(one: dict, four: dict) -> None:
    assert (one["devices"], four["devices"]) == (1, 4)
    assert (one["micro_batch"], four["micro_batch"]) == (4, 4)
    assert (one["held_by"], four["held_by"]) == (1, 4)
    assert (one["programs"], four["programs"]) == (1, 1)
    assert one["initial"] == pytest.approx(four["initial"], rel=1e-6)
    np.testing.assert_allclose(four["losses"], one["losses"], rtol=1e-5)
    assert one["losses"][-1] < one["losses"][0]


def test_four_devices_train_as_one():
    shape = (16, 32, 32)
    check_same(train(1, 3, shape), train(4, 3, shape))


@pytest.mark.slow
def test_twenty_steps_of_phase_2_on_four_devices_are_those_of_one():
    shape = (32, 64, 96)
    check_same(train(1, 20, shape), train(4, 20, shape))
