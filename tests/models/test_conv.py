import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.models.optimised import jit
from vnet_jax import processor
from vnet_jax.models import conv as conv_file
from vnet_jax.models import onednn
from vnet_jax.models.conv import conv, native, which_form


def draw(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


def by_hand(x, w):
    """The definition, in float64: each output a sum of 3-D correlations."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    y = np.zeros((*x.shape[:-1], w.shape[-1]))
    for n, o, i in np.ndindex(x.shape[0], w.shape[-1], w.shape[-2]):
        y[n, ..., o] += ndimage.correlate(x[n, ..., i], w[..., i, o], mode="constant")
    return y


def close(a, b, tolerance=5e-6):
    """Equal to `tolerance` of the largest value, and not because all is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape and np.abs(b).max() > 0
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.fixture
def fresh(monkeypatch):
    """The choice of the form is made anew, before the test and after it."""
    monkeypatch.delenv(conv_file.VARIABLE, raising=False)
    conv_file._choose.cache_clear()
    yield monkeypatch
    conv_file._choose.cache_clear()


def test_an_impulse_returns_the_flipped_kernel():
    x = jnp.zeros((1, 5, 5, 5, 1)).at[0, 2, 2, 2, 0].set(1)
    w = jnp.arange(125.0).reshape(5, 5, 5, 1, 1)
    y = jax.jit(conv)(x, w)[0, ..., 0]
    np.testing.assert_array_equal(y, jnp.flip(w[..., 0, 0]))


def test_ones_count_the_voxels_inside_the_zero_padding():
    y = jax.jit(conv)(jnp.ones((1, 4, 6, 8, 1)), jnp.ones((3, 5, 5, 1, 1)))
    assert y[0, 0, 0, 0, 0] == 2 * 3 * 3
    assert y[0, 2, 3, 4, 0] == 3 * 5 * 5


SHAPES = [  # image (D, H, W), kernel, inputs, outputs
    ((7, 9, 11), (5, 5, 5), 1, 16),  # the first layer; odd sizes
    ((4, 6, 8), (5, 5, 5), 32, 3),  # the last: offsets folded into outputs
    ((3, 4, 5), (3, 1, 5), 5, 7),  # a kernel of three sizes
    ((2, 3, 2), (5, 5, 5), 4, 4),  # an image smaller than the kernel
    ((1, 5, 6), (5, 5, 5), 256, 256),  # the deepest level
    ((5, 6, 4), (5, 5, 5), 5, 1),
]


@pytest.mark.parametrize(("size", "kernel", "inputs", "outputs"), SHAPES[:4])
def test_equals_the_definition(size, kernel, inputs, outputs):
    x, w = draw((2, *size, inputs), (*kernel, inputs, outputs))
    close(jax.jit(conv)(x, w), by_hand(x, w))


@pytest.mark.parametrize(("size", "kernel", "inputs", "outputs"), SHAPES)
def test_value_and_gradients_equal_the_native_form(size, kernel, inputs, outputs):
    x, w, g = draw((2, *size, inputs), (*kernel, inputs, outputs), (2, *size, outputs))

    def both(form):
        def run(x, w, g):
            value, back = jax.vjp(form, x, w)
            return value, *back(g)

        return jit(run)(x, w, g)

    for fast, slow in zip(both(conv), both(native), strict=True):
        close(fast, slow)


@pytest.mark.parametrize("outputs", [2, 16])
@pytest.mark.parametrize("size", [(9, 37, 12), (4, 6, 100), (1, 1, 1)])
def test_weight_gradient_is_the_same_slab_by_slab(monkeypatch, size, outputs):
    if which_form() != "onednn":
        pytest.skip("jaxlib has no oneDNN here")
    k = (3, 5, 7)
    monkeypatch.setattr(processor, "lanes", lambda: 8)
    x, g = draw((2, *size, 8), (2, *size, outputs))
    whole = jit(lambda: onednn.weight_gradient(x, g, k))()
    assert onednn._slab_shape(x.shape, 4, k) == x.shape[:4]
    monkeypatch.setattr(onednn, "WHOLE_BYTES", 1)
    monkeypatch.setattr(onednn, "DEEP", 2)
    monkeypatch.setattr(onednn, "WIDE", 10)
    assert onednn._slab_shape(x.shape, 4, k)[0] == 1
    close(jit(lambda: onednn.weight_gradient(x, g, k))(), whole)


def test_slabs_are_pieces_of_about_one_size(monkeypatch):
    """240 rows in pieces of 16, 120 in eight of 15; a small volume is one piece."""
    monkeypatch.setattr(processor, "lanes", lambda: 16)
    k = (5, 5, 5)
    assert onednn._slab_shape((1, 80, 240, 384, 32), 4, k) == (1, 4, 16, 96)
    assert onednn._slab_shape((2, 81, 120, 192, 16), 4, k) == (1, 4, 15, 96)
    assert onednn._slab_shape((2, 4, 8, 12, 64), 4, k) == (2, 4, 8, 12)


def test_two_spatial_axes():
    x, w = draw((2, 6, 7, 3), (5, 3, 3, 4))
    deep = conv(x[:, None], w[None])  # the same in a volume of one plane
    close(conv(x, w), deep[:, 0])


def test_a_kernel_of_one_voxel_is_a_matrix_product():
    x, w = draw((2, 3, 4, 5, 6), (1, 1, 1, 6, 7))
    close(conv(x, w), np.einsum("ndhwc,co->ndhwo", x, w[0, 0, 0]))


def test_vmap_over_images_kernels_and_both():
    x, w = draw((3, 2, 3, 4, 5, 2), (3, 5, 5, 5, 2, 4))
    for axes in ((0, None), (None, 0), (0, 0)):
        args = [a if i == 0 else a[0] for a, i in zip((x, w), axes, strict=True)]
        mapped = jax.jit(jax.vmap(conv, axes))(*args)
        one = [a[1] if i == 0 else a for a, i in zip(args, axes, strict=True)]
        close(mapped[1], conv(*one))


def test_gradient_under_vmap_and_vmap_under_gradient():
    x, w = draw((3, 2, 3, 4, 5, 2), (3, 3, 3, 2, 4))
    loss = lambda w, x: jnp.sum(conv(x, w) ** 3)  # noqa: E731
    each = jax.vmap(jax.grad(loss), (None, 0))(w, x)
    close(each[2], jax.grad(loss)(w, x[2]))
    total = jax.grad(lambda w: jnp.sum(jax.vmap(loss, (None, 0))(w, x)))(w)
    close(total, each.sum(0))


def test_remat_and_scan():
    x, w = draw((2, 4, 4, 4, 3), (3, 3, 3, 3, 3))
    w = w / 9  # 81 terms a sum: tanh is not saturated and does not amplify rounding

    def three(x, w):
        step = jax.checkpoint(lambda x, _: (jnp.tanh(conv(x, w)), None))
        return jnp.sum(jax.lax.scan(step, x, None, length=3)[0] ** 2)

    def plain(x, w):
        for _ in range(3):
            x = jnp.tanh(native(x, w))
        return jnp.sum(x**2)

    pairs = zip(
        jax.jit(jax.grad(three, (0, 1)))(x, w),
        jax.jit(jax.grad(plain, (0, 1)))(x, w),
        strict=True,
    )
    for a, b in pairs:
        close(a, b)


def test_jit_equals_eager_bit_for_bit():
    x, w = draw((2, 5, 6, 7, 3), (5, 5, 5, 3, 8))
    np.testing.assert_array_equal(conv(x, w), jax.jit(conv)(x, w))


def test_bfloat16_keeps_its_dtype_and_its_digits():
    x, w, g = draw(
        (2, 6, 8, 8, 16), (5, 5, 5, 16, 16), (2, 6, 8, 8, 16), dtype=jnp.bfloat16
    )
    value, back = jax.vjp(conv, x, w)
    exact, exact_back = jax.vjp(native, *(a.astype(jnp.float32) for a in (x, w)))
    assert value.dtype == jnp.bfloat16
    close(value.astype(jnp.float32), exact, 8e-3)  # 2^-8 is half a last digit
    for a, b in zip(back(g), exact_back(g.astype(jnp.float32)), strict=True):
        assert a.dtype == jnp.bfloat16
        close(a.astype(jnp.float32), b, 8e-3)


def test_bfloat16_runs_in_float32_where_the_cpu_cannot_multiply_it(fresh):
    fresh.setattr(processor, "multiplies_bfloat16", lambda: False)
    if which_form() != "onednn":
        pytest.skip("jaxlib has no oneDNN here")
    assert which_form("bfloat16") == "onednn in float32"
    x, w = draw((1, 4, 5, 6, 3), (3, 3, 3, 3, 4), dtype=jnp.bfloat16)
    y = conv(x, w)
    assert y.dtype == jnp.bfloat16
    exact = native(x.astype(jnp.float32), w.astype(jnp.float32))
    np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(("size", "kernel", "inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_planar_form_equals_the_native_one(fresh, dtype, size, kernel, inputs, outputs):
    """The one that runs where jaxlib has no oneDNN, forced as a user can force it."""
    fresh.setenv(conv_file.VARIABLE, "planar")
    assert which_form(jnp.dtype(dtype).name).startswith("planar")
    shapes = (2, *size, inputs), (*kernel, inputs, outputs), (2, *size, outputs)
    x, w, g = draw(*shapes, dtype=dtype)

    def both(form, x, w, g):
        value, back = jax.vjp(form, x, w)
        return value, *back(g)

    got = jit(lambda *a: both(conv, *a))(x, w, g)
    wide = (a.astype(jnp.float32) for a in (x, w, g))
    tolerance = 5e-6 if dtype == jnp.float32 else 1e-2
    exact = jit(lambda *a: both(native, *a))(*wide)
    for a, b in zip(got, exact, strict=True):
        assert a.dtype == dtype
        close(a.astype(jnp.float32), b, tolerance)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda x, w: native(x, w[::-1]), "off by"),
        (lambda x, w: 1 / 0, "cannot be called"),
        (lambda x, w: native(x, w) * jnp.nan, "off by nan"),
    ],
)
def test_a_library_that_fails_its_test_is_not_used(fresh, caplog, broken, reason):
    fresh.setattr(onednn, "convolve", broken)
    conv_file._errors.clear_cache()
    try:
        with caplog.at_level(logging.INFO, logger="absl"):
            assert which_form() == which_form() == "planar"
    finally:
        conv_file._errors.clear_cache()
    assert len(caplog.records) == 1 and reason in caplog.text
    x, w = draw((1, 4, 5, 6, 3), (3, 3, 3, 3, 4))
    close(jax.jit(lambda x, w: conv(x, w))(x, w), by_hand(x, w))


