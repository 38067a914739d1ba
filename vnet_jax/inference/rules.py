"""The rules that clean a mask, and the ledger of what they changed (paper, 5.2)."""

from __future__ import annotations

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.inference.components import (
    Components,
    bordering,
    find_components,
    find_holes,
)

BACKGROUND, KIDNEY, TUMOUR, CYST = 0, 1, 2, 3

#: The second largest component stays when it has this share of the largest. Measured
#: on KiTS19's 210 label maps: below 1e-4 in the 4 cases with one component, at least
#: 0.105 in all others; a third component is never above 0.9 ml.
SECOND_SHARE = 0.05
#: A tumour component whose mean HU is below this is a cyst (paper, 5.2).
CYST_HU = 10.0
#: Ledger entries a rule writes one by one; what is smaller is summed up in one more.
LEDGER_ENTRIES = 100


def largest(components: Components, second_share: float = SECOND_SHARE) -> int:
    """How many of the components are kidneys: 0, 1 or 2.

    Args:
        components: of the labels > 0.
        second_share: the second stays with at least this share of the first.
    """
    if len(components) < 2:
        return len(components)
    return 1 + int(components.voxels[1] >= second_share * components.voxels[0])


def keep_largest(
    mask: np.ndarray,
    hu: np.ndarray | None,
    grid: Grid,
    second_share: float = SECOND_SHARE,
) -> tuple[np.ndarray, list[dict]]:
    """Keeps the one or two largest components of the labels > 0.

    A tumour counts with its kidney: KiTS19 has cases with several tumours, so the rule
    never looks at the tumour alone.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT, for the ledger; None where there is none.
        grid: where the voxels are.
        second_share: the second stays with at least this share of the first.

    Returns:
        A new mask, and the ledger of what was removed.
    """
    found = find_components(mask > 0, hu)
    kept = largest(found, second_share)
    out = mask.copy()
    out[found.box][found.index > kept] = BACKGROUND
    removed = np.arange(kept, len(found))
    part, boxes = mask[found.box], found.boxes()
    labels = [
        np.unique(part[boxes[i]][found.index[boxes[i]] == i + 1]).tolist()
        for i in removed[:LEDGER_ENTRIES]
    ]
    rule = "largest_components"
    return out, _ledger(rule, found, removed, grid, labels, BACKGROUND)


def filter_cysts(
    mask: np.ndarray,
    hu: np.ndarray,
    grid: Grid,
    cyst_hu: float = CYST_HU,
    cyst: int = KIDNEY,
) -> tuple[np.ndarray, list[dict]]:
    """Relabels tumour components of the density of water as cysts.

    KiTS19 labels cysts as kidney, so a cyst taken for a tumour is kidney, not nothing.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        cyst_hu: components with a mean below this are cysts.
        cyst: the label of cysts: 1, kidney, as in KiTS19, or their own, 3.

    Returns:
        A new mask, and the ledger of what was relabelled.
    """
    found = find_components(mask == TUMOUR, hu)
    cysts = np.flatnonzero(found.mean_hu < cyst_hu)
    out = mask.copy()
    if len(cysts):
        out[found.box][np.isin(found.index, cysts + 1)] = cyst
    labels = [[TUMOUR]] * len(cysts)
    return out, _ledger("hu_filter", found, cysts, grid, labels, cyst)


def drop_small(
    mask: np.ndarray, hu: np.ndarray | None, grid: Grid, min_ml: float
) -> tuple[np.ndarray, list[dict]]:
    """Relabels tumour components below a volume as kidney.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT, for the ledger; None where there is none.
        grid: where the voxels are.
        min_ml: components below this volume are no tumours.

    Returns:
        A new mask, and the ledger of what was relabelled.
    """
    found = find_components(mask == TUMOUR, hu)
    small = np.flatnonzero(found.voxels * grid.voxel_ml < min_ml)
    out = mask.copy()
    if len(small):
        out[found.box][np.isin(found.index, small + 1)] = KIDNEY
    return out, _ledger("small_tumours", found, small, grid, [[TUMOUR]] * len(small))


def fill_holes(
    mask: np.ndarray, hu: np.ndarray | None, grid: Grid
) -> tuple[np.ndarray, list[dict]]:
    """Fills holes in the labels > 0: tumour where most of their faces are tumour's.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT, for the ledger; None where there is none.
        grid: where the voxels are.

    Returns:
        A new mask, and the ledger of what was filled.
    """
    found = find_holes(mask > 0, hu)
    out = mask.copy()
    if not len(found):
        return out, []
    label = hole_labels(len(found), *bordering(found, mask == TUMOUR))
    filled = found.index > 0
    out[found.box][filled] = label[found.index[filled] - 1]
    entries = []
    for to in (KIDNEY, TUMOUR):
        which = np.flatnonzero(label == to)
        from_ = [[BACKGROUND]] * len(which)
        entries += _ledger("holes", found, which, grid, from_, to)
    return out, entries


def hole_labels(count: int, which, tumour, faces=None) -> np.ndarray:
    """What each hole is filled with.

    Args:
        count: holes.
        which: (m,) the hole that an entry belongs to.
        tumour: (m,) bool, whether tumour lies behind it.
        faces: (m,) how many faces the entry stands for; one each by default.

    Returns:
        (count,) uint8 labels; of equally many faces kidney.
    """
    faces = np.ones(len(which)) if faces is None else np.asarray(faces, float)
    all_faces = np.bincount(which, faces, count)
    of_tumour = np.bincount(which, faces * np.asarray(tumour), count)
    return np.where(2 * of_tumour > all_faces, TUMOUR, KIDNEY).astype(np.uint8)


def _ledger(
    rule, found: Components, which, grid: Grid, labels, to=KIDNEY
) -> list[dict]:
    """One entry a component, and one for all beyond `LEDGER_ENTRIES`."""
    entries = [
        {
            "rule": rule,
            "components": 1,
            "ml": float(found.voxels[i] * grid.voxel_ml),
            "mean_hu": _number(found.mean_hu[i]),
            "centre_mm": grid.to_mm(found.centre_vox[i]).tolist(),
            "from": from_,
            "to": to,
        }
        for i, from_ in zip(which[:LEDGER_ENTRIES], labels, strict=False)
    ]
    rest = which[LEDGER_ENTRIES:]
    if len(rest):
        voxels = found.voxels[rest]
        entries.append(
            {
                "rule": rule,
                "components": len(rest),
                "ml": float(voxels.sum() * grid.voxel_ml),
                "mean_hu": _number(np.average(found.mean_hu[rest], weights=voxels)),
                "centre_mm": None,
                "from": None,
                "to": to,
            }
        )
    return entries


def _number(value) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)
