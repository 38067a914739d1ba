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

steps, cascade, *shape = map(int, sys.argv[1:])
plan = sharding.plan_batch(4, 4, sharding.available_devices())
rate = learning_rate(1e-4, 0.5, (200, 400), 42)
module = models.build(cascade=bool(cascade), width=4)
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


QUICK = "--xla_backend_optimization_level=0"  # compiles in half the time


def train_on_one_and_four(
    steps: int, cascade: bool, shape, flags: str = ""
) -> tuple[dict, dict]:
    """Both at once; a device holds 4 samples, so that nothing accumulates."""
    count = "--xla_force_host_platform_device_count"
    arguments = [str(int(n)) for n in (steps, cascade, *shape)]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=os.environ
            | {"XLA_FLAGS": f"{count}={devices} {flags}", "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for devices in (1, 4)
    ]
    told = [program.communicate() for program in programs]
    assert [program.returncode for program in programs] == [0, 0], told
    one, four = (json.loads(out.splitlines()[-1]) for out, _ in told)
    return one, four


def check_same(one: dict, four: dict) -> None:
    assert (one["devices"], four["devices"]) == (1, 4)
    assert (one["micro_batch"], four["micro_batch"]) == (4, 4)
    assert (one["held_by"], four["held_by"]) == (1, 4)
    assert (one["programs"], four["programs"]) == (1, 1)
    assert one["initial"] == pytest.approx(four["initial"], rel=1e-6)
    np.testing.assert_allclose(four["losses"], one["losses"], rtol=1e-5)
    assert one["losses"][-1] < one["losses"][0]


def test_four_devices_train_as_one():
    check_same(*train_on_one_and_four(3, False, (16, 32, 32), QUICK))


@pytest.mark.slow
def test_twenty_steps_of_phase_2_on_four_devices_are_those_of_one():
    one, four = train_on_one_and_four(20, True, (32, 64, 96))
    check_same(one, four)
    print(np.max(np.abs(np.divide(four["losses"], one["losses"]) - 1)))
