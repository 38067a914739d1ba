import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vnet_jax.ct import resample
from vnet_jax.ct.geometry import Grid, Volume, from_canonical, to_canonical
from vnet_jax.ct.resample import (
    argmax_on_grid,
    block_majority,
    block_mean,
    on_grid,
    scaled_on_grid,
    to_spacing,
)

SPACING = (3, 0.78162497, 0.78162497)
KITS = np.array([[0, 0, -0.9, 9], [0, -0.7, 0, 8], [-5, 0, 0, 7], [0, 0, 0, 1]], float)
RAS = np.array([[0.9, 0, 0, -9], [0, 0.7, 0, -6], [0, 0, 5, -34], [0, 0, 0, 1]], float)


def turned(affine, degrees):
    out = affine.copy()
    out[:3, :3] = (
        Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ (affine[:3, :3])
    )
    return out


OBLIQUE = turned(KITS, (12, 3, -4))
GRIDS = {
    "kits": Grid((9, 20, 22), KITS),
    "ras": Grid((22, 20, 9), RAS),
    "oblique": Grid((9, 20, 22), OBLIQUE),
}


def noise(grid, order="C", seed=0):
    rng = np.random.default_rng(seed)
    return Volume(
        np.asarray(rng.normal(size=grid.shape), np.float32, order=order), grid
    )


def centres_mm(grid):
    return grid.to_mm(np.stack(np.indices(grid.shape), -1))


def in_extent(grid, mm):
    index = grid.to_index(mm)
    return ((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=-1)


def by_scipy(volume, grid, order, outside):
    """The oracle: every voxel by itself, through its place in mm."""
    mm = centres_mm(grid)
    index = np.moveaxis(volume.grid.to_index(mm), -1, 0)
    values = ndimage.map_coordinates(
        volume.array.astype(np.float64), index, order=order, mode="nearest"
    )
    return np.where(in_extent(volume.grid, mm), values, outside)


@pytest.mark.parametrize("name", GRIDS)
def test_a_ramp_in_mm_stays_a_ramp_in_mm(name):
    grid = GRIDS[name]
    slope = np.array([3.0, -2, 5])
    out = to_spacing(Volume(centres_mm(grid) @ slope, grid), SPACING, "linear")
    assert out.array.dtype == np.float32
    mm = centres_mm(out.grid)
    index = grid.to_index(mm)
    seen = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=-1)
    assert seen.mean() > 0.3
    np.testing.assert_allclose(out.array[seen], (mm @ slope)[seen], atol=2e-3)


def test_by_hand():
    """Slices at 0, 5 and 10 mm to 2.5 mm: six centres from -1.25 to 11.25 mm."""
    affine = np.diag([-1.0, -1, -5, 1])[[2, 1, 0, 3]]
    affine[[0, 2]] = [[0, 0, -1, 0], [-5, 0, 0, 0]]
    volume = Volume(
        np.array([0, 10, 40], np.int16).reshape(3, 1, 1), Grid((3, 1, 1), affine)
    )
    out = to_spacing(volume, (2.5, 1, 1), "linear")
    np.testing.assert_allclose(out.array.ravel(), [0, 2.5, 7.5, 17.5, 32.5, 40])
    np.testing.assert_allclose(out.grid.to_mm((0, 0, 0)), (0, 0, 1.25))
    near = to_spacing(volume, (2.5, 1, 1), "nearest")
    np.testing.assert_array_equal(near.array.ravel(), [0, 0, 10, 10, 40, 40])
    assert near.array.dtype == np.int16


@pytest.mark.parametrize("memory", "CF")
@pytest.mark.parametrize("order", ["linear", "nearest"])
@pytest.mark.parametrize("source", GRIDS)
@pytest.mark.parametrize("target", GRIDS)
def test_on_grid_equals_scipy(source, target, order, memory, monkeypatch):
    monkeypatch.setattr(resample, "SLAB_VOXELS", 900)  # several slabs
    volume = noise(GRIDS[source], memory)
    grid = GRIDS[target].crop((-2, 3, 1), (12, 13, 14))
    grid = Grid(grid.shape, grid.affine @ np.diag([0.831, 1.213, 0.907, 1]))
    out = on_grid(volume, grid, order, -9)
    expected = by_scipy(volume, grid, int(order == "linear"), -9)
    assert 0.05 < (expected == -9).mean() < 0.98
    np.testing.assert_allclose(out.array, expected, atol=1e-5)


