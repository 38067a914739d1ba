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

steps, cascade, device_batch, *shape = map(int, sys.argv[2:])
plan = sharding.plan_batch(4, device_batch, sharding.available_devices())
rate = learning_rate(1e-4, 0.5, (200, 400), 42)
kind = {"norm": sys.argv[1], "norm_samples": plan.held}
module = models.build(cascade=bool(cascade), width=4, **kind)
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
    "held": plan.held,
    "held_by": len(jax.tree.leaves(state.params)[0].devices()),
    "initial": initial,
    "losses": losses,
    "programs": len(run.step.compiled),
}))
"""


QUICK = "--xla_backend_optimization_level=0"  # compiles in half the time


def train_on(
    counts, steps: int, cascade: bool, shape, flags: str = "", norm="batch", held=4
) -> list[dict]:
    """The same on each number of devices, all at once.

    A device holds at most `held` samples: with 4 nothing accumulates.
    """
    count = "--xla_force_host_platform_device_count"
    arguments = [norm, *(str(int(n)) for n in (steps, cascade, held, *shape))]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=os.environ
            | {"XLA_FLAGS": f"{count}={devices} {flags}", "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for devices in counts
    ]
    told = [program.communicate() for program in programs]
    assert not any(program.returncode for program in programs), told
    return [json.loads(out.splitlines()[-1]) for out, _ in told]


def check_same(counts, runs, held) -> None:
    one, *_ = runs
    for count, run in zip(counts, runs, strict=True):
        assert run["devices"] == run["held_by"] == count
        assert run["held"] == min(held, 4 // count)
        assert run["programs"] == 1
        assert run["initial"] == pytest.approx(one["initial"], rel=1e-6)
        np.testing.assert_allclose(run["losses"], one["losses"], rtol=1e-5)
        assert run["losses"][-1] < run["losses"][0]


def test_four_devices_train_as_one():
    """Batch norm sees the global batch: all 4 samples, wherever they are."""
    check_same((1, 4), train_on((1, 4), 3, False, (16, 32, 32), QUICK), 4)


@pytest.mark.slow
def test_with_batch_norm_of_each_device_one_device_accumulates_the_same():
    """Each sample is normalised by itself, on 4 devices or one after the other."""
    per_device = {"norm": "batch_per_device", "held": 1}
    runs = train_on((1, 4), 3, False, (16, 32, 32), QUICK, **per_device)
    check_same((1, 4), runs, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "held"), [("batch", 4), ("batch_per_device", 1)])
def test_twenty_steps_of_phase_2_are_the_same_on_every_number(norm, held):
    counts = (1, 2, 4)
    runs = train_on(counts, 20, True, (32, 64, 96), norm=norm, held=held)
    check_same(counts, runs, held)
    losses = np.array([run["losses"] for run in runs])
    print(np.max(np.abs(losses / losses[0] - 1)))
