import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from vnet_jax.errors import InputError
from vnet_jax.runs import sharding


@pytest.mark.parametrize(
    ("batch", "device_batch", "available", "devices", "micro", "count"),
    [
        (4, 1, 4, 4, 4, 1),  # the authors' four cards
        (4, 1, 1, 1, 1, 4),
        (4, 1, 2, 2, 2, 2),
        (4, 1, 3, 2, 2, 2),  # 3 does not divide 4
        (4, 1, 8, 4, 4, 1),
        (4, 4, 1, 1, 4, 1),
        (4, 3, 1, 1, 2, 2),  # 3 would leave a micro-batch of 1
        (4, 100, 2, 2, 4, 1),
        (6, 2, 4, 3, 6, 1),
        (5, 2, 4, 1, 1, 5),
        (12, 2, 4, 4, 4, 3),  # 3 a device; 2 does not divide it
        (1, 1, 8, 1, 1, 1),
    ],
)
def test_the_plan(batch, device_batch, available, devices, micro, count):
    plan = sharding.plan_batch(batch, device_batch, available)
    assert (plan.devices, plan.micro_batch, plan.micro_batches) == (
        devices,
        micro,
        count,
    )
    assert plan.micro_batch % plan.devices == 0
    assert plan.micro_batch // plan.devices <= device_batch


def test_the_plan_says_what_it_leaves_out():
    line = str(sharding.plan_batch(4, 1, 3))
    assert (
        line == "batch 4 = 2 x 2 on 2 devices, 1 unused: they do not divide the batch"
    )
    assert str(sharding.plan_batch(4, 4, 1)) == "batch 4 = 1 x 4 on 1 device"


@pytest.mark.parametrize("numbers", [(0, 1, 1), (4, 0, 1), (4, 1, 0)])
def test_a_plan_needs_at_least_one_of_each(numbers):
    with pytest.raises(ValueError, match="at least 1"):
        sharding.plan_batch(*numbers)


FULL = (80, 240, 384)


@pytest.mark.parametrize(
    ("batch", "available", "data", "space", "found"),
    [
        (4, 8, 0, 4, (8, 2, 4)),  # devices, micro-batch, of them in space
        (4, 4, 0, 4, (4, 1, 4)),
        (4, 4, 0, 2, (4, 2, 2)),
        (4, 4, 2, 1, (2, 2, 1)),
        (4, 8, 1, 2, (2, 1, 2)),
        (3, 8, 0, 2, (6, 3, 2)),
    ],
)
def test_a_volume_goes_over_several_devices(batch, available, data, space, found):
    plan = sharding.plan_batch(batch, 1, available, data=data, space=space, shape=FULL)
    assert (plan.devices, plan.micro_batch, plan.space) == found
    assert plan.data * plan.space == plan.devices and plan.held == 1
    assert space == 1 or (plan.axis == 2 and "along W" in str(plan))


def test_the_longest_axis_is_cut():
    def axis(*shape):
        return sharding.plan_batch(1, 1, 2, space=2, shape=shape).axis

    assert (axis(64, 32, 32), axis(32, 64, 32), axis(32, 32, 64)) == (0, 1, 2)
    assert axis(64, 128, 128) == 2 and axis(128, 128, 64) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(space=8), "mesh.data 1 x mesh.space 8 needs 8 devices, there are 4"),
        (dict(data=4, space=2), "mesh.data 4 x mesh.space 2 needs 8 devices"),
        (dict(data=3), "mesh.data 3 does not divide batch_size 4"),
        (
            dict(space=4, shape=(80, 240, 400)),
            r"cannot cut 400 voxels \(W\) .*multiple of 64",
        ),
    ],
)
def test_devices_that_do_not_suffice_are_refused(asked, message):
    with pytest.raises(InputError, match=message):
        sharding.plan_batch(4, 1, 4, **{"shape": FULL} | asked)


def test_micro_batches_keep_the_order_of_the_samples():
    plan = sharding.plan_batch(4, 2, 1)
    cut = sharding.over_batch(sharding.mesh_of(plan))
    images = np.arange(4 * 3, dtype=np.float32).reshape(4, 3)
    assert sharding.own_samples(plan, cut) == [0, 1, 2, 3]
    put = sharding.put_batch({"image": images, "label": np.arange(4)}, plan, cut)
    assert put["image"].shape == (2, 2, 3)
    np.testing.assert_array_equal(put["image"].reshape(4, 3), images)
    np.testing.assert_array_equal(put["label"], [[0, 1], [2, 3]])
    assert put["image"].sharding.spec == PartitionSpec(None, "data")


def test_a_replicated_tree_comes_back_from_its_first_device():
    whole = sharding.replicated(sharding.mesh_of(sharding.plan_batch(1, 1, 1)))
    tree = {"a": jax.device_put(np.arange(3.0), whole)}
    alone = sharding.on_first_device(tree)
    np.testing.assert_array_equal(alone["a"], np.arange(3.0))
    assert alone["a"].devices() == {jax.devices()[0]}


def test_a_device_is_chosen_by_name():
    before = jax.config.jax_default_device
    try:
        sharding.use_device("cpu:0")
        assert jax.config.jax_default_device == jax.devices("cpu")[0]
        assert sharding.device_in_use() == "cpu"
        assert jax.jit(lambda x: x + 1)(1).devices() == {jax.devices("cpu")[0]}
    finally:
        jax.config.update("jax_default_device", before)


@pytest.mark.parametrize("name", ["abacus", "cpu:99", "cpu:one", "cpu:-2"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(InputError, match=r"choose from .*cpu"):
        sharding.use_device(name)


@pytest.fixture
def cache_dir(monkeypatch, tmp_path):
    """The setting, put back afterwards; the user's cache folder is a fresh one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    yield lambda: jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", before)


def test_programs_for_a_gpu_are_kept_in_the_users_cache(
    monkeypatch, tmp_path, cache_dir
):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.config.update("jax_compilation_cache_dir", None)
    sharding.keep_compiled()
    assert cache_dir() == str(tmp_path / "vnet_jax/compiled")
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    sharding.keep_compiled()
    assert cache_dir() == "elsewhere"


def test_programs_for_a_cpu_are_not_kept(monkeypatch, cache_dir):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    jax.config.update("jax_compilation_cache_dir", None)
    sharding.keep_compiled()
    assert cache_dir() is None
