import itertools

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.inference import roi

IPL = np.array([[0, 0, -0.8, 90], [0, -0.8, 0, 70], [-3.0, 0, 0, 40], [0, 0, 0, 1]])
GRID = Grid((30, 60, 70), IPL)


def test_region_and_centre_by_hand():
    mask = np.zeros(GRID.shape, bool)
    mask[4:8, 10:20, 30:31] = True
    region = roi.foreground_region(mask, GRID)
    assert region.shape == (4, 10, 1)
    # Index (5.5, 14.5, 30): x = 90 - 24, y = 70 - 11.6, z = 40 - 16.5.
    np.testing.assert_allclose(roi.centre_mm(region), [66, 58.4, 23.5])
    assert roi.foreground_region(np.zeros((2, 2, 2)), Grid((2, 2, 2), IPL)) is None


def test_a_box_laid_over_its_own_grid_is_itself():
    for start, shape in [((0, 0, 0), (30, 60, 70)), ((3, 7, 11), (1, 20, 59))]:
        assert roi.lay_over(GRID.crop(start, shape), GRID) == (start, shape)


def test_a_coarse_box_covers_every_fine_voxel_it_touches():
    coarse = GRID.downsample((1, 4, 4))
    # Columns 2 to 4 of the coarse grid are 8 to 19 of the fine one.
    assert roi.lay_over(coarse.crop((5, 2, 3), (2, 3, 1)), GRID) == (
        (5, 8, 12),
        (2, 12, 4),
    )
    # The other way a touched block counts whole: 7 to 8 lie in blocks 1 and 2.
    assert roi.lay_over(GRID.crop((5, 7, 0), (1, 2, 1)), coarse) == (
        (5, 1, 0),
        (1, 2, 1),
    )


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_box_on_turned_axes_touches_the_same_voxels(order):
    region = GRID.crop((3, 7, 11), (4, 20, 30))
    turned = Grid([region.shape[a] for a in order], region.affine[:, [*order, 3]])
    assert roi.lay_over(turned, GRID) == ((3, 7, 11), (4, 20, 30))


def test_the_part_beyond_the_volume_is_cut_and_one_apart_is_none():
    assert roi.lay_over(GRID.crop((-5, 50, 0), (7, 20, 70)), GRID) == (
        (0, 50, 0),
        (2, 10, 70),
    )
    assert roi.lay_over(GRID.crop((30, 0, 0), (5, 60, 70)), GRID) is None


@pytest.mark.parametrize(
    ("start", "length", "window", "limit", "expected"),
    [
        (40, 20, 80, 200, (10, 80)),  # centred
        (70, 20, 80, 100, (20, 80)),  # shifted back from the end
        (0, 10, 80, 100, (0, 80)),  # shifted on from the beginning
        (10, 20, 80, 48, (0, 48)),  # the volume is smaller: padded later
        (30, 100, 80, 200, (30, 100)),  # longer than the window: tiled
        (30, 80, 80, 200, (30, 80)),
        (41, 19, 80, 200, (10, 80)),  # 30.5 voxels of slack on either side
    ],
)
def test_the_box_along_one_axis(start, length, window, limit, expected):
    starts, shape = roi.roi_box(
        (start, 0, 0), (length, 1, 1), (window, 1, 1), (limit, 1, 1)
    )
    assert (starts[0], shape[0]) == expected


def test_the_box_holds_the_foreground_and_stays_inside():
    rng = np.random.default_rng(0)
    for _ in range(500):
        limit = rng.integers(1, 50, 3)
        start = rng.integers(0, limit)
        length = rng.integers(1, limit - start + 1)
        window = rng.integers(1, 40, 3)
        low, shape = map(np.array, roi.roi_box(start, length, window, limit))
        assert (low >= 0).all()
        assert (low + shape <= limit).all()
        assert (low <= start).all()
        assert (low + shape >= start + length).all()
        assert (shape == np.minimum(np.maximum(window, length), limit)).all()


def test_faces_that_the_foreground_reaches_although_the_ct_goes_on():
    ct = Grid(
        (30, 40, 50),
        np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]]),
    )
    box, region = ct.crop((5, 0, 10), (20, 40, 30)), ct.crop((10, 10, 20), (8, 9, 9))
    mask = np.zeros(ct.shape, np.uint8)
    mask[10:20, 10:20, 15:25] = 1
    assert roi.faces_reached(mask, ct, box, region) == []
    for part, face in [
        ((5, 12, 20), "upper"),  # the first index is the head's
        ((24, 12, 20), "lower"),
        ((12, 12, 10), "right"),
        ((12, 12, 39), "left"),
    ]:
        reaching = mask.copy()
        reaching[part] = 2
        assert roi.faces_reached(reaching, ct, box, region) == [face]
    front = mask.copy()
    front[12, 0, 20] = 1  # the picture's own face, not the box's
    assert roi.faces_reached(front, ct, box, region) == []
    both = mask.copy()
    both[[5, 24], 12, 20] = 1
    assert roi.faces_reached(both, ct, box, region) == ["upper", "lower"]
    # Phase 1 saw the kidney end at the box's face: that is how a tiled box lies.
    assert roi.faces_reached(both, ct, box, box) == []
    assert roi.faces_reached(0 * mask, ct, box, region) == []


def test_faces_of_a_finer_mask_and_of_an_oblique_ct():
    """Centres of 1 mm slices lie up to 1 mm inside the face of a box of 3 mm."""
    fine = Grid((90, 40, 50), np.diag([-1.0, 1, 1, 1])[:, [2, 1, 0, 3]])
    box = fine.downsample((3, 1, 1)).crop((5, 0, 10), (20, 40, 30))
    mask = np.zeros(fine.shape, np.uint8)
    mask[40:75, 10:20, 15:25] = 1  # slice 74 is the last whose centre is in the box
    region = box.crop((4, 4, 4), (2, 2, 2))
    assert len(roi.faces_reached(mask, fine, box, region)) == 1
    mask[71:] = 0
    assert roi.faces_reached(mask, fine, box, region) == []
