"""What a surgeon asks of a tumour: how long, how far out, how near, how much in touch.

Each measure with its source and its limits: `docs/measures.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vnet_jax.ct.geometry import Grid, crop_padded
from vnet_jax.measures.axial import axial
from vnet_jax.measures.contact import contact_mm2, reach
from vnet_jax.measures.kidney import (
    KIDNEY,
    Kidney,
    face,
    pole,
    sinus_fat_mm,
    surface_mm,
)


def describe(
    tumour: np.ndarray,
    start: Sequence[int],
    labels: np.ndarray,
    kidney: Kidney | None,
    grid: Grid,
) -> dict:
    """Measures one tumour.

    Args:
        tumour: (d, h, w) bool, not empty, the box around it.
        start: first index of that box in the volume.
        labels: (D, H, W) uint8; 1 is parenchyma.
        kidney: that of the tumour's side; None where it has no parenchyma.
        grid: the volume's.

    Returns:
        {"axial_diameter_mm", "axial_perpendicular_mm", "axial_slice", "axial_ends_mm",
        "exophytic_share", "sinus_fat_mm", "contact_mm2", "pole", "face"}; None for what
        does not exist.
    """
    start = np.asarray(start)
    drawn = axial(tumour, grid.crop(start, tumour.shape))
    axis = next(a for a, code in enumerate(grid.axis_codes) if code in "IS")
    found = {
        "axial_diameter_mm": drawn.longest_mm,
        "axial_perpendicular_mm": drawn.across_mm,
        "axial_slice": drawn.slice + int(start[axis]),
        "axial_ends_mm": [list(end) for end in drawn.ends_mm],
    }
    if kidney is None:
        names = ("exophytic_share", "sinus_fat_mm", "contact_mm2", "pole", "face")
        return found | dict.fromkeys(names)
    centre_mm = grid.to_mm(np.argwhere(tumour).mean(axis=0) + start)
    return found | {
        "exophytic_share": _exophytic_share(tumour, start, kidney),
        "sinus_fat_mm": sinus_fat_mm(kidney, surface_mm(tumour, start, grid)),
        "contact_mm2": _contact_mm2(tumour, start, labels, grid),
        "pole": pole(kidney, centre_mm),
        "face": face(kidney, centre_mm),
    }


def _exophytic_share(tumour, start, kidney: Kidney) -> float | None:
    """Share of the tumour's voxels outside the parenchyma's convex hull."""
    if kidney.outline is None:
        return None
    inside = kidney.outline.inside(start, tumour.shape)
    return float(1 - np.count_nonzero(inside & tumour) / np.count_nonzero(tumour))


def _contact_mm2(tumour, start, labels, grid: Grid) -> float:
    """The tumour's surface with the parenchyma, whichever piece that belongs to."""
    margin = np.array(reach(grid))
    shape = tumour.shape + 2 * margin
    around = crop_padded(labels, start - margin, shape, 0)
    grown = crop_padded(tumour, -margin, shape, 0)
    return contact_mm2(grown, around == KIDNEY, grid)
