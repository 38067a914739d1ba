import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vnet_jax.ct.geometry import (
    Grid,
    Volume,
    around,
    bounding_box,
    crop_padded,
    from_canonical,
    is_oblique,
    is_sheared,
    paste,
    to_canonical,
)

SHAPE = (3, 4, 5)
KITS = np.array([[0, 0, -2, 9], [0, -1.5, 0, 8], [-3, 0, 0, 7], [0, 0, 0, 1]], float)
ORDERS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def reordered(volume, order, signs):
    """The same patient in another of the 48 layouts, by plain index arithmetic."""
    array = volume.array.transpose(order)[tuple(slice(None, None, s) for s in signs)]
    affine = np.eye(4)
    affine[:3, :3] = volume.grid.affine[:3, :3][:, order] * signs
    first = np.zeros(3)
    for axis, (old, sign) in enumerate(zip(order, signs, strict=True)):
        first[old] = 0 if sign > 0 else array.shape[axis] - 1
    affine[:3, 3] = volume.grid.to_mm(first)
    return Volume(array, Grid(array.shape, affine))


def numbered(shape=SHAPE, affine=KITS):
    return Volume(np.arange(np.prod(shape)).reshape(shape), Grid(shape, affine))


def turned(affine, degrees, axis="x"):
    out = affine.copy()
    rotation = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    out[:3, :3] = rotation @ affine[:3, :3]
    return out


def test_grid_by_hand():
    grid = Grid(SHAPE, KITS)
    assert grid.spacing_mm == (3, 1.5, 2)
    assert grid.extent_mm == (9, 6, 10)
    assert grid.axis_codes == ("I", "P", "L")
    assert grid.voxel_ml == pytest.approx(0.009)
    np.testing.assert_allclose(grid.to_mm((1, 2, 3)), (3, 5, 4))
    np.testing.assert_allclose(grid.to_index((3, 5, 4)), (1, 2, 3))
    np.testing.assert_allclose(
        grid.to_mm([[(0, 0, 0), (1, 0, 0)]]), [[(9, 8, 7), (9, 8, 4)]]
    )


def test_crop_by_hand():
    box = Grid(SHAPE, KITS).crop((-1, 2, 1), (10, 1, 2))
    assert box.shape == (10, 1, 2)
    np.testing.assert_allclose(box.to_mm((0, 0, 0)), (7, 5, 10))


def test_downsample_by_hand():
    grid = Grid((2, 10, 8), KITS).downsample((1, 4, 4))
    assert grid.shape == (2, 3, 2)
    assert grid.spacing_mm == (3, 6, 8)
    # The first block's centre is the index (0, 1.5, 1.5).
    np.testing.assert_allclose(grid.to_mm((0, 0, 0)), (9 - 3, 8 - 2.25, 7))
    np.testing.assert_allclose(grid.to_mm((1, 2, 1)), (9 - 11, 8 - 14.25, 4))


def test_resampled_has_exact_spacing_and_the_same_centre():
    grid = Grid((29, 10, 10), KITS * np.array([1, 1, 5 / 3, 1])[:, None])
    assert grid.spacing_mm[0] == 5
    finer = grid.resampled((3, 1.5, 2))
    assert finer.shape == (48, 10, 10)
    assert finer.spacing_mm == pytest.approx((3, 1.5, 2), rel=1e-12)
    middle = [(np.array(g.shape) - 1) / 2 for g in (grid, finer)]
    np.testing.assert_allclose(grid.to_mm(middle[0]), finer.to_mm(middle[1]))
    # 145 mm against 144 mm: the first centre is 0.5 + 1.5 mm from the outer face.
    np.testing.assert_allclose(grid.to_index(finer.to_mm((0, 0, 0)))[0], 0.4 - 0.5)


def test_resampled_to_its_own_spacing_is_itself():
    grid = Grid(SHAPE, KITS)
    assert grid.resampled((3, 1.5, 2)) is grid
    assert grid.resampled((3.0002, 1.5, 2)) is grid
    assert grid.resampled((3.0004, 1.5, 2)) is not grid
    assert grid.resampled((100, 1.5, 2)).shape[0] == 1


