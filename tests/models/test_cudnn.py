"""The forms for NVIDIA GPUs are XLA's operations: here they are run on a CPU."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.optimised import jit
from vnet_jax.models import conv as conv_file
from vnet_jax.models import cudnn
from vnet_jax.models.conv import conv
from vnet_jax.models.xla import native

LAYERS = [  # inputs, outputs: those of the paper's networks and their gradients
    (1, 16),
    (4, 16),
    (16, 4),
    (16, 1),
    (32, 3),
    (3, 32),
    (2, 2),
    (32, 32),
    (64, 64),
    (8, 16),
    (160, 130),
]


def draw(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


def arrays(size, inputs, outputs, k=(5, 5, 5), dtype=jnp.float32):
    shapes = (2, *size, inputs), (*k, inputs, outputs), (2, *size, outputs)
    return draw(*shapes, dtype=dtype)


@jit
def by_native(x, w, g):
    """Value and both gradients in the form that is known to be right."""
    value, back = jax.vjp(native, x, w)
    return value, *back(g)


@jit
def by_cudnn(x, w, g):
    back = jnp.flip(w, (0, 1, 2)).swapaxes(3, 4)
    gradient = cudnn.kernel_gradient(x, g, w.shape[:3])
    return cudnn.forward(x, w), cudnn.forward(g, back), gradient


def all_close(got, wanted, tolerance):
    for a, b in zip(got, wanted, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape and np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.fixture
def every_dtype(monkeypatch):
    """Voxels are folded in float32 too, where rounding hides less."""
    monkeypatch.setattr(cudnn, "_pays", lambda x, w: True)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.parametrize(("inputs", "outputs"), LAYERS)
def test_equals_the_native_form_to_rounding(every_dtype, inputs, outputs):
    x, w, g = arrays((4, 6, 8), inputs, outputs)
    all_close(by_cudnn(x, w, g), by_native(x, w, g), 5e-6)


@pytest.mark.parametrize("k", [(5, 7, 5), (9, 5, 11)])
@pytest.mark.parametrize(("inputs", "outputs"), [(32, 32), (24, 3), (1, 8)])
def test_larger_kernels_reach_further(every_dtype, k, inputs, outputs):
    x, w, g = arrays((6, 4, 16), inputs, outputs, k)
    all_close(by_cudnn(x, w, g), by_native(x, w, g), 5e-6)


@pytest.mark.parametrize("size", [(3, 5, 7), (2, 3, 6), (1, 4, 5), (2, 2, 2)])
@pytest.mark.parametrize(("inputs", "outputs"), [(32, 32), (32, 3), (1, 16)])
def test_odd_and_small_volumes(every_dtype, size, inputs, outputs):
    x, w, g = arrays(size, inputs, outputs)
    all_close(by_cudnn(x, w, g), by_native(x, w, g), 5e-6)


@pytest.mark.parametrize(("inputs", "outputs"), LAYERS[:8])
def test_bfloat16_keeps_its_digits(inputs, outputs):
    """Also in the gradient of a kernel, which is a sum over its folded places."""
    x, w, g = arrays((4, 6, 8), inputs, outputs, dtype=jnp.bfloat16)
    got = by_cudnn(x, w, g)
    assert {a.dtype for a in got} == {jnp.dtype("bfloat16")}
    wide = [a.astype(jnp.float32) for a in (x, w, g)]
    all_close([a.astype(jnp.float32) for a in got], by_native(*wide), 6e-3)


def test_folding_and_unfolding_are_inverse():
    (x,) = draw((2, 4, 6, 8, 3))
    for sizes in ((1, 1, 8), (1, 2, 2), (2, 2, 2), (1, 1, 1), (4, 3, 2)):
        y = cudnn.fold(x, sizes)
        assert y.shape[1:4] == tuple(
            n // f for n, f in zip((4, 6, 8), sizes, strict=True)
        )
        np.testing.assert_array_equal(cudnn.unfold(y, sizes), x)
    np.testing.assert_array_equal(
        cudnn.fold(x, (1, 1, 2))[0, 0, 0, 0, 3:], x[0, 0, 0, 1]
    )


def program_for(platform, x, w):
    run = jax.jit(jax.grad(lambda x, w: conv(x, w).astype(jnp.float32).sum(), (0, 1)))
    return run.trace(x, w).lower(lowering_platforms=(platform,)).as_text()


def test_it_is_what_runs_on_an_nvidia_gpu_in_16_bits(monkeypatch):
    """32 channels become 128; in float32, on AMD's GPUs and TPUs nothing does."""
    x, w, _ = arrays((4, 8, 16), 32, 32, dtype=jnp.bfloat16)
    wide = [a.astype(jnp.float32) for a in (x, w)]
    folded = re.compile(r"stablehlo\.convolution.*x128x128xbf16")
    assert folded.search(program_for("cuda", x, w))
    assert not re.search("x128x128x", program_for("cuda", *wide))
    assert not re.search("x128x128x", program_for("rocm", x, w))
    monkeypatch.setenv(conv_file.VARIABLE, "native")
    jax.clear_caches()
    assert not folded.search(program_for("cuda", x, w))


@pytest.mark.parametrize(
    ("version", "word", "form", "options"),
    [
        ("PJRT C API\ncuda 13000", "auto", "folded", cudnn.OPTIONS),
        ("PJRT C API\ncuda 13000", "native", "native", {}),
        ("PJRT C API\nrocm 60400", "auto", "native", {}),
    ],
)
def test_a_gpu_is_told_by_its_platform(monkeypatch, version, word, form, options):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(conv_file, "_platform_version", lambda: version.lower())
    monkeypatch.setenv(conv_file.VARIABLE, word)
    assert conv_file.which_form("bfloat16") == form
    assert conv_file.which_form("float32") == "native"
    assert conv_file.compiler_options() == options


def test_a_cpu_is_told_nothing():
    assert conv_file.compiler_options() == {}
