import jax
import jax.numpy as jnp
import pytest

from vnet_jax import memory, models
from vnet_jax.errors import InputError
from vnet_jax.runs import sharding
from vnet_jax.training import needs
from vnet_jax.training.fit import fit
from vnet_jax.training.programs import programs
from vnet_jax.training.state import learning_rate

FULL = (80, 240, 384)


def of(shape=FULL, batch=1, held=1, devices=1, space=1, ema=0.0, **model):
    module = models.build(**{"cascade": True} | model)
    plan = sharding.plan_batch(batch, held, devices, space=space, shape=shape)
    return needs.of_step(module, plan, shape, ema)


def test_the_papers_cascade():
    """Its parameters thrice in float32; what its 95 convolutions give, in bfloat16."""
    found = of(dtype="bfloat16")
    assert found.parameters == pytest.approx(91.2e6, rel=0.01)
    assert found.state == pytest.approx(3 * 4 * found.parameters, rel=1e-3)
    assert found.gradients == 4 * found.parameters
    assert found.activations == pytest.approx(5.4e9, rel=0.02)
    assert of(dtype="float32").activations > 1.8 * found.activations
    assert "91.2 million parameters" in str(found) and "5.40 GB of activations" in str(
        found
    )


def test_what_makes_it_smaller_or_larger():
    one = of(shape=(32, 64, 96), width=4)
    assert of(shape=(32, 64, 96), width=4, ema=0.99).state > 1.3 * one.state
    assert of(shape=(32, 64, 64), width=4).activations < 0.7 * one.activations
    cut = of(shape=(32, 64, 128), width=4, devices=2, space=2)
    assert cut.activations == of(shape=(32, 64, 64), width=4).activations
    together = of(shape=(32, 64, 96), width=4, batch=2, held=2)
    assert together.activations == 2 * one.activations
    piled = of(shape=(32, 64, 96), width=4, batch=2)
    assert piled.activations == one.activations and piled.gradients == 2 * one.gradients


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_compiled_step_takes_less(remat):
    """The least is below what XLA plans, and no small part of it."""
    shape = (16, 32, 32)
    module = models.build(cascade=False, width=8, remat=remat)
    plan = sharding.plan_batch(2, 2, 1)
    found = needs.of_step(module, plan, shape, 0.0)
    run = programs(
        module, plan, learning_rate(1e-4, 1, (), 1), (0.9, 0.999, 1e-8), (1.0,), 0
    )
    state = jax.eval_shape(run.init, jax.random.key(0))
    batch = {
        "image": jax.ShapeDtypeStruct((1, 2, *shape, 1), jnp.float32),
        "label": jax.ShapeDtypeStruct((1, 2, *shape), jnp.uint8),
    }
    planned = run.step.planned(state, batch)
    assert found.activations < planned
    assert 0.3 * planned < found.activations + found.gradients < 1.5 * planned
    leaves = jax.tree.leaves(state)
    counters = 3 * 4  # of steps: ours, Adam's, the schedule's
    assert found.state + counters == sum(x.size * x.dtype.itemsize for x in leaves)


def test_what_cannot_fit_is_refused_before_anything_is_read(monkeypatch, tiny_config):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_000)
    config = tiny_config()
    with config.unlocked():
        config.data.root = "nowhere"
    with pytest.raises(InputError, match=r"at least .* GB on each device.*remat"):
        fit(config, "no-workdir")


def test_a_step_that_xla_plans_too_large_is_refused():
    needs.check_planned(5_000_000_000, 6_000_000_000)
    needs.check_planned(5_000_000_000, None)
    with pytest.raises(InputError, match=r"takes 5.0 GB .* 4.0 GB are free"):
        needs.check_planned(5_000_000_000, 4_000_000_000)


def test_checkpoints_need_a_place(monkeypatch, tmp_path):
    class Usage:
        free = 3_000_000_000

    monkeypatch.setattr(needs.shutil, "disk_usage", lambda path: Usage)
    found = of(dtype="bfloat16")  # 1.09 GB a checkpoint
    assert "a checkpoint takes 1.1" in needs.check_disk(found, 0, tmp_path).replace(
        "1.09", "1.1"
    )
    with pytest.raises(InputError, match=r"may take 7.7 GB, 3.0 GB are free"):
        needs.check_disk(found, 5, tmp_path)


def test_running_out_of_memory_is_one_line():
    found = of(shape=(32, 64, 96), width=4)
    error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
    line = needs.out_of_memory(error, found)
    assert "out of memory" in str(line) and "device_batch" in str(line)
    assert needs.out_of_memory(RuntimeError("a shape"), found) is None