@pytest.mark.parametrize("seed", range(20))
def test_every_new_centre_lies_inside_the_old_extent(seed):
    rng = np.random.default_rng(seed)
    affine = KITS.copy()
    affine[:3, :3] *= rng.uniform(0.3, 10, 3)
    grid = Grid(tuple(rng.integers(2, 60, 3)), affine)
    finer = grid.resampled(rng.uniform(0.3, 10, 3).clip(max=grid.extent_mm))
    ends = grid.to_index(finer.to_mm([(0, 0, 0), np.array(finer.shape) - 1]))
    assert (
        np.abs(ends - (np.array(grid.shape) - 1) / 2) < np.array(grid.shape) / 2
    ).all()


@pytest.mark.parametrize(
    "shape, affine",
    [
        ((3, 4), KITS),
        ((3, 4, 0), KITS),
        (SHAPE, KITS[:3]),
        (SHAPE, KITS * np.nan),
        (SHAPE, np.diag([1, 1, 0, 1])),
    ],
)
def test_what_is_no_grid(shape, affine):
    with pytest.raises(ValueError):
        Grid(shape, affine)


def test_a_grid_keeps_its_own_affine():
    affine = KITS.copy()
    grid = Grid(SHAPE, affine)
    affine[0, 3] = 99
    assert grid.affine[0, 3] == 9
    with pytest.raises(ValueError):
        grid.affine[0, 3] = 99


def test_a_volume_needs_the_shape_of_its_grid():
    with pytest.raises(ValueError, match=r"\(3, 4, 6\)"):
        Volume(np.zeros((3, 4, 6)), Grid(SHAPE, KITS))


def test_same_place():
    grid = Grid(SHAPE, KITS)
    moved = KITS.copy()
    moved[2, 3] += 0.0009
    assert grid.same_place(Grid(SHAPE, moved))
    moved[2, 3] += 0.0002
    assert not grid.same_place(Grid(SHAPE, moved))
    assert grid.same_place(Grid(SHAPE, moved), tolerance=0.01)
    assert not grid.same_place(Grid((3, 4, 6), KITS))


@pytest.mark.parametrize("order, signs", ORDERS)
def test_21_each_of_the_48_layouts_is_one_patient(order, signs):
    volume = numbered()
    other = reordered(volume, order, signs)
    canonical = to_canonical(other)
    assert canonical.grid.axis_codes == ("I", "P", "L")
    np.testing.assert_array_equal(canonical.array, volume.array)
    np.testing.assert_allclose(canonical.grid.affine, KITS, atol=1e-12)
    assert np.shares_memory(canonical.array, volume.array)
    back = from_canonical(canonical.array, other.grid)
    np.testing.assert_array_equal(back, other.array)


@pytest.mark.parametrize("order, signs", ORDERS[::7])
def test_canonical_agrees_with_nibabel(order, signs):
    other = reordered(numbered(), order, signs)
    image = nib.Nifti1Image(other.array.astype(np.int16), other.grid.affine)
    ornt = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("IPL")
    )
    expected = image.as_reoriented(ornt)
    found = to_canonical(other)
    np.testing.assert_array_equal(found.array, np.asarray(expected.dataobj))
    np.testing.assert_allclose(found.grid.affine, expected.affine)


def test_from_canonical_needs_the_canonical_shape():
    ras = reordered(numbered(), (2, 1, 0), (-1, -1, -1))
    with pytest.raises(ValueError, match="axes I, P, L"):
        from_canonical(np.zeros((5, 4, 3)), ras.grid)


