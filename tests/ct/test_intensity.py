import numpy as np
import pytest

from vnet_jax.ct.intensity import scale


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_the_papers_range_by_hand(dtype):
    hu = np.array([-1000, -250, -125, 0, 50, 250, 3000], dtype)
    out = scale(hu)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [-1, -1, -0.5, 0, 0.2, 1, 1], rtol=1e-7)
    assert hu[0] == -1000


def test_another_range_by_hand():
    out = scale(np.array([-200, -160, 40, 140, 240, 900]), (-160, 240))
    np.testing.assert_allclose(out, [-1, -1, 0, 0.5, 1, 1])


def test_the_ends_of_int16_do_not_overflow():
    np.testing.assert_array_equal(scale(np.array([-32768, 32767], np.int16)), [-1, 1])


def test_what_is_no_range():
    with pytest.raises(ValueError, match="low < high"):
        scale(np.zeros(3), (250, -250))
