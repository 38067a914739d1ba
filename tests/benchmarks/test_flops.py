import pytest

from benchmarks import flops
from vnet_jax.models.vnet import VARIANTS

ROI = (80, 240, 384)


def multiply_adds(channels):
    return sum(layer.multiply_adds for layer in flops.layers(ROI, channels))


@pytest.mark.parametrize(("channels", "teras"), [(1, 2.60), (4, 2.65)])
def test_multiply_adds_at_the_region_of_interest(channels, teras):
    assert multiply_adds(channels) / 1e12 == pytest.approx(teras, abs=0.005)


def test_a_network_of_one_voxel_at_the_lowest_level_by_hand():
    # 16^3 voxels, width 1: channels 1, 2, 4, 8, 16 at 4096, 512, 64, 8, 1 voxels.
    encoder = 4096 * 125 * 1 + 512 * (8 * 2 + 125 * 4) + 64 * (8 * 8 + 2 * 125 * 16)
    encoder += 8 * (8 * 32 + 3 * 125 * 64) + 1 * (8 * 128 + 2 * 125 * 256)
    decoder = 8 * (16 * 8 + 2 * 125 * 256) + 64 * (16 * 4 + 2 * 125 * 64)
    decoder += 512 * (8 * 2 + 125 * 16) + 4096 * (4 * 1 + 125 * 4)
    head = 4096 * (125 * 2 * 3 + 9)
    total = sum(layer.multiply_adds for layer in flops.layers((16, 16, 16), 1, 1))
    assert total == encoder + decoder + head


def test_the_counts_are_those_of_the_network():
    kind = VARIANTS["monai"]
    assert (kind.encoder, kind.decoder) == (flops.ENCODER, flops.DECODER)


def test_a_training_step_is_three_forwards_and_a_cascade_two_networks():
    forward = flops.flop("forward", "cascade", ROI)
    assert forward == 2 * (multiply_adds(1) + multiply_adds(4))
    assert flops.flop("train_step", "cascade", ROI, batch=2) == 6 * forward
    assert 3 * forward / 1e12 == pytest.approx(31.5, abs=0.1)


def test_bytes_of_the_first_layer_by_hand():
    first, down, *_ = flops.layers((16, 16, 16), 1, width=2)
    assert first.values == 4096 * (1 + 2)
    assert down.values == 4096 * 2 + 512 * 4
    assert flops.moved_bytes("forward", "vnet", ROI, "bfloat16") * 2 == (
        flops.moved_bytes("forward", "vnet", ROI, "float32")
    )
