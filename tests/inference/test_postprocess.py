import json

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.errors import InputError
from vnet_jax.inference import components, rules
from vnet_jax.inference.postprocess import PostProcessing, clean, settings_from

# 2 x 1 x 1 mm: 500 voxels are 1 ml.
GRID = Grid((40, 40, 40), np.diag([2.0, 1.0, 1.0, 1.0]))


def case():
    mask = np.zeros(GRID.shape, np.uint8)
    hu = np.full(GRID.shape, -100.0, np.float32)
    mask[2:12, 2:12, 2:12] = 1  # 1000 voxels
    mask[5:9, 5:9, 5:9] = 2
    mask[20:25, 2:12, 2:3] = 1  # 50 voxels: exactly 5 %
    mask[30:33, 30:33, 30:33] = 2  # 27 voxels
    mask[30, 30, 30] = 1
    hu[mask == 1] = 180
    hu[mask == 2] = 60
    return mask, hu


def test_the_two_largest_stay_and_the_ledger_names_the_rest():
    mask, hu = case()
    before = mask.copy()
    kept, ledger = rules.keep_largest(mask, hu, GRID)
    expected = before.copy()
    expected[30:33] = 0
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(mask, before)
    (entry,) = ledger
    assert entry["rule"] == "largest_components"
    assert entry["from"] == [1, 2]
    assert entry["to"] == 0
    assert entry["ml"] == pytest.approx(27 / 500)
    assert entry["mean_hu"] == pytest.approx((180 + 26 * 60) / 27)
    assert entry["centre_mm"] == pytest.approx([62, 31, 31])


@pytest.mark.parametrize(("voxels", "kept"), [(50, 2), (49, 1)])
def test_the_second_stays_from_five_per_cent_on(voxels, kept):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:12, 2:12, 2:12] = 1
    mask[20].ravel()[:voxels] = 1
    assert rules.largest(components.find_components(mask > 0)) == kept
    out, ledger = rules.keep_largest(mask, None, GRID)
    assert out.sum() == 1000 + (voxels if kept == 2 else 0)
    assert len(ledger) == 2 - kept
    assert all(entry["mean_hu"] is None for entry in ledger)


def test_voxels_that_touch_by_a_corner_are_one_component():
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    assert len(components.find_components(mask)) == 1


def test_where_cysts_have_a_label_a_tumour_as_dense_as_water_gets_it():
    mask, ct = case()
    ct[5:9, 5:9, 5:9] = 0
    cleaned, (entry,) = clean(mask, ct, GRID, PostProcessing(("hu",)), cyst=3)
    assert (cleaned[5:9, 5:9, 5:9] == 3).all()
    assert (entry["from"], entry["to"]) == ([2], 3)
    assert cleaned[32, 32, 32] == 2


@pytest.mark.parametrize(("hu", "label"), [(9.9, 1), (10.0, 2), (-5.0, 1), (60.0, 2)])
def test_a_tumour_as_dense_as_water_becomes_kidney(hu, label):
    mask, ct = case()
    ct[5:9, 5:9, 5:9] = hu
    cleaned, ledger = rules.filter_cysts(mask, ct, GRID)
    assert (cleaned[5:9, 5:9, 5:9] == label).all()
    assert cleaned[32, 32, 32] == 2  # the other tumour, of 60 HU
    assert [e["rule"] for e in ledger] == ["hu_filter"] * (label == 1)
    if ledger:
        assert ledger[0]["mean_hu"] == pytest.approx(hu, abs=1e-4)
        assert ledger[0]["from"] == [2]
        assert ledger[0]["to"] == 1
        assert ledger[0]["ml"] == pytest.approx(64 / 500)


def test_both_rules_in_their_order():
    mask, hu = case()
    hu[5:9, 5:9, 5:9] = 0
    hu[30:33] = 0  # would be a cyst, but goes as a component first
    cleaned, ledger = clean(mask, hu, GRID)
    assert [e["rule"] for e in ledger] == ["largest_components", "hu_filter"]
    assert set(np.unique(cleaned)) == {0, 1}
    again, nothing = clean(cleaned, hu, GRID)
    np.testing.assert_array_equal(again, cleaned)
    assert nothing == []


def test_an_empty_mask_stays_empty():
    mask, hu = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape)
    cleaned, ledger = clean(mask, hu, GRID)
    assert not cleaned.any()
    assert ledger == []


def test_dust_is_summed_up_in_one_entry():
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1::3, 1::3, 1::3] = 1  # 13^3 single voxels
    mask[:3, :3, :3] = 2
    cleaned, ledger = rules.keep_largest(mask, np.zeros(GRID.shape), GRID)
    assert np.count_nonzero(cleaned) == 27
    assert len(ledger) == rules.LEDGER_ENTRIES + 1
    assert sum(e["components"] for e in ledger) == 13**3 - 1
    assert sum(e["ml"] for e in ledger) == pytest.approx((13**3 - 1) / 500)
    json.dumps(ledger, allow_nan=False)


