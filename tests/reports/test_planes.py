import itertools

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.reports.planes import LEAST_MM, MARGIN_MM, scene

SHAPE, SPACING = (60, 120, 130), (3.0, 2.0, 2.0)
AFFINE = np.array([[0, 0, -2, 130], [0, -2, 0, 120], [-3, 0, 0, 90], [0, 0, 0, 1.0]])
GRID = Grid(SHAPE, AFFINE)


def case(tumour=True):
    """A kidney on each side; the right one carries a tumour around (30, 60, 40)."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[20:40, 50:70, 35:50] = 1
    mask[22:30, 52:66, 90:104] = 1
    if tumour:
        mask[30, 55:65, 36:44] = 2
        mask[29:32, 60, 36:44] = 2
        mask[29:32, 55:65, 40] = 2
    ct = np.arange(mask.size, dtype=np.float32).reshape(SHAPE)
    return Volume(ct, GRID), mask


def test_planes_go_through_the_tumours_largest_sections():
    assert scene(*case()).cut == (30, 60, 40)


def test_without_a_tumour_through_the_kidneys_largest_sections():
    view = scene(*case(tumour=False))
    z, y, x = view.cut
    assert 22 <= z < 30  # both kidneys
    assert 52 <= y < 66
    assert 35 <= x < 50  # the larger kidney


def test_planes_go_through_what_they_are_asked_to_look_at():
    ct, mask = case()
    place = np.zeros(SHAPE, np.uint8)
    place[24, 55:60, 95:99] = place[23:26, 57, 95:99] = place[23:26, 55:60, 96] = 1
    assert scene(ct, mask, look_at=place).cut == (24, 57, 96)
    assert scene(ct, mask, look_at=place).spans == scene(ct, mask).spans


def test_the_truths_tumour_counts_where_the_prediction_has_none():
    ct, label = case()
    view = scene(ct, np.minimum(label, 1), label)
    assert view.cut == (30, 60, 40)
    assert (view.predicted, view.true) == ({1}, {1, 2})


def test_nothing_found_shows_the_middle_of_everything():
    ct, mask = case()
    view = scene(ct, np.zeros_like(mask))
    assert (view.predicted, view.true) == (set(), set())
    assert view.cut == (30, 60, 65)
    # z is 180 mm and y 240 mm long; both are shown at 240 mm
    assert view.spans == ((-30, 210), (0, 240), (0, 260))


def test_spans_hold_the_foreground_with_its_margin():
    view = scene(*case())
    for (low, high), (first, last), step in zip(
        view.spans, ((20, 40), (50, 70), (35, 104)), SPACING, strict=True
    ):
        assert low <= first * step - MARGIN_MM + 1e-9
        assert high >= last * step + MARGIN_MM - 1e-9
        assert high - low >= LEAST_MM


def test_spans_stay_inside_where_they_fit():
    ct, mask = case(tumour=False)
    mask = np.zeros_like(mask)
    mask[0:4, 0:4, 0:4] = 1  # a corner
    view = scene(ct, mask)
    assert view.spans == ((0, 160), (0, 160), (0, 160))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_every_orientation_gives_the_same_picture(order, flip):
    ct, mask = case()
    expected = scene(ct, mask, mask)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, (old, sign) in enumerate(zip(order, flip, strict=True)):
        turn[old, new] = sign
        turn[old, 3] = 0 if sign > 0 else SHAPE[old] - 1
    slices = tuple(slice(None, None, s) for s in flip)
    arrays = [a.transpose(order)[slices] for a in (ct.array, mask)]
    grid = Grid(arrays[0].shape, AFFINE @ turn)
    view = scene(Volume(arrays[0], grid), arrays[1], arrays[1])
    assert view.cut == expected.cut
    np.testing.assert_allclose(view.spans, expected.spans)
    np.testing.assert_array_equal(view.ct, expected.ct)
    np.testing.assert_array_equal(view.mask, expected.mask)
    np.testing.assert_allclose(view.grid.affine, AFFINE, atol=1e-9)


def test_a_mask_of_another_shape_is_refused():
    ct, mask = case()
    with pytest.raises(ValueError, match="grid"):
        scene(ct, mask[:-1])


def test_a_cyst_is_not_taken_for_the_tumour():
    ct, mask = case()
    expected = scene(ct, mask).cut
    mask[2:20, 40:80, 60:110] = 3  # much larger than the tumour
    view = scene(ct, mask)
    assert view.cut == expected
    assert view.predicted == {1, 2, 3}
