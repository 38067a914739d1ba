import gc
import threading

import jax
import numpy as np
import pytest

from vnet_jax.data.buffers import Buffers

SHAPE = (64, 1024)


def address(array):
    return array.__array_interface__["data"][0]


def test_shape_and_type():
    lent = Buffers(2).empty((2, 3, 4), np.float32)
    assert (lent.shape, lent.dtype, lent.flags.c_contiguous) == ((2, 3, 4), "f4", True)
    lent[...] = 1
    assert lent.sum() == 24


def test_memory_is_used_again_when_its_array_is_gone():
    buffers = Buffers(2)
    first = buffers.empty(SHAPE, np.float32)
    where = address(first)
    assert address(buffers.empty(SHAPE, np.float32)) != where
    del first
    assert address(buffers.empty((1024, 64), np.int32)) == where


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[3],
        lambda array: array.reshape(-1)[5:].view(np.uint8),
        lambda array: np.moveaxis(array[None], 0, 1)[2:].T,
        memoryview,
        jax.numpy.asarray,
        lambda array: jax.device_put(array)[1:],
    ],
)
def test_a_view_keeps_the_loan(view):
    buffers = Buffers(4)
    array = buffers.empty(SHAPE, np.float32)
    array[...] = np.arange(array.size).reshape(SHAPE)
    kept = view(array)
    before = np.array(kept)
    del array
    gc.collect()
    for _ in range(8):
        buffers.empty(SHAPE, np.float32).fill(-1)
    np.testing.assert_array_equal(np.array(kept), before)


def test_no_more_than_asked_is_kept():
    buffers = Buffers(2)
    lent = [buffers.empty(SHAPE, np.float32) for _ in range(5)]
    places = {address(array) for array in lent}
    del lent
    again = [buffers.empty(SHAPE, np.float32) for _ in range(3)]
    assert len({address(array) for array in again} & places) >= 2
    assert len(buffers._free[again[0].nbytes]) == 0


def test_threads_never_share_a_block():
    buffers, wrong = Buffers(4), []

    def work(value):
        for _ in range(300):
            array = buffers.empty(SHAPE, np.float32)
            array.fill(value)
            if not (array == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
