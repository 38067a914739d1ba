"""The JSON beside a mask; `docs/summary.md` states its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import Scan
from vnet_jax.inference.measure import touches_border

#: Version of the schema: grows when a field changes its meaning or goes.
SCHEMA = 3
#: Median kidney HU below which the CT was taken without contrast. With contrast it is
#: 120 to 230, without about 30.
CONTRAST_HU = 70.0
#: What is said with every output of models that have never seen a real CT.
SYNTHETIC = "trained on synthetic CTs"


def summarise(
    scan: Scan,
    mask: np.ndarray,
    measured: Mapping,
    box: Grid | None,
    ledger: Sequence[Mapping],
    warnings: Sequence[Mapping],
) -> dict:
    """What was found in one case, ready for JSON.

    Args:
        scan: the CT.
        mask: (D, H, W) uint8 labels on its grid, cleaned.
        measured: from `measure.measure`.
        box: what phase 2 saw, or None where there was nothing to see.
        ledger: from `postprocess.clean`.
        warnings: {"code", "text"} so far; those of the mask are added.

    Returns:
        The fields from "schema" to "ledger".
    """
    found = bool(mask.any())
    cut = found and touches_border(mask)
    read = [{"code": "input", "text": text} for text in scan.warnings]
    return {
        "schema": SCHEMA,
        "status": "no_kidney" if not found else "incomplete" if cut else "ok",
        "warnings": [*read, *warnings, *_doubts(cut, measured["kidney_median_hu"])],
        "input": _input(scan),
        **measured,
        "box": box and {"affine": box.affine.tolist(), "shape": list(box.shape)},
        "ledger": list(ledger),
    }


def _input(scan: Scan) -> dict:
    grid = scan.volume.grid
    return {
        "path": None if scan.path is None else str(scan.path),
        "sha256": scan.sha256,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "axis_codes": "".join(grid.axis_codes),
    }


def _doubts(cut: bool, median_hu: float | None) -> list[dict]:
    doubts = []
    if cut:
        text = "the picture cuts the kidney: volumes and diameters are too small"
        doubts.append({"code": "incomplete", "text": text})
    if median_hu is not None and median_hu < CONTRAST_HU:
        text = (
            f"median kidney HU {median_hu:.0f}, below {CONTRAST_HU:.0f}: "
            "a CT without contrast, on which the models were not trained"
        )
        doubts.append({"code": "no_contrast", "text": text})
    return doubts


def synthetic_mark(synthetic: bool) -> dict:
    """The fields that say what the models have learned from."""
    return {
        "trained_on_synthetic": synthetic,
        "notice": SYNTHETIC if synthetic else "",
    }


def in_one_line(facts: Mapping) -> str:
    """What a user reads while the next case runs.

    Args:
        facts: a summary.

    Returns:
        For example "kidney left 172 ml, right 160 ml, tumour 31 mm (left)".
    """
    if facts["status"] == "no_kidney":
        return "no kidney found"
    volumes = facts["volumes_ml"]
    sides = [
        f"{side} {volumes[f'kidney_{side}']:.0f} ml"
        for side in ("left", "right")
        if volumes[f"kidney_{side}"] is not None
    ]
    tumours = [
        f"tumour {t['diameter_mm']:.0f} mm ({t['side']})" for t in facts["tumours"]
    ]
    shown, rest = tumours[:3], facts["tumour_count"] - 3
    shown += [f"{rest} more tumours"] if rest > 0 else []
    codes = [w["code"] for w in facts["warnings"]]
    codes += [r for r in facts["review"]["reasons"] if r not in codes]
    text = "kidney " + ", ".join([*sides, *(shown or ["no tumour"])])
    return f"{text} [{', '.join(codes)}]" if codes else text