def test_edge_values_reach_half_a_voxel():
    volume = Volume(np.array([3.0, 5]).reshape(2, 1, 1), Grid((2, 1, 1), np.eye(4)))
    affine = np.diag([0.25, 1, 1, 1])
    affine[0, 3] = -0.75
    out = on_grid(volume, Grid((13, 1, 1), affine), "linear", -1).array.ravel()
    # Centres from -0.75 to 2.25; the extent is -0.5 to 1.5.
    np.testing.assert_allclose(out, [-1, 3, 3, 3, 3.5, 4, 4.5, 5, 5, 5, -1, -1, -1])


def test_22_the_kits_layout_and_a_ras_copy_are_one_patient():
    kits = noise(GRIDS["kits"])
    ras_affine = kits.grid.affine @ np.array(
        [[0, 0, -1, 8], [0, -1, 0, 19], [-1, 0, 0, 21], [0, 0, 0, 1.0]]
    )
    ras = Volume(kits.array[::-1, ::-1, ::-1].T, Grid((22, 20, 9), ras_affine))
    assert ras.grid.axis_codes == ("R", "A", "S")
    a, b = (to_spacing(v, SPACING, "linear") for v in (kits, ras))
    assert a.grid.same_place(b.grid, 1e-9)
    np.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_an_axis_may_keep_its_own_spacing(grid):
    volume = noise(grid)
    slices = to_canonical(volume).grid.spacing_mm[0]
    kept = to_spacing(volume, (0, 1.4, 1.4), "linear")
    asked = to_spacing(volume, (slices, 1.4, 1.4), "linear")
    np.testing.assert_allclose(kept.grid.affine, asked.grid.affine)
    np.testing.assert_array_equal(kept.array, asked.array)
    assert kept.grid.spacing_mm[0] == pytest.approx(5)


def test_its_own_spacing_changes_nothing():
    volume = Volume(
        np.arange(60, dtype=np.int16).reshape(3, 4, 5), Grid((3, 4, 5), KITS)
    )
    out = to_spacing(volume, (5, 0.7, 0.9), "linear")
    assert out.array.dtype == np.float32
    np.testing.assert_array_equal(out.array, volume.array)
    labels = to_spacing(volume, (5, 0.7, 0.9), "nearest")
    assert np.shares_memory(labels.array, volume.array)


def test_19_what_an_oblique_scan_has_not_seen_is_air():
    volume = Volume(np.full((20, 30, 30), 50, np.int16), Grid((20, 30, 30), OBLIQUE))
    out = to_spacing(volume, (3, 1, 1), "linear")
    assert out.grid.axis_codes == ("I", "P", "L")
    assert out.grid.spacing_mm == (3, 1, 1)
    assert set(np.unique(out.array)) == {-1024, 50}
    seen_ml = (out.array == 50).sum() * out.grid.voxel_ml
    assert seen_ml == pytest.approx(volume.array.size * volume.grid.voxel_ml, rel=0.02)
    labels = to_spacing(volume, (3, 1, 1), "nearest")
    assert set(np.unique(labels.array)) == {0, 50}


def test_inputs_stay_as_they_are():
    volume = noise(GRIDS["ras"])
    volume.array.flags.writeable = False
    before = volume.array.copy()
    to_spacing(volume, SPACING, "linear")
    block_mean(volume, (2, 3, 1))
    np.testing.assert_array_equal(volume.array, before)
    with pytest.raises(ValueError, match="cubic"):
        on_grid(volume, GRIDS["kits"], "cubic", 0)


def test_block_mean_by_hand():
    array = np.array([[[0, 2, 4], [6, 8, 10], [1, 1, 7]]], np.int16)
    out = block_mean(Volume(array, Grid(array.shape, KITS)), (1, 2, 2))
    # The edge is repeated: the last block of the first rows holds 4, 4, 10, 10.
    np.testing.assert_allclose(out.array, [[[4, 7], [1, 7]]])
    assert out.array.dtype == np.float32
    np.testing.assert_allclose(out.grid.to_mm((0, 0, 0)), (9 - 0.45, 8 - 0.35, 7))


