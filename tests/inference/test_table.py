import itertools

import numpy as np
import pytest
from scipy import ndimage

from vnet_jax.ct.geometry import Grid
from vnet_jax.inference.postprocess import STEPS, PostProcessing, clean
from vnet_jax.inference.table import dice, tabulate
from vnet_jax.scores.dice import kits19

GRID = Grid((24, 26, 28), np.diag([5.0, 5.0, 5.0, 1.0]))  # 0.125 ml a voxel


def blobs(seed, share, smooth=1.5):
    noise = np.random.default_rng(seed).normal(size=GRID.shape)
    noise = ndimage.gaussian_filter(noise, smooth)
    return noise > np.quantile(noise, 1 - share)


def case(seed):
    """Many components of all sizes, holes among them, also around tumours."""
    raw = np.where(blobs(seed, 0.3), 1, 0).astype(np.uint8)
    raw[(raw > 0) & blobs(seed + 1, 0.4, 1.0)] = 2
    raw[2:9, 2:9, 2:9] = 2
    raw[4:6, 4:6, 4:6] = 0  # a hole in a tumour
    raw[12:20, 12:20, 12:20] = 1
    raw[14:17, 14:17, 14:17] = 0  # a hole in a kidney
    raw[15, 15, 15] = 1  # with an island in it
    truth = np.where(blobs(seed + 2, 0.3), 1, 0).astype(np.uint8)
    truth[(truth > 0) & blobs(seed + 3, 0.5)] = 2
    hu = 40 * np.random.default_rng(seed).normal(size=GRID.shape).astype(np.float32)
    return raw, ndimage.gaussian_filter(hu, 1) * 4, truth


@pytest.mark.parametrize("seed", range(4))
def test_the_table_scores_as_the_voxels_do(seed):
    raw, hu, truth = case(seed)
    table = tabulate(raw, hu, truth, GRID.voxel_ml)
    steps = [s for n in range(5) for s in itertools.combinations(STEPS, n)]
    seen = set()
    for chosen in steps:
        for share, cyst, small in [(0.05, 10.0, 1.0), (0.9, -5.0, 4.0)]:
            settings = PostProcessing(chosen, share, cyst, small)
            mask, _ = clean(raw, hu, GRID, settings)
            expected = kits19(mask, truth)
            got = dice(table, settings)
            assert got == pytest.approx((expected["kidney"], expected["tumour"]))
            seen.add(tuple(np.round(got, 6)))
    assert len(seen) > 8  # the settings do differ


def test_empty_masks():
    nothing = np.zeros(GRID.shape, np.uint8)
    hu = np.zeros(GRID.shape)
    assert dice(tabulate(nothing, hu, nothing, 1.0), PostProcessing(STEPS)) == (1, 1)
    raw, hu, truth = case(0)
    assert dice(tabulate(nothing, hu, truth, 1.0), PostProcessing(STEPS)) == (0, 0)
    assert dice(tabulate(raw, hu, nothing, 1.0), PostProcessing(STEPS))[0] == 0