def test_the_variable_overrules_the_choice(fresh):
    fresh.setenv(conv_file.VARIABLE, "native")
    assert which_form() == "native"
    x, w = draw((1, 4, 4, 4, 2), (3, 3, 3, 2, 4))
    assert "onednn" not in jax.jit(lambda x: conv(x, w)).lower(x).as_text()
    fresh.setenv(conv_file.VARIABLE, "planar")
    assert which_form("bfloat16") == "planar in float32"
    assert "onednn" not in jax.jit(lambda x: conv(x, w) + 1).lower(x).as_text()
    fresh.setenv(conv_file.VARIABLE, "onednn")
    fresh.setattr(conv_file, "_self_test", lambda dtype: "it is not there")
    with pytest.raises(ValueError, match="it is not there"):
        which_form()
    fresh.setenv(conv_file.VARIABLE, "fast")
    with pytest.raises(ValueError, match="fast"):
        conv(x, w)


def test_other_platforms_and_other_dtypes_take_the_native_form():
    x, w = draw((1, 4, 4, 4, 2), (3, 3, 3, 2, 4))
    trace = jax.jit(jax.grad(lambda x, w: conv(x, w).sum(), (0, 1))).trace(x, w)
    assert "onednn" not in trace.lower(lowering_platforms=("cuda",)).as_text()
    if which_form() == "onednn":
        assert "onednn" in trace.lower(lowering_platforms=("cpu",)).as_text()
    half = jax.jit(conv).lower(x.astype(jnp.float16), w.astype(jnp.float16))
    assert "onednn" not in half.as_text()


def test_spatially_sharded_is_native_and_can_be_exported():
    x, w = draw((1, 4, 4, 4, 2), (3, 3, 3, 2, 4))
    run = jax.jit(lambda x, w: conv(x, w, spatially_sharded=True))
    stored = jax.export.export(run)(x, w)
    close(stored.call(x, w), conv(x, w))


@pytest.mark.parametrize(
    ("image", "kernel", "message"),
    [
        ((1, 4, 4, 4, 2), (3, 3, 3, 3, 4), "2 channels, the kernel takes 3"),
        ((1, 4, 4, 4, 2), (3, 2, 3, 2, 4), r"\(3, 2, 3\) must be odd"),
        ((1, 4, 4, 4, 2), (3, 3, 2, 4), "two or three spatial axes"),
        ((4, 4, 2), (3, 2, 4), "two or three spatial axes"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(image, kernel, message):
    with pytest.raises(ValueError, match=message):
        conv(jnp.zeros(image), jnp.zeros(kernel))


def test_two_dtypes_are_refused():
    with pytest.raises(ValueError, match="one dtype"):
        conv(jnp.zeros((1, 4, 4, 4, 2)), jnp.zeros((3, 3, 3, 2, 4), jnp.bfloat16))