@pytest.mark.parametrize("memory", "CF")
@pytest.mark.parametrize("factor", [(1, 4, 4), (2, 3, 5), (1, 1, 1), (7, 1, 2)])
def test_block_mean_equals_reshaping(factor, memory):
    volume = noise(Grid((7, 9, 11), KITS), memory)
    pad = [(0, -n % f) for n, f in zip(volume.grid.shape, factor, strict=True)]
    wide = np.pad(volume.array, pad, mode="edge").astype(np.float64)
    split = [m for n, f in zip(wide.shape, factor, strict=True) for m in (n // f, f)]
    expected = wide.reshape(split).mean(axis=(1, 3, 5))
    out = block_mean(volume, factor)
    np.testing.assert_allclose(out.array, expected, atol=1e-6)


def test_block_mean_does_not_overflow_int16():
    volume = Volume(np.full((4, 8, 8), 30000, np.int16), Grid((4, 8, 8), KITS))
    assert (block_mean(volume, (4, 8, 8)).array == 30000).all()


def test_block_majority_by_hand():
    array = np.array(
        [[[0, 1, 2, 2], [1, 1, 1, 2], [0, 0, 1, 2], [1, 1, 1, 1]]], np.uint8
    )
    out = block_majority(Volume(array, Grid(array.shape, KITS)), (1, 2, 2), 3)
    # 0 1 1 1 | 2 2 1 2 | 0 0 1 1: as many, on a dark block the higher | 1 2 1 1
    np.testing.assert_array_equal(out.array, [[[1, 2], [1, 1]]])
    assert out.array.dtype == np.uint8
    with pytest.raises(ValueError, match="0 to 1"):
        block_majority(Volume(array, Grid(array.shape, KITS)), (1, 2, 2), 2)


@pytest.mark.parametrize("seed", range(4))
def test_block_majority_equals_counting(seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 3, (5, 6, 7), dtype=np.uint8)
    out = block_majority(Volume(array, Grid(array.shape, KITS)), (2, 2, 3), 3)
    wide = np.pad(array, [(0, 1), (0, 0), (0, 2)], mode="edge")
    for index in np.ndindex(out.array.shape):
        part = tuple(
            slice(i * f, (i + 1) * f) for i, f in zip(index, (2, 2, 3), strict=True)
        )
        count = np.bincount(wide[part].ravel(), minlength=3)
        best = np.flatnonzero(count == count.max())
        assert out.array[index] == best[-1 if sum(index) % 2 else 0]


def test_block_majority_keeps_the_volume():
    # A box whose faces cut blocks in half: 13 x 26 x 26 voxels.
    array = np.zeros((20, 40, 40), np.uint8)
    array[3:16, 7:33, 7:33] = 1
    out = block_majority(Volume(array, Grid(array.shape, KITS)), (2, 2, 2), 2).array
    assert out.sum() * 8 == pytest.approx(array.sum(), rel=0.03)


def probabilities(grid, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet((1, 1, 1), grid.shape).astype(np.float32)


@pytest.mark.parametrize("source", GRIDS)
@pytest.mark.parametrize("target", ["kits", "oblique"])
def test_argmax_equals_interpolating_everything(source, target, monkeypatch):
    monkeypatch.setattr(resample, "SLAB_VOXELS", 900)
    grid = GRIDS[target].crop((2, 3, 4), (5, 12, 9))
    grid = Grid(grid.shape, grid.affine @ np.diag([0.9, 1.1, 1.3, 1]))
    p = probabilities(grid)
    found = argmax_on_grid(p, grid, GRIDS[source])
    mm = centres_mm(GRIDS[source])
    index = np.moveaxis(grid.to_index(mm), -1, 0)
    scores = [
        ndimage.map_coordinates(p[..., c].astype(float), index, order=1, mode="nearest")
        for c in range(3)
    ]
    expected = np.where(in_extent(grid, mm), np.argmax(scores, axis=0), 0)
    assert found.dtype == np.uint8 and found.shape == GRIDS[source].shape
    assert (expected > 0).sum() > 100
    assert (found == expected).all()


@pytest.mark.parametrize("start", [(0, 0, 0), (-3, 2, 30), (5, -4, -2)])
def test_argmax_on_whole_voxels_is_a_paste(start, monkeypatch):
    """No interpolation runs, and the result is what interpolation would give."""
    source = Grid((12, 10, 40), KITS)
    grid = source.crop(start, (8, 9, 16))
    p = probabilities(grid)
    with monkeypatch.context() as patched:
        patched.setattr(resample, "sample", None)
        on_whole = argmax_on_grid(p, grid, source)
    with monkeypatch.context() as patched:
        patched.setattr(resample, "_whole_shift", lambda *_: None)
        general = argmax_on_grid(p, grid, source)
    np.testing.assert_array_equal(on_whole, general)
    labels = p.argmax(axis=-1)
    for index in [(0, 0, 0), (7, 8, 15), (4, 5, 6)]:
        there = tuple(np.add(index, start))
        if all(0 <= i < n for i, n in zip(there, source.shape, strict=True)):
            assert on_whole[there] == labels[index]


def test_argmax_lands_on_the_axes_of_the_source():
    """A canonical grid and its RAS source differ by whole voxels and axis order."""
    source = Grid((22, 20, 9), RAS)
    canonical = to_canonical(Volume(np.zeros(source.shape), source)).grid
    p = probabilities(canonical)
    found = argmax_on_grid(p, canonical, source)
    np.testing.assert_array_equal(found, from_canonical(p.argmax(axis=-1), source))


def test_argmax_a_spacing_that_drifts_is_interpolated():
    """0.1 % a voxel is half a voxel at the 500th: no paste."""
    grid = Grid((1, 1, 600), np.eye(4))
    source = Grid((1, 1, 600), np.diag([1, 1, 1.001, 1]))
    p = np.zeros((1, 1, 600, 2), np.float32)
    p[..., ::2, 0] = p[..., 1::2, 1] = 1
    found = argmax_on_grid(p, grid, source).ravel()
    assert found[1] == 1 and found[2] == 0
    # Source 597 lies at 597.6: past the middle between 597 (class 1) and 598 (class 0).
    assert found[597] == 0


def test_argmax_without_common_voxels_is_background():
    grid = Grid((8, 8, 8), KITS)
    p = probabilities(grid)
    p[..., 0] = 0
    for far in (grid.crop((500, 0, 0), (9, 9, 9)), Grid((9, 9, 9), OBLIQUE * 1.0)):
        moved = far.affine.copy()
        moved[:3, 3] += 3000.4
        assert not argmax_on_grid(p, grid, Grid(far.shape, moved)).any()


def test_argmax_takes_little_memory_beside_its_result():
    """4 M voxels of 3 classes at once would be 201 MB in float32 and float64."""
    source = Grid((64, 256, 256), np.diag([0.5, 0.75, 0.75, 1]))
    grid = Grid((16, 80, 80), np.diag([1.9, 2.3, 2.3, 1]))
    p = probabilities(grid)
    tracemalloc.start()
    found = argmax_on_grid(p, grid, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes + 100e6


@pytest.mark.parametrize("spacing", [(3.0, 1.5, 1.5), (2.0, 1.1, 0.9)])
def test_scaled_on_grid_is_linear_inside_and_0_outside(spacing):
    source = Grid((20, 30, 26), np.diag([2.0, 1.1, 0.9, 1.0]))
    whole = source.resampled(spacing)
    grid = whole.crop((1, 2, 3), tuple(n - 5 for n in whole.shape))
    values = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    got = scaled_on_grid(values, grid, source, 2.0)
    assert got.dtype == np.uint16
    expected = on_grid(Volume(values, grid), source, "linear", 0).array
    np.testing.assert_allclose(got * (2.0 / 65535), expected, atol=2e-5)
    assert (got == 0).any()
    assert scaled_on_grid(values, grid, source, 0.1).max() == 65535