def test_oblique_from_a_tenth_of_a_mm():
    """Half of a 300 mm square's diagonal turned by 0.02 degrees moves 0.074 mm."""
    affine = np.diag([3.0, 3, 3, 1])
    grid = Grid((100, 100, 2), affine)
    assert not is_oblique(grid)
    assert not is_oblique(Grid(grid.shape, turned(affine, 0.02, "z")))
    assert is_oblique(Grid(grid.shape, turned(affine, 0.03, "z")))
    assert is_oblique(Grid(grid.shape, turned(affine, 12)))
    assert not is_oblique(Grid(SHAPE, KITS))


def test_sheared():
    assert not is_sheared(Grid(SHAPE, KITS))
    assert not is_sheared(Grid(SHAPE, turned(KITS, 30)))
    sheared = KITS.copy()
    sheared[1, 0] = 3 * 0.0009
    assert not is_sheared(Grid(SHAPE, sheared))
    sheared[1, 0] = 3 * 0.0011
    assert is_sheared(Grid(SHAPE, sheared))


def test_around_covers_an_oblique_grid():
    grid = Grid((30, 40, 50), turned(KITS, 15))
    cover = around(grid, (3, 0.75, 0.75))
    assert cover.axis_codes == ("I", "P", "L")
    assert cover.spacing_mm == (3, 0.75, 0.75)
    assert not is_oblique(cover)
    outer = grid.to_mm(
        list(itertools.product((-0.5, 29.5), (-0.5, 39.5), (-0.5, 49.5)))
    )
    index = cover.to_index(outer)
    assert (index > -0.5 - 1e-5).all()
    assert (index < np.array(cover.shape) - 0.5 + 1e-5).all()
    # And no more than it must: a voxel less an axis would not cover it.
    assert (np.ptp(index, axis=0) > np.array(cover.shape) - 1).all()


def test_crop_padded_by_hand():
    array = np.arange(8).reshape(2, 2, 2)
    box = crop_padded(array, (-1, 1, 0), (2, 2, 1), -7)
    np.testing.assert_array_equal(box, [[[-7], [-7]], [[2], [-7]]])
    assert (crop_padded(array, (2, 0, 0), (3, 2, 2), 5) == 5).all()
    assert (crop_padded(array, (-9, 0, 0), (3, 2, 2), 5) == 5).all()


@pytest.mark.parametrize("seed", range(10))
def test_crop_padded_equals_padding_then_slicing(seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 99, (*rng.integers(1, 7, 3), 2))
    start, shape = rng.integers(-5, 8, 3), rng.integers(1, 9, 3)
    wide = np.pad(array, [(20, 20)] * 3 + [(0, 0)], constant_values=-1)
    part = tuple(slice(20 + s, 20 + s + n) for s, n in zip(start, shape, strict=True))
    box = crop_padded(array, start, shape, -1)
    np.testing.assert_array_equal(box, wide[part])
    assert not np.shares_memory(box, array)


@pytest.mark.parametrize("seed", range(10))
def test_crop_then_paste_is_the_identity_inside_the_box(seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(1, 99, rng.integers(2, 9, 3))
    start, shape = rng.integers(-3, 6, 3), rng.integers(1, 9, 3)
    back = paste(crop_padded(array, start, shape, 0), start, array.shape)
    index = np.stack(np.indices(array.shape), -1)
    inside = ((index >= start) & (index < start + shape)).all(axis=-1)
    np.testing.assert_array_equal(back, np.where(inside, array, 0))


def test_crops_of_array_and_grid_agree():
    volume = numbered((6, 7, 8))
    box = crop_padded(volume.array, (2, -1, 3), (2, 3, 4), -1)
    grid = volume.grid.crop((2, -1, 3), (2, 3, 4))
    index = volume.grid.to_index(grid.to_mm((1, 2, 1)))
    assert box[1, 2, 1] == volume.array[tuple(np.rint(index).astype(int))]


def test_bounding_box():
    mask = np.zeros((5, 6, 7), np.uint8)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = 1
    assert bounding_box(mask) == ((1, 2, 3), (1, 1, 1))
    mask[4, 5, 0] = 2
    assert bounding_box(mask) == ((1, 2, 0), (4, 4, 4))
