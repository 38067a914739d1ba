import functools

import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest
from flax import linen as nn

from vnet_jax.ct.nifti import read_labels
from vnet_jax.data.cache import GridSpec
from vnet_jax.inference.predict import Predictor
from vnet_jax.training.cases import open_new
from vnet_jax.training.validate import (
    Target,
    read_classes,
    score_case,
    truth_region,
    validate,
)

PAIRS = ((0, 0), (1, 1), (2, 2))


class ByIntensity(nn.Module):
    """A network that needs no training: kidney above 130 HU, tumour from 65 to 130.

    Its first stage sees nothing anywhere: the last one is what counts.
    """

    @nn.compact
    def __call__(self, x, train=False):
        hu = 250 * x[..., 0]
        kidney, tumour = hu > 130, (hu > 65) & (hu <= 130)
        logits = jnp.stack([~(kidney | tumour), kidney, tumour], -1)
        return jnp.zeros(logits.shape), 10.0 * logits.astype(jnp.float32)


@functools.cache
def predictor() -> Predictor:
    return Predictor(
        ByIntensity(), spacing_mm=(4.0,) * 3, downsample=(1, 1, 1), window=(16, 32, 32)
    )


@pytest.fixture(scope="module")
def cases(tiny_root, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    spec = GridSpec((4.0, 4.0, 4.0))
    return open_new(
        str(tiny_root), str(cache), spec, seed=0, folds=3, fold=0, test=0
    ).validation


def by_hand(cached, inside) -> dict:
    """The Dice of the same thresholds on the file's own voxels."""
    hu = np.asarray(nib.load(cached.case.image).dataobj)
    truth = np.asarray(nib.load(cached.case.label).dataobj)
    mask = np.where(hu > 130, 1, np.where(hu > 65, 2, 0)) * inside
    kidney, tumour = (
        2 * ((mask > c) & (truth > c)).sum() / ((mask > c).sum() + (truth > c).sum())
        for c in (0, 1)
    )
    return {"kidney": kidney, "tumour": tumour, "mean": (kidney + tumour) / 2}


def test_a_whole_case_is_scored_on_the_files_own_grid(cases):
    row = score_case(predictor(), {}, Target(cases[0], whole=True), PAIRS)
    assert row["id"] == cases[0].id and "warnings" not in row
    for key, value in by_hand(cases[0], inside=1).items():
        assert row[key] == pytest.approx(value, abs=1e-12)
    assert row["kidney"] > 0.5


def test_outside_the_region_is_background(cases):
    region = truth_region(cases[0])
    start, shape = predictor().box(cases[0].grid, region)
    inside = np.zeros(cases[0].image.shape, bool)
    inside[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))] = True
    assert 0 < inside.sum() < inside.size
    row = score_case(predictor(), {}, Target(cases[0], region), PAIRS)
    assert row["kidney"] == pytest.approx(
        by_hand(cases[0], inside)["kidney"], abs=1e-12
    )


def test_the_truths_region_holds_the_truth_and_no_more(cases):
    region = truth_region(cases[0])
    start = np.rint(cases[0].grid.to_index(region.affine[:3, 3])).astype(int)
    found = np.argwhere(np.asarray(cases[0].label) > 0)
    np.testing.assert_array_equal(found.min(0), start)
    np.testing.assert_array_equal(found.max(0) + 1, start + region.shape)


def test_a_region_larger_than_the_window_is_tiled_and_says_so(cases):
    region = cases[0].grid.crop((0, 0, 0), (32, 32, 32))
    row = score_case(predictor(), {}, Target(cases[0], region), PAIRS)
    assert row["warnings"] == ["roi_tiled"]
    assert row["kidney"] == pytest.approx(by_hand(cases[0], 1)["kidney"], abs=1e-12)


def test_where_nothing_was_found_the_mask_is_empty(cases):
    row = score_case(predictor(), {}, Target(cases[0]), PAIRS)
    assert (row["kidney"], row["tumour"]) == (0.0, 0.0)


def test_means_are_over_the_cases_and_each_is_told(cases):
    told = []
    targets = [Target(cases[0], whole=True), Target(cases[1])]
    found = validate(
        predictor(), {}, targets, PAIRS, lambda row: told.append(row) or True
    )
    assert [row["id"] for row in told] == [case.id for case in cases]
    assert found["cases"] == told
    assert found["kidney"] == pytest.approx(told[0]["kidney"] / 2)
    assert found["mean"] == pytest.approx((found["kidney"] + found["tumour"]) / 2)


def test_it_stops_when_told(cases):
    targets = [Target(cases[0]), Target(cases[1])]
    assert validate(predictor(), {}, targets, PAIRS, lambda row: False) is None


def test_values_become_classes(cases):
    path = cases[0].case.label
    raw = read_labels(path).volume.array
    swapped = read_classes(path, ((0, 0), (1, 2), (2, 1))).array
    assert swapped.dtype == np.uint8
    np.testing.assert_array_equal(swapped, np.array([0, 2, 1])[raw])
