import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from vnet_jax.models.layers import (
    BatchNorm,
    ChannelDropout,
    Conv,
    DownConv,
    PReLU,
    UpConv,
    activate,
    normalise,
    uniform,
)


class Normalised(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x, train):
        return normalise(self.kind, x, train, "norm")


class Activated(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x):
        return activate(self.kind, x, "act")


def draw(*shape):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def test_uniform_has_pytorchs_bounds_and_deviation():
    values = uniform(2000)(jax.random.key(0), (5, 5, 5, 16, 32))
    bound = 2000**-0.5
    assert values.shape == (5, 5, 5, 16, 32)
    assert 0.999 * bound < jnp.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert abs(values.mean()) < 0.01 * bound


@pytest.mark.parametrize(
    ("layer", "fan_in"), [(Conv(4), 125 * 3), (DownConv(4), 8 * 3), (UpConv(4), 3)]
)
def test_kernels_start_from_their_own_fan_in(layer, fan_in):
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 2, 2, 2, 3)))
    largest = jnp.abs(variables["params"]["kernel"]).max()
    assert 0.8 * fan_in**-0.5 < largest <= fan_in**-0.5


def test_bias_is_added_and_starts_at_zero():
    x = draw(1, 2, 2, 2, 3)
    for layer in (Conv(4, use_bias=True), DownConv(4, use_bias=True), UpConv(4)):
        variables = layer.init(jax.random.key(0), x)
        assert not variables["params"]["bias"].any()
        y = layer.apply(variables, x)
        shifted = {"params": variables["params"] | {"bias": jnp.arange(4.0)}}
        np.testing.assert_allclose(
            layer.apply(shifted, x) - y, jnp.zeros_like(y) + jnp.arange(4.0), atol=1e-6
        )


def test_down_convolution_is_a_sum_over_each_block():
    x = draw(2, 4, 2, 6, 3)
    kernel = draw(2, 2, 2, 3, 5)
    y = DownConv(5).apply({"params": {"kernel": kernel}}, x)
    assert y.shape == (2, 2, 1, 3, 5)
    block = x[1, 2:4, 0:2, 4:6]  # of output voxel (1, 0, 2)
    np.testing.assert_allclose(
        y[1, 1, 0, 2], np.einsum("xyzc,xyzco->o", block, kernel), rtol=2e-5, atol=1e-5
    )


def test_up_convolution_writes_each_block_from_one_voxel():
    x = draw(2, 2, 1, 3, 4)
    kernel = draw(2, 2, 2, 4, 5)
    y = UpConv(5).apply({"params": {"kernel": kernel, "bias": jnp.zeros(5)}}, x)
    assert y.shape == (2, 4, 2, 6, 5)
    block = y[1, 2:4, 0:2, 4:6]  # of input voxel (1, 0, 2)
    np.testing.assert_allclose(
        block, np.einsum("c,xyzco->xyzo", x[1, 1, 0, 2], kernel), rtol=2e-5, atol=1e-5
    )


def test_prelu_has_a_slope_a_channel_from_a_quarter():
    x = jnp.array([[-4.0, -4.0], [4.0, 0.0]])
    variables = PReLU().init(jax.random.key(0), x)
    assert variables["params"]["alpha"].shape == (2,)
    np.testing.assert_array_equal(PReLU().apply(variables, x), [[-1, -1], [4, 0]])
    slopes = {"params": {"alpha": jnp.array([0.5, 0.0])}}
    np.testing.assert_array_equal(PReLU().apply(slopes, x), [[-2, 0], [4, 0]])


def test_activations_by_hand():
    x = jnp.array([-1.0, 0.0, 2.0])
    elu = Activated("elu").apply({}, x)
    np.testing.assert_allclose(elu, [np.exp(-1) - 1, 0, 2], rtol=1e-6)
    prelu = Activated("prelu").init_with_output(jax.random.key(0), x)[0]
    np.testing.assert_array_equal(prelu, [-0.25, 0, 2])


