import json

import numpy as np
import pytest
from scipy import ndimage

from vnet_jax.data.phantom import draw_case, paint_labels

SMALL = dict(spacing_mm=(3.0, 5.0, 5.0), extent_mm=(144, 320, 320))


@pytest.fixture(scope="module")
def cases():
    """Eight small cases."""
    return [draw_case((7, k), **SMALL) for k in range(8)]


def test_types_shapes_and_place(cases):
    ct, labels, cysts, grid, _ = cases[0]
    assert (ct.dtype, labels.dtype, cysts.dtype) == (np.int16, np.uint8, np.uint8)
    assert ct.shape == labels.shape == cysts.shape == grid.shape == (48, 64, 64)
    assert grid.axis_codes == ("I", "P", "L")
    assert grid.spacing_mm == (3.0, 5.0, 5.0)
    assert np.array_equal(grid.to_mm((0, 0, 0)), (0, 0, 0))
    assert ct.min() >= -1024
    assert ct.max() <= 3071


def test_the_same_seed_gives_the_same_voxels_and_another_does_not(cases):
    again = draw_case((7, 3), **SMALL)
    for a, b in zip(cases[3][:3], again[:3], strict=True):
        assert np.array_equal(a, b)
    assert cases[3][4] == again[4]
    assert not np.array_equal(cases[3][0], cases[4][0])


def test_labels_are_kidney_and_tumour_and_cysts_lie_in_the_kidney(cases):
    for _, labels, cysts, _, _ in cases:
        assert set(np.unique(labels)) <= {0, 1, 2}
        assert (labels[cysts == 1] == 1).all()
    assert sum((labels == 2).any() for _, labels, *_ in cases) >= 6
    assert sum(cysts.any() for _, _, cysts, *_ in cases) >= 2


def test_kidneys_are_of_a_kidneys_size_and_on_both_sides(cases):
    for _, labels, _, grid, record in cases:
        assert 60 < (labels == 1).sum() * grid.voxel_ml < 550
        columns = np.argwhere(labels == 1)[:, 2]
        sides = {"right": (columns < 30).any(), "left": (columns > 34).any()}
        assert {side for side, seen in sides.items() if seen} == set(record["kidneys"])


def test_hu_tell_kidney_tumour_and_cyst_apart(cases):
    for ct, labels, cysts, _, record in cases:
        inner = ndimage.binary_erosion(labels == 1) & (cysts == 0)
        assert 85 < ct[inner].mean() < 240
        for tumour in record["tumours"]:
            assert 20 < tumour["mean_hu"] < 130
        if (labels == 2).any():
            assert ct[labels == 2].mean() < ct[inner].mean() - 10
        for cyst in record["cysts"]:
            if cyst["volume_ml"] > 3:
                assert -25 < cyst["mean_hu"] < 35


def test_the_record_says_what_is_in_the_files(cases):
    for ct, labels, cysts, grid, record in cases:
        assert record["synthetic"] is True
        assert json.loads(json.dumps(record)) == record
        total = sum(tumour["volume_ml"] for tumour in record["tumours"])
        assert total == pytest.approx((labels == 2).sum() * grid.voxel_ml, abs=0.01)
        if len(record["tumours"]) == 1:
            mean = ct[labels == 2].mean()
            assert record["tumours"][0]["mean_hu"] == pytest.approx(mean, abs=0.06)
        total = sum(cyst["volume_ml"] for cyst in record["cysts"])
        assert total == pytest.approx(cysts.sum() * grid.voxel_ml, abs=0.01)


@pytest.mark.parametrize("seed", [1, 2])
def test_front_is_up_and_the_liver_is_on_the_pictures_left(seed):
    ct, *_ = draw_case(seed, (6.0, 2.0, 2.0), (144, 320, 320))
    body = np.argwhere(ct > -300)[:, 1]
    bone = np.argwhere(ct[:, :, 55:105] > 380)[:, 1]  # around the midline
    assert len(bone) > 500
    assert np.median(bone) > np.median(body) + 7  # 14 mm further behind
    above = (ct[:6] > 45) & (ct[:6] < 150)  # liver; stomach, spleen and fat
    assert above[:, :, :75].sum() > 1.1 * above[:, :, 85:].sum()


