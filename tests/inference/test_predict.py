import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.inference.known import Threshold, random_variables, variables
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.intensity import scale
from vnet_jax.inference import predict

AFFINE = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])


class Identity(nn.Module):
    """A softmax whose first class is x / 4 + 1/2: 0.25 to 0.75 for x in [-1, 1]."""

    @nn.compact
    def __call__(self, x, train):
        share = x / 4 + 0.5
        return (jnp.concatenate([jnp.log(share), jnp.log(1 - share)], -1),)


def predictor(module=None, window=(16, 16, 16), **settings):
    return predict.Predictor(
        module or Identity(),
        spacing_mm=(1, 1, 1),
        downsample=(1, 1, 1),
        window=window,
        **settings,
    )


def volume(shape, seed=0):
    hu = np.random.default_rng(seed).integers(-400, 400, shape).astype(np.int16)
    return Volume(hu, Grid(shape, AFFINE))


@pytest.mark.parametrize(
    "shape", [(16, 16, 16), (5, 3, 9), (20, 33, 16), (40, 15, 17), (1, 1, 1)]
)
def test_an_identity_network_gives_the_volume_back(shape):
    image = volume(shape)
    ((got, grid),) = predictor().softmax({}, image)
    assert got.dtype == np.float32
    assert grid.same_place(image.grid)
    np.testing.assert_allclose(got[..., 0], scale(image.array) / 4 + 0.5, rtol=1e-5)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-5)


def test_one_program_serves_every_shape_region_and_member():
    p = predictor(Threshold(stages=2))
    compiled = set()
    for shape in [(16, 16, 16), (5, 40, 20), (33, 16, 16)]:
        image = volume(shape)
        p.mean_softmax([variables(), variables()], image)
        p.softmax(variables(), image, image.grid.crop((1, 1, 1), (2, 2, 2)))
        compiled.add(p.compiled)
    assert len(compiled) == 1 and None not in compiled


def test_the_region_is_one_window_centred_on_it():
    image = volume((40, 50, 60))
    region = image.grid.crop((18, 20, 22), (4, 6, 2))
    p = predictor()
    ((got, grid),) = p.softmax({}, image, region)
    assert p.windows(image.grid, region) == [(12, 15, 15)]
    assert grid.same_place(image.grid.crop((12, 15, 15), (16, 16, 16)))
    part = image.array[12:28, 15:31, 15:31]
    np.testing.assert_allclose(got[..., 0], scale(part) / 4 + 0.5, rtol=1e-5)


def test_the_region_at_the_edge_is_shifted_and_padding_is_not_returned():
    image = volume((10, 50, 60))  # shallower than the window
    region = image.grid.crop((0, 48, 0), (10, 2, 2))
    ((got, grid),) = predictor().softmax({}, image, region)
    assert got.shape == (10, 16, 16, 2)
    assert grid.same_place(image.grid.crop((0, 34, 0), (10, 16, 16)))
    part = image.array[:, 34:, :16]
    np.testing.assert_allclose(got[..., 0], scale(part) / 4 + 0.5, rtol=1e-5)


def test_a_region_larger_than_the_window_is_tiled_along_that_axis_only():
    image = volume((40, 50, 60))
    region = image.grid.crop((10, 10, 5), (4, 30, 4))
    p = predictor()
    assert p.windows(image.grid, region) == [(4, 10, 0), (4, 18, 0), (4, 24, 0)]
    ((got, grid),) = p.softmax({}, image, region)
    assert grid.same_place(image.grid.crop((4, 10, 0), (16, 30, 16)))
    part = image.array[4:20, 10:40, :16]
    np.testing.assert_allclose(got[..., 0], scale(part) / 4 + 0.5, rtol=1e-5)


def test_a_region_on_another_grid_means_the_same_place():
    image = volume((40, 48, 60))
    coarse = image.grid.downsample((1, 4, 4)).crop((18, 5, 6), (4, 2, 1))
    fine = image.grid.crop((18, 20, 24), (4, 8, 4))
    p = predictor()
    assert p.box(image.grid, coarse) == p.box(image.grid, fine)


def test_a_region_outside_the_volume_is_refused():
    image = volume((16, 16, 16))
    with pytest.raises(ValueError, match="outside"):
        predictor().softmax({}, image, image.grid.crop((40, 0, 0), (3, 3, 3)))


def test_members_are_averaged_as_probabilities():
    image = volume((20, 16, 16))
    p = predictor(Threshold(stages=2))
    members = [{"params": {"gain": jnp.float32(g)}} for g in (1.0, 3.0, 9.0)]
    got = p.mean_softmax(iter(members), image)
    assert len(got) == 2  # one a stage
    alone = [p.softmax(member, image)[1][0] for member in members]
    np.testing.assert_allclose(got[1][0], np.mean(alone, axis=0), rtol=1e-5)


def test_no_member_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        predictor().mean_softmax([], volume((4, 4, 4)))


def test_padding_is_the_scaled_value_given():
    p = predictor(pad_value=-0.5)
    image = volume((2, 2, 2))
    window = p.input_window(image, (-7, -7, -7))
    assert window.shape == (1, 16, 16, 16, 1)
    np.testing.assert_array_equal(window[0, 7:9, 7:9, 7:9, 0], scale(image.array))
    window[0, 7:9, 7:9, 7:9] = -0.5
    assert (window == -0.5).all()


def test_the_input_is_not_modified():
    image = volume((20, 20, 20))
    before = image.array.copy()
    predictor().softmax({}, image)
    np.testing.assert_array_equal(image.array, before)


CONFIG = ConfigDict(
    {
        "data": {
            "spacing_mm": (3.0, 1.5, 1.5),
            "downsample": (1, 2, 2),
            "clip_hu": (-250.0, 250.0),
            "pad_value": 0.0,
        },
        "sample": {"shape": (16, 32, 32)},
        "overlap": 0.5,
        "model": {"cascade": False, "width": 4, "classes": 3},
    }
)


def test_another_dtype_than_the_trained_one_is_used_and_rounds():
    p = predict.from_config(CONFIG)
    variables = random_variables(predict.models.build(**CONFIG.model), p.window)
    image = volume((16, 32, 32))
    ((exact, _),) = p.softmax(variables, image)
    ((rough, _),) = predict.from_config(CONFIG, "bfloat16").softmax(variables, image)
    assert rough.dtype == np.float32
    assert 1e-5 < np.abs(rough - exact).max() < 0.1


def test_from_config_builds_the_network_and_uses_running_averages():
    p = predict.from_config(CONFIG)
    assert (p.spacing_mm, p.downsample) == ((3.0, 1.5, 1.5), (1, 2, 2))
    assert (p.window, p.overlap) == ((16, 32, 32), 0.5)
    variables = random_variables(predict.models.build(**CONFIG.model), p.window)
    image = volume((12, 32, 32))
    ((got, _),) = p.softmax(variables, image)
    assert got.shape == (12, 32, 32, 3)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-5)
    # With the batch's own statistics a shift of the running mean would change nothing.
    stats = jax.tree.map(lambda a: a + 1, variables["batch_stats"])
    ((shifted, _),) = p.softmax({**variables, "batch_stats": stats}, image)
    assert np.abs(shifted - got).max() > 1e-3
