import json
from types import SimpleNamespace

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.data import dataset_report
from vnet_jax.data.cache import GridSpec, build_cache
from vnet_jax.data.cases import find_cases
from vnet_jax.data.dataset_report import PAPER_ROI, gather


@pytest.fixture
def figures(add_case, make_anatomy, tmp_path):
    """Of five cases: whole, without tumour, empty, a test case, refused."""
    _, label = make_anatomy()
    add_case("a")
    add_case("b", label=np.minimum(label, 1))
    add_case("c", label=0 * label)
    add_case("d", label=None)
    add_case("e", label=3 * label)

    def of(spec=None, roi_vox=PAPER_ROI):
        spec = spec or GridSpec((3, 1, 1))
        cases = find_cases(tmp_path / "kits")
        cached, refused = build_cache(cases, tmp_path / "cache", spec, progress=False)
        return gather(cases, cached, refused, roi_vox)

    return of


def test_counts_and_lists(figures):
    facts = figures()
    assert facts["counts"] == {
        "cases": 5,
        "labelled": 4,
        "test": 1,
        "synthetic": 0,
        "cached": 4,
        "refused": 1,
    }
    assert facts["no_foreground"] == ["c"]
    assert facts["no_tumour"] == ["b"]
    assert facts["cut_by_picture"] == []
    assert facts["slice_spacing_mm"] == {"a": 3.0, "b": 3.0, "c": 3.0, "d": 3.0}
    (refused,) = facts["refused"]
    assert refused["path"].endswith("e/segmentation.nii.gz")
    assert "3" in refused["wrong"]


def test_volumes_by_hand(figures):
    # A voxel of 3 x 1 x 1 mm is 0.003 ml; 32 voxels of tumour of 1152 of foreground.
    assert figures()["volumes_ml"]["a"] == {"kidney": 3.36, "tumour": 0.096}
    assert figures()["volumes_ml"]["b"] == {"kidney": 3.456, "tumour": 0.0}


def test_histograms_are_sums_over_the_cases(figures):
    hu = figures()["histograms"]
    assert len(hu["edges_hu"]) == 61
    assert (hu["edges_hu"][0], hu["edges_hu"][-1]) == (-300, 300)
    assert sum(hu["counts"]["tumour"]) == 32
    assert sum(hu["counts"]["kidney"]) == 1120 + 1152
    # 180 HU counts as the middle of the whole HU 180, ..., 189.
    tumour_in_b = 32 * (64.5 - 184.5) / (1120 + 1152)
    assert hu["mean_hu"]["kidney"] == pytest.approx(184.5 + tumour_in_b, abs=0.06)


def test_boxes_against_a_region(figures):
    boxes = figures(roi_vox=(6, 12, 30))["boxes"]
    assert boxes["size_vox"] == {"a": [6, 12, 30], "b": [6, 12, 30]}
    assert boxes["largest_vox"] == [6, 12, 30]
    assert boxes["larger_than_roi"] == []
    assert figures(roi_vox=(6, 12, 29))["boxes"]["larger_than_roi"] == ["a", "b"]


def test_boxes_of_merged_blocks_are_in_voxels_of_the_spacing(figures):
    boxes = figures(GridSpec((3, 1, 1), (1, 2, 2)))["boxes"]
    assert boxes["size_vox"]["a"] == [6, 12, 30]


def test_ready_for_json_even_with_nothing(figures):
    assert json.loads(json.dumps(figures(), allow_nan=False)) == figures()
    empty = gather([], [], [])
    assert empty["boxes"]["largest_vox"] is None
    json.dumps(empty, allow_nan=False)


def test_a_cyst_is_no_tumour():
    grid = Grid((4, 4, 4), np.diag([10.0, 10.0, 10.0, 1.0]))  # 1 ml a voxel
    four = SimpleNamespace(header={"voxels": [50, 4, 0, 10]}, grid=grid)
    assert dataset_report._volumes_ml(four) == {"kidney": 4, "tumour": 0}
    two = SimpleNamespace(header={"voxels": [60, 4]}, grid=grid)
    assert dataset_report._volumes_ml(two) == {"kidney": 4, "tumour": 0}