def test_a_body_lies_in_air_and_has_fat_and_gas(cases):
    for ct, *_ in cases:
        assert np.median(ct[:, :4]) < -900
        assert ((ct > -130) & (ct < -70)).mean() > 0.05
    inside = [ct[20:, 20:40, 16:48] for ct, *_ in cases]
    assert sum((box < -500).any() for box in inside) >= 6


def test_phases_differ():
    seen = {}
    for k in range(24):
        ct, labels, cysts, _, record = draw_case(
            (11, k), (6.0, 7.0, 7.0), (144, 320, 320)
        )
        inner = ndimage.binary_erosion(labels == 1) & (cysts == 0)
        if inner.any():
            seen.setdefault(record["contrast_phase"], []).append(ct[inner].std())
    assert set(seen) == {"arterial", "nephrographic", "excretory"}
    # Cortex against medulla, or full calyces, against an even kidney.
    assert np.median(seen["arterial"]) > np.median(seen["nephrographic"])


def test_spacing_and_field_of_view_are_drawn():
    ct, _, _, grid, record = draw_case(5, (6.0, 6.25, 6.25))
    assert ct.shape[1:] == (64, 64)
    assert grid.spacing_mm[0] == 6.0
    assert 0.9 * 6.25 <= grid.spacing_mm[1] == grid.spacing_mm[2] <= 1.1 * 6.25
    assert record["spacing_mm"] == list(grid.spacing_mm)
    shapes = {draw_case(k, (9.0, 12.5, 12.5))[0].shape[0] for k in range(4)}
    assert len(shapes) > 1


@pytest.fixture(scope="module")
def label_map(cases):
    """A label map on another grid than the painter's own: no nodes fall on voxels."""
    labels = next(la for _, la, *_ in cases if (la == 2).sum() * 0.075 > 15)
    return np.pad(labels, ((2, 4), (3, 1), (0, 2)))


def test_a_ct_painted_around_labels_fits_them(label_map):
    before = label_map.copy()
    ct, cysts, record = paint_labels(label_map, (3.0, 5.0, 5.0), 3)
    assert np.array_equal(label_map, before)
    assert ct.shape == cysts.shape == label_map.shape
    assert (label_map[cysts == 1] == 1).all()
    plain = (label_map == 1) & (cysts == 0)
    inner = ndimage.binary_erosion(plain)
    assert ct[inner].mean() > 90
    assert ct[label_map == 2].mean() < ct[inner].mean() - 15
    around = ndimage.binary_dilation(label_map > 0, iterations=2) & (label_map == 0)
    assert ct[around].mean() < ct[label_map > 0].mean() - 60
    total = sum(tumour["volume_ml"] for tumour in record["tumours"])
    assert total == pytest.approx((label_map == 2).sum() * 0.075, abs=0.01)


def test_every_labelled_voxel_is_painted_as_what_it_is(label_map):
    ct, cysts, _ = paint_labels(label_map, (3.0, 5.0, 5.0), 4)
    # Partial volume at most halves an edge voxel, never turns it into fat or air.
    kidney = ct[(label_map == 1) & (cysts == 0)]
    assert np.mean(kidney > 20) > 0.97
    assert np.mean(np.abs(ct[label_map == 2] - 60) < 110) > 0.97


def test_painting_is_deterministic(label_map):
    first = paint_labels(label_map, (3.0, 5.0, 5.0), 5)
    again = paint_labels(label_map, (3.0, 5.0, 5.0), 5)
    assert np.array_equal(first[0], again[0])
    assert first[2] == again[2]


@pytest.mark.parametrize(
    "labelled", ["nothing", "a speck", "one box", "the whole edge"]
)
def test_odd_label_maps_are_painted_too(labelled):
    labels = np.zeros((16, 40, 48), np.uint8)
    if labelled == "speck":
        labels[8, 20, 14] = 2
    if labelled == "one box":  # across the midline, like a horseshoe
        labels[4:12, 16:24, 8:40] = 1
    if labelled == "edge":
        labels[0:3, 18:28, 0:12] = 1
        labels[0:2, 20:24, 2:6] = 2
    ct, _, record = paint_labels(labels, (5.0, 8.0, 8.0), 1)
    assert np.isfinite(ct).all()
    assert len(record["kidneys"]) == (labels > 0).any()
    assert len(record["tumours"]) == (labels == 2).any()