def test_batch_norm_uses_the_batch_and_moves_its_averages_by_a_tenth():
    x = 100 + 2 * draw(2, 4, 4, 4, 3)
    module = Normalised("batch")
    variables = module.init(jax.random.key(0), x, True)
    y, new = module.apply(variables, x, True, mutable=["batch_stats"])
    exact = np.asarray(x, np.float64)
    mean, var = exact.mean((0, 1, 2, 3)), exact.var((0, 1, 2, 3))
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(var + 1e-5), atol=1e-4)
    stats = new["batch_stats"]["norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-4)
    y = module.apply({**variables, **new}, x, False)
    expected = (exact - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-4)


def test_batch_norm_of_bfloat16_keeps_float32_statistics():
    x = (100 + draw(2, 4, 4, 4, 3)).astype(jnp.bfloat16)  # steps of 0.5 around 100
    module = Normalised("batch")
    y, new = module.init_with_output(jax.random.key(0), x, True)
    assert y.dtype == jnp.bfloat16
    stats = new["batch_stats"]["norm"]
    assert {a.dtype for a in jax.tree.leaves(new)} == {jnp.dtype("float32")}
    exact = np.asarray(x, np.float64)
    _, new = module.apply(new, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(
        new["batch_stats"]["norm"]["mean"],
        0.9 * np.asarray(stats["mean"]) + 0.1 * exact.mean((0, 1, 2, 3)),
        rtol=1e-6,
    )


@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (4, 4), (16, 8), (20, 4)])
def test_group_norm_is_of_one_sample_and_its_groups(channels, groups):
    x = 5 + draw(2, 2, 3, 4, channels)
    y = Normalised("group").init_with_output(jax.random.key(0), x, True)[0]
    split = np.asarray(x, np.float64).reshape(2, -1, groups, channels // groups)
    mean, var = (f(split, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((split - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_no_norm_is_the_identity():
    x = draw(1, 2, 2, 2, 3)
    y, variables = Normalised("none").init_with_output(jax.random.key(0), x, True)
    assert not variables
    np.testing.assert_array_equal(y, x)


def drop(x, index, rate=0.5, train=True):
    rngs = {"dropout": jax.random.key(3)}
    return ChannelDropout(rate).apply({}, x, train, jnp.asarray(index), rngs=rngs)


def test_dropout_takes_whole_channels_and_keeps_the_mean():
    x = jnp.ones((8, 2, 2, 2, 512))
    y = drop(x, range(8), rate=0.25)
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1, :1, :1], y.shape))
    # 4096 draws: 0.25 dropped, standard deviation 0.0068.
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert not (y[0] == y[1]).all(), "every sample has its own mask"


def test_dropout_depends_on_the_place_in_the_global_batch_alone():
    x = jnp.ones((4, 1, 1, 1, 64))
    whole = drop(x, range(4))
    for i in range(4):
        np.testing.assert_array_equal(drop(x[i : i + 1], [i]), whole[i : i + 1])
    np.testing.assert_array_equal(drop(x, [3, 2, 1, 0]), whole[::-1])


def test_no_dropout_in_evaluation_or_at_rate_0():
    x = jnp.ones((1, 1, 1, 1, 64))
    np.testing.assert_array_equal(drop(x, [0], train=False), x)
    np.testing.assert_array_equal(drop(x, [0], rate=0.0), x)


def normed(x, samples, train=True):
    """Output and running averages of batch norm, its scale and bias not 1 and 0."""
    module = BatchNorm(samples)
    variables = module.init(jax.random.key(0), x, True)
    channels = x.shape[-1]
    variables["params"] = {
        "scale": jnp.linspace(0.5, 2, channels),
        "bias": jnp.linspace(-1, 1, channels),
    }
    return module.apply(variables, x, train, mutable=["batch_stats"])


def test_batch_norm_of_each_device_knows_its_own_samples_alone():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (4, 2, 3, 2, 5)), jnp.float32)
    together, averages = normed(x, 2)
    halves = [normed(half, 0) for half in (x[:2], x[2:])]
    np.testing.assert_allclose(together[:2], halves[0][0], atol=1e-6)
    np.testing.assert_allclose(together[2:], halves[1][0], atol=1e-6)
    for name in ("mean", "var"):
        parts = [h[1]["batch_stats"][name] for h in halves]
        whole = averages["batch_stats"][name]
        np.testing.assert_allclose(whole, np.mean(parts, 0), rtol=1e-6)
    assert np.abs(together - normed(x, 0)[0]).max() > 0.1


def test_batch_norm_is_that_of_flax_where_the_whole_batch_is_meant():
    x = jnp.asarray(np.random.default_rng(1).normal(3, 2, (4, 2, 3, 2, 5)), jnp.float32)
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5)
    variables = theirs.init(jax.random.key(0), x)
    wanted, stats = theirs.apply(variables, x, mutable=["batch_stats"])
    ours = BatchNorm()
    got, mine = ours.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(got, wanted, atol=5e-6)
    for name in ("mean", "var"):
        a, b = mine["batch_stats"][name], stats["batch_stats"][name]
        np.testing.assert_allclose(a, b, rtol=1e-5)
    later = {**variables, **mine}
    theirs = nn.BatchNorm(use_running_average=True, momentum=0.9, epsilon=1e-5)
    np.testing.assert_allclose(
        ours.apply(later, x, False), theirs.apply(later, x), atol=5e-6
    )