def test_components_come_by_size_with_their_centres_in_the_volume():
    mask, hu = case()
    found = components.find_components(mask > 0, hu)
    assert found.voxels.tolist() == [1000, 50, 27]
    np.testing.assert_allclose(found.centre_vox[0], [6.5, 6.5, 6.5])
    np.testing.assert_allclose(found.centre_vox[2], [31, 31, 31])
    whole = np.zeros(GRID.shape, int)
    whole[found.box] = found.index
    assert (whole[2:12, 2:12, 2:12] == 1).all()


@pytest.mark.parametrize(("least", "label"), [(0.128, 2), (0.129, 1)])
def test_a_tumour_below_the_least_volume_becomes_kidney(least, label):
    mask, hu = case()  # 64 voxels are 0.128 ml, 26 are 0.052 ml
    settings = PostProcessing(("small",), min_tumour_ml=least)
    cleaned, ledger = clean(mask, hu, GRID, settings)
    assert (cleaned[5:9, 5:9, 5:9] == label).all()
    assert (cleaned[31:33, 31:33, 31:33] == 1).all()
    assert [e["rule"] for e in ledger] == ["small_tumours"] * (3 - label)
    assert {e["to"] for e in ledger} == {1}


def test_holes_get_the_label_of_most_of_their_faces():
    mask, hu = case()
    mask[6:8, 6:8, 6:8] = 0  # inside the tumour
    mask[3, 3, 3] = 0  # in the kidney
    mask[4:6, 3, 9] = 0  # in the kidney, a diagonal neighbour below: another hole
    mask[6, 4, 9] = 0
    mask[2, 6, 6] = 0  # open to the outside
    mask[12:15, 0:3, 37:40] = 1
    mask[13, 0, 38] = 0  # open at the volume's face
    expected = mask.copy()
    expected[6:8, 6:8, 6:8] = 2
    expected[3, 3, 3] = expected[4:6, 3, 9] = expected[6, 4, 9] = 1
    cleaned, ledger = clean(mask, hu, GRID, PostProcessing(("holes",)))
    np.testing.assert_array_equal(cleaned, expected)
    assert [e["to"] for e in ledger] == [1, 1, 1, 2]
    assert {e["rule"] for e in ledger} == {"holes"}
    assert all(e["from"] == [0] for e in ledger)
    assert sum(e["ml"] for e in ledger) == pytest.approx((8 + 1 + 2 + 1) / 500)


def test_a_hole_between_kidney_and_tumour_goes_to_the_larger_side():
    mask = np.zeros(GRID.shape, np.uint8)
    mask[5:10, 5:10, 5:10] = 1
    mask[8:10, 5:10, 5:10] = 2
    mask[7, 7, 7] = 0  # one face of six is the tumour's
    cleaned, _ = rules.fill_holes(mask, None, GRID)
    assert cleaned[7, 7, 7] == 1
    mask[6:9, 6:9, 6:9] = 2
    mask[7, 7, 7] = 0
    cleaned, _ = rules.fill_holes(mask, None, GRID)
    assert cleaned[7, 7, 7] == 2


def test_steps_are_switched_and_keep_their_order():
    mask, hu = case()
    hu[5:9, 5:9, 5:9] = 0
    same, ledger = clean(mask, hu, GRID, PostProcessing(()))
    np.testing.assert_array_equal(same, mask)
    assert ledger == []
    assert same is not mask
    assert PostProcessing(("holes", "hu", "components")).steps == (
        *("components", "hu", "holes"),
    )
    assert PostProcessing() == PostProcessing(("hu", "components"), 0.05, 10, 0)
    _, ledger = clean(mask, hu, GRID, PostProcessing(("hu",), cyst_hu=-1))
    assert ledger == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"steps": ["cysts"]}, "no post-processing step 'cysts'; the steps are comp"),
        ({"second_share": -0.1}, "second_share is -0.1"),
        ({"cyst_hu": float("nan")}, "cyst_hu is nan"),
        ({"min_tumour_ml": "1"}, "min_tumour_ml is '1'"),
        ({"cyst": 1}, "no post-processing settings"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(facts, said):
    with pytest.raises(InputError, match=said):
        settings_from(facts)


def test_settings_survive_json():
    settings = PostProcessing(("small", "holes"), min_tumour_ml=0.5)
    assert settings_from(json.loads(json.dumps(settings.as_dict()))) == settings
