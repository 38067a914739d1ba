import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.nifti import Scan
from vnet_jax.inference import summary

GRID = Grid((5, 6, 7), np.diag([1.0, 2.0, 3.0, 1.0]))
SCAN = Scan(Volume(np.zeros(GRID.shape, np.int16), GRID), None, "ab", ("odd",))
MASK = np.zeros(GRID.shape, np.uint8)
MASK[2, 2, 2] = 1


def summarise(mask=MASK, median_hu=150.0, box=GRID, warnings=()):
    measured = {"volumes_ml": {}, "tumours": [], "kidney_median_hu": median_hu}
    return summary.summarise(SCAN, mask, measured, box, [], warnings)


def test_input_box_and_warnings():
    facts = summarise(warnings=[{"code": "roi_tiled", "text": "2 windows"}])
    assert facts["input"] == {
        "path": None,
        "sha256": "ab",
        "shape": [5, 6, 7],
        "spacing_mm": [1.0, 2.0, 3.0],
        "axis_codes": "RAS",
    }
    assert facts["box"] == {"affine": GRID.affine.tolist(), "shape": [5, 6, 7]}
    assert facts["warnings"] == [
        {"code": "input", "text": "odd"},
        {"code": "roi_tiled", "text": "2 windows"},
    ]
    assert facts["status"] == "ok"


@pytest.mark.parametrize(("median_hu", "warned"), [(69.9, True), (70.0, False)])
def test_contrast(median_hu, warned):
    codes = [w["code"] for w in summarise(median_hu=median_hu)["warnings"]]
    assert ("no_contrast" in codes) == warned


def test_status():
    nothing = summarise(0 * MASK, None, None)
    assert nothing["status"] == "no_kidney"
    assert nothing["box"] is None
    cut = MASK.copy()
    cut[0, 2, 2] = 2
    assert summarise(cut)["status"] == "incomplete"


def test_one_line():
    facts = {
        "status": "ok",
        "volumes_ml": {"kidney_left": 171.6, "kidney_right": None},
        "tumour_count": 5,
        "tumours": [{"diameter_mm": 31.2, "side": "left"}] * 5,
        "warnings": [{"code": "no_contrast"}],
        "review": {"flag": True, "reasons": ["no_contrast", "low_confidence"]},
    }
    assert summary.in_one_line(facts) == (
        "kidney left 172 ml, tumour 31 mm (left), tumour 31 mm (left), "
        "tumour 31 mm (left), 2 more tumours [no_contrast, low_confidence]"
    )
    facts |= {"tumour_count": 0, "tumours": [], "warnings": []}
    facts["review"] = {"flag": False, "reasons": []}
    assert summary.in_one_line(facts) == "kidney left 172 ml, no tumour"
    facts |= {"status": "no_kidney", "review": {"reasons": ["no_kidney"]}}
    assert summary.in_one_line(facts) == "no kidney found"
    facts["warnings"] = [{"code": "not_abdomen"}]
    assert summary.in_one_line(facts) == "no kidney found [not_abdomen]"
