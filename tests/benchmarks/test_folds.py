import jax
import numpy as np
import pytest

from benchmarks import folds
from vnet_jax.models import cudnn
from vnet_jax.models.xla import native, native_gradient


@pytest.mark.parametrize("way", folds.WAYS)
def test_each_form_is_the_same_convolution(way):
    rng = np.random.default_rng(0)
    shapes = (1, 4, 4, 8, 3), (5, 5, 5, 3, 2), (1, 4, 4, 8, 2)
    x, w, g = (rng.standard_normal(shape, np.float32) for shape in shapes)
    gradient = way == "kernel gradient"
    wanted = native_gradient(x, g, (5, 5, 5)) if gradient else native(x, w)
    made = jax.jit(folds.folded((1, 2, 2), way))(x, w, g)
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_the_rules_choose_among_what_is_timed():
    for level, inputs, outputs in folds.WIDTHS:
        shape = (1, *(n // 2**level for n in folds.FULL), inputs)
        if outputs > cudnn.NARROW:
            tried = folds.SIZES[min(inputs, outputs)]
            assert cudnn._sizes(shape, inputs, outputs) in tried
            assert cudnn._gradient_sizes(shape, inputs, outputs) in tried
