import numpy as np
import pytest

from vnet_jax.ct.labels import in_order_of, to_classes


def labels(order="C", shape=(3, 70, 130)):
    values = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    return np.asarray(values, order=order)


@pytest.mark.parametrize("order", "CF")
def test_classes_keep_the_order_of_memory(order):
    array = labels(order)
    classes = to_classes(array.astype(np.int32), ((0, 0), (1, 2), (2, 1)))
    np.testing.assert_array_equal(classes, np.array([0, 2, 1, 0])[array])
    assert classes.dtype == np.uint8
    assert classes.flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize("other", "CF")
@pytest.mark.parametrize("own", "CF")
def test_the_order_of_another_map(own, other):
    array = labels(own)
    turned = in_order_of(array, labels(other))
    np.testing.assert_array_equal(turned, array)
    assert turned.flags[f"{other}_CONTIGUOUS"]
    assert (turned is array) == (own == other)


def test_a_part_of_a_map_is_turned_as_well():
    part = labels()[:, 5:60, ::-1]
    turned = in_order_of(part, labels("F", part.shape))
    np.testing.assert_array_equal(turned, part)
    assert turned.flags.f_contiguous


def test_other_shapes_are_left_alone():
    line = np.arange(5)
    assert in_order_of(line, labels()) is line
