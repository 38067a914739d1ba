import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.optimised import jit
from vnet_jax import processor
from vnet_jax.models import winograd, xla
from vnet_jax.models.onednn import convolve, weight_gradient


@pytest.fixture(autouse=True)
def sixteen_lanes(monkeypatch):
    """As with AVX-512, whatever the processor."""
    monkeypatch.setattr(processor, "lanes", lambda: 16)


SUITS = [  # (N, D, H, W), inputs, outputs: at least 16 channels and 2048 voxels
    ((1, 8, 16, 16), 16, 16),
    ((2, 5, 12, 18), 16, 32),  # a depth that is no multiple of 4
    ((1, 19, 9, 13), 32, 16),  # odd everywhere
]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes]


def close(a, b, tolerance=2e-5):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape and np.abs(b).max() > 0
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


def exact(x, w, g):
    """Value and kernel gradient of XLA's own convolution, in float64."""
    with jax.enable_x64(True):
        x, w, g = (a.astype(jnp.float64) for a in (x, w, g))
        value, gradient = jit(_value_and_gradient)(x, w, g)
        return np.asarray(value), np.asarray(gradient)


def _value_and_gradient(x, w, g):
    value, back = jax.vjp(xla.native, x, w)
    return value, back(g)[1]


def test_matrices_give_the_four_outputs_of_a_tile():
    a, g, b = winograd._matrices()
    rng = np.random.default_rng(1)
    kernel, image = rng.standard_normal(5), rng.standard_normal(8)
    expected = np.correlate(image, kernel, "valid")
    np.testing.assert_allclose(a @ ((g @ kernel) * (b @ image)), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("chunk_bytes", "size", "inputs", "outputs"),
    [*((64 << 20, *shape) for shape in SUITS), (1, *SUITS[2])],
)
def test_both_forms_equal_the_definition(
    monkeypatch, chunk_bytes, size, inputs, outputs
):
    """To 2e-5 of the largest value, in one go or tile by tile.

    The sums before and after lose a digit.
    """
    monkeypatch.setattr(winograd, "CHUNK_BYTES", chunk_bytes)
    x, w, g = draw((*size, inputs), (5, 5, 5, inputs, outputs), (*size, outputs))
    assert winograd.suits(x.shape, w.shape)
    value, gradient = exact(x, w, g)
    for forward, backward in (
        (convolve, weight_gradient),
        (xla.planar, xla.planar_gradient),
    ):
        close(jit(lambda x, w, f=forward: f(x, w))(x, w), value)
        close(jit(functools.partial(backward, k=(5, 5, 5)))(x, g), gradient)


def test_the_fallback_on_planes_that_are_too_large_for_products(monkeypatch):
    (size, inputs, outputs) = SUITS[1]
    x, w, g = draw((*size, inputs), (5, 5, 5, inputs, outputs), (*size, outputs))
    monkeypatch.setattr(xla, "SMALL_PLANE", 1)
    backward = functools.partial(xla.planar_gradient, k=(5, 5, 5))
    close(jit(backward)(x, g), exact(x, w, g)[1])


def test_with_registers_of_8_it_is_for_8_channels(monkeypatch):
    monkeypatch.setattr(processor, "lanes", lambda: 8)
    assert winograd.suits((1, 8, 16, 16, 8), (5, 5, 5, 8, 32))
    assert not winograd.suits((1, 8, 16, 16, 4), (5, 5, 5, 4, 32))


@pytest.mark.parametrize(
    ("image", "kernel"),
    [
        ((1, 8, 16, 16, 8), (5, 5, 5, 8, 32)),  # few channels
        ((1, 8, 16, 16, 32), (5, 5, 5, 32, 3)),
        ((1, 2, 32, 32, 16), (5, 5, 5, 16, 16)),  # no whole tile
        ((1, 4, 8, 12, 256), (5, 5, 5, 256, 256)),  # a kernel larger than the image
        ((1, 8, 16, 16, 16), (3, 5, 5, 16, 16)),
    ],
)
def test_what_it_is_not_for(image, kernel):
    assert not winograd.suits(image, kernel)


@pytest.mark.parametrize(
    ("depth", "slice_bytes", "tiles"),
    [
        (32, 64 * 96 * 16 * 4, (8, 8)),  # 6 MB a tile: all at once
        (80, 240 * 384 * 32 * 4, (20, 1)),  # 189 MB a tile
        (80, 120 * 192 * 32 * 4, (20, 2)),  # 47 MB a tile: 3 would fit
        (81, 120 * 192 * 16 * 4, (21, 3)),  # 6 would fit: seven 3s, not four 6s
    ],
)
def test_a_few_tiles_at_a_time(depth, slice_bytes, tiles, monkeypatch):
    monkeypatch.setattr(winograd, "CHUNK_BYTES", 142 << 20)
    assert winograd._tiles(depth, slice_bytes) == tiles
