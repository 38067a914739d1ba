import pytest

from benchmarks.flops import flop
from vnet_jax import models
from vnet_jax.models.work import forward_flop


@pytest.mark.parametrize("cascade", [False, True])
def test_equals_the_count_of_the_layer_table(cascade):
    shape = (16, 32, 48)
    module = models.build(cascade=cascade, width=16)
    counted = flop("forward", "cascade" if cascade else "vnet", shape)
    assert forward_flop(module, shape) == counted


def test_twice_the_voxels_are_twice_the_work():
    module = models.build(cascade=False, variant="diagram", width=4)
    assert forward_flop(module, (32, 16, 16)) == 2 * forward_flop(module, (16, 16, 16))
