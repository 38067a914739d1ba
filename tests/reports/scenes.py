"""A small CT with two kidneys and a tumour, what is known of it, and its pages."""

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume

#: Oriented as KiTS is; 24 x 40 x 48 voxels are 120 x 120 x 120 mm.
IPL = Grid(
    (24, 40, 48),
    np.array([[0, 0, -2.5, 59], [0, -3.0, 0, 58], [-5.0, 0, 0, 57], [0, 0, 0, 1]]),
)
TUMOUR = (slice(8, 12), slice(16, 20), slice(10, 14))


def scene():
    """CT, mask and the mask before one stray piece was taken away."""
    mask = np.zeros(IPL.shape, np.uint8)
    mask[6:16, 14:24, 8:16] = 1
    mask[7:17, 15:25, 32:40] = 1
    mask[TUMOUR] = 2
    hu = np.where(mask == 1, 190, np.where(mask == 2, 60, -100)).astype(np.int16)
    hu += np.random.default_rng(0).integers(-9, 10, hu.shape, dtype=np.int16)
    raw = mask.copy()
    raw[2:4, 30:33, 20:24] = 1
    return Volume(hu, IPL), mask, raw


def summary(**changed):
    """Everything that a summary may hold."""
    facts = {
        "case": "case_1",
        "schema": 2,
        "status": "ok",
        "warnings": [{"code": "input", "text": "the qform was mended"}],
        "input": {
            "path": "/home/smith_ann/ct.nii.gz",
            "sha256": "ab" * 32,
            "shape": [24, 40, 48],
            "spacing_mm": [5.0, 3.0, 2.5],
            "axis_codes": "IPL",
        },
        "volumes_ml": {
            "kidney_left": 30.0,
            "kidney_right": 27.6,
            "kidney_left_with_tumour": 30.0,
            "kidney_right_with_tumour": 30.0,
            "tumour": 2.4,
        },
        "kidneys": {
            "left": {"centre_mm": [-31, 0, 0], "length_mm": 52.0},
            "right": None,
        },
        "tumour_count": 1,
        "tumours": [
            {
                "side": "right",
                "ml": 2.4,
                "diameter_mm": 19.1,
                "mean_hu": 60.2,
                "centre_mm": IPL.to_mm([9.5, 17.5, 11.5]).tolist(),
                "exophytic_share": 0.25,
                "newly_measured_mm": 3.25,
                "pole": "upper",
            }
        ],
        "kidney_median_hu": 190.0,
        "ledger": [
            {
                "rule": "largest_components",
                "components": 1,
                "ml": 0.9,
                "mean_hu": -100.0,
                "centre_mm": IPL.to_mm([2.5, 31, 21.5]).tolist(),
                "from": 1,
                "to": 0,
            }
        ],
        "confidence": {
            "kidney": 0.97,
            "tumour": 0.8,
            "score": 0.885,
            "calibrated": True,
            "note": "on 40 cases",
        },
        "intervals_ml": {"level": 0.9, "kidney_left": [25.0, 35.0], "tumour": None},
        "review": {"flag": True, "reasons": ["wide_interval", "a_new_reason"]},
        "models": {
            "phase1": [
                {"run": "/srv/smith/runs/p1", "sha256": "cd" * 32, "steps": [7]}
            ],
            "phase2": [{"run": "runs/p2", "sha256": "ef" * 32, "steps": [9, 8]}],
        },
        "trained_on_synthetic": True,
        "notice": "trained on synthetic CTs",
        "options": {"fast": False, "flips": "x", "postprocess": {"cyst_hu": 10.0}},
        "timings_s": {"read": 0.25, "phase2": 61.0},
        "peak_bytes": 3 * 2**30,
        "device": "cpu",
        "versions": {"vnet_jax": "0.1.0"},
    }
    return {**facts, **changed}
