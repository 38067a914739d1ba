import numpy as np
import pytest

from vnet_jax.inference.tiles import (
    Stitch,
    gaussian_weights,
    tile_starts,
    window_starts,
)


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "starts"),
    [
        (100, 64, 0.5, [0, 32, 36]),
        (128, 64, 0.5, [0, 32, 64]),
        (64, 64, 0.5, [0]),
        (65, 64, 0.5, [0, 1]),
        (50, 64, 0.5, [-7]),
        (49, 64, 0.5, [-7]),  # 15 voxels of padding: 7 before, 8 after
        (1, 16, 0.5, [-7]),
        (10, 4, 0.0, [0, 4, 6]),
        (5, 1, 0.9, [0, 1, 2, 3, 4]),  # a step of 0.1 voxel becomes 1
    ],
)
def test_starts_worked_out_by_hand(length, tile, overlap, starts):
    assert tile_starts(length, tile, overlap) == starts


def test_every_voxel_is_covered_and_no_window_leaves_a_longer_axis():
    for length in range(1, 60):
        for tile in (1, 3, 16):
            for overlap in (0, 0.5, 0.75):
                starts = tile_starts(length, tile, overlap)
                covered = {s + i for s in starts for i in range(tile)}
                assert covered >= set(range(length))
                if length >= tile:
                    assert starts[0] == 0
                    assert starts[-1] == length - tile
                assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("bad", [(0, 4, 0.5), (4, 0, 0.5), (4, 4, 1.0), (4, 4, -0.1)])
def test_numbers_that_make_no_windows_are_refused(bad):
    with pytest.raises(ValueError, match=str(bad[1])):
        tile_starts(*bad)


def test_weights_are_a_symmetric_gaussian():
    weights = gaussian_weights((8, 9, 16))
    assert weights.dtype == np.float32
    assert weights.max() == 1
    assert weights.min() > 0
    for axis in range(3):
        np.testing.assert_array_equal(weights, np.flip(weights, axis))
    # From the centre of 9 voxels (sigma 9/8) two steps weigh exp(-0.5 * (16/9)^2).
    line = weights[4, :, 8] / weights[4, 4, 8]
    np.testing.assert_allclose(line[6], np.exp(-0.5 * (16 / 9) ** 2), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 7, 9), (16, 20, 33), (40, 16, 17)])
def test_cut_then_stitched_is_the_identity(shape):
    tile, rng = (16, 16, 16), np.random.default_rng(0)
    whole = rng.random((*shape, 2)).astype(np.float32)
    padded = np.pad(whole, [(16, 16)] * 3 + [(0, 0)], constant_values=99)
    stitch = Stitch((0, 0, 0), shape)
    for start in window_starts((0, 0, 0), shape, tile, 0.5):
        cut = tuple(slice(s + 16, s + 32) for s in start)
        stitch.add(padded[cut], start, gaussian_weights(tile))
    # 99 stood in the padding: none of it comes back.
    np.testing.assert_allclose(stitch.mean(), whole, rtol=2e-6)


def test_two_models_in_one_stitch_give_their_mean():
    stitch = Stitch((0, 0, 0), (2, 2, 2))
    for value in (1.0, 4.0):
        tile = np.full((2, 2, 2, 3), value, np.float32)
        stitch.add(tile, (0, 0, 0), np.full((2, 2, 2), 0.5, np.float32))
    np.testing.assert_array_equal(stitch.mean(), np.full((2, 2, 2, 3), 2.5))


def test_a_box_inside_the_volume_takes_only_its_part():
    stitch = Stitch((4, 0, 0), (2, 1, 1))
    tile = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    stitch.add(tile, (1, 0, 0), np.ones((6, 1, 1), np.float32))  # voxels 1 to 6
    stitch.add(tile, (9, 0, 0), np.ones((6, 1, 1), np.float32))  # beyond the box
    np.testing.assert_array_equal(stitch.mean().ravel(), [3, 4])


def test_a_gap_between_windows_is_an_error():
    stitch = Stitch((0, 0, 0), (3, 1, 1))
    stitch.add(np.ones((2, 1, 1, 1), np.float32), (0, 0, 0), np.ones((2, 1, 1)))
    with pytest.raises(ValueError, match="uncovered"):
        stitch.mean()


def test_windows_over_a_box_keep_the_volume_s_indices():
    starts = window_starts((5, 10, -2), (4, 24, 16), (4, 16, 16), 0.5)
    assert starts == [(5, 10, -2), (5, 18, -2)]
