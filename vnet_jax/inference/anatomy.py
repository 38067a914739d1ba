"""Whether a CT shows an abdomen at all: what its axial cross-sections look like.

A check for the wrong file, not a classifier of body regions. It knows heads, chests,
legs and uniform phantoms by what an abdomen never looks like; the numbers are ours, set
by anatomy and tried on the CTs named in BUILD_NOTES.md. It cannot tell a pelvis, a
single thigh or a neck from an abdomen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import Volume

#: Voxels are skipped to about this spacing: a cross-section is decimetres wide.
STEP_MM = 4.0
#: Denser than lung and air; denser than the spongy bone of a vertebra and than most
#: vessels with contrast; thinner than fat, thicker than air.
BODY_HU, BONE_HU, LUNG_HU = -300.0, 300.0, -500.0
#: A cross-section below this is nothing at all, such as the table alone.
LEAST_CM2 = 15.0
#: Shares of the cross-section. The spine is 1 to 4 % of an abdomen's, the pelvis up to
#: 9 % of its; a skull 12 % and more. Lungs are half of a chest, bowel gas rarely 10 %.
SKULL, LUNGS = 0.10, 0.20
#: A small cross-section with as much bone: an arm or a leg; even a newborn's abdomen
#: has a smaller share of it.
LIMB_CM2, LIMB_BONE = 150.0, 0.05
#: An abdomen is one piece; arms beside it are up to a fifth of all.
ONE_PIECE = 0.7
#: Within as many HU of the median lies as large a share of a phantom of one material.
UNIFORM_HU, UNIFORM = 25.0, 0.9
#: A stretch of abdomen as long, or half of the CT where that is less, is enough.
ENOUGH_MM = 50.0


@dataclass(frozen=True)
class Section:
    """One axial cross-section of the body.

    Attributes:
        area_cm2: of its largest piece, holes filled.
        piece: the largest piece's share of all pieces.
        bone: share of the area that is bone.
        lung: share of the area that is lung or gas.
        uniform: share of the area that is one material.
    """

    area_cm2: float
    piece: float
    bone: float
    lung: float
    uniform: float

    @property
    def kind(self) -> str:
        """What it must be, "" where it may be an abdomen."""
        if self.uniform >= UNIFORM:
            return "a phantom of one material"
        if self.bone >= SKULL:
            return "a head or a joint"
        if self.lung >= LUNGS:
            return "a chest"
        if self.piece < ONE_PIECE:
            return "legs"
        if self.area_cm2 < LIMB_CM2 and self.bone >= LIMB_BONE:
            return "a limb"
        return ""


def sections(ct: Volume) -> tuple[list[Section], float]:
    """The axial cross-sections of a CT.

    Args:
        ct: HU, any orientation.

    Returns:
        Those that show anything, and the distance between two, mm.
    """
    spacing = ct.grid.spacing_mm
    steps = [max(1, round(STEP_MM / s)) for s in spacing]
    axis = next(i for i, code in enumerate(ct.grid.axis_codes) if code in "IS")
    thin = ct.array[tuple(slice(None, None, step) for step in steps)]
    thin_mm = [s * n for s, n in zip(spacing, steps, strict=True)]
    pixel_cm2 = thin_mm[axis - 2] * thin_mm[axis - 1] / 100
    planes = np.moveaxis(thin, axis, 0)
    found = [_section(plane, pixel_cm2) for plane in planes]
    return [section for section in found if section], thin_mm[axis]


def _section(hu: np.ndarray, pixel_cm2: float) -> Section | None:
    """(H, W) HU of one slice; None where there is nothing."""
    pieces, count = ndimage.label(hu > BODY_HU)
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    body = ndimage.binary_fill_holes(pieces == sizes.argmax() + 1)
    inside = hu[body]
    area_cm2 = inside.size * pixel_cm2
    if area_cm2 < LEAST_CM2:
        return None
    return Section(
        area_cm2=area_cm2,
        piece=float(sizes.max() / sizes.sum()),
        bone=float((inside > BONE_HU).mean()),
        lung=float((inside < LUNG_HU).mean()),
        uniform=float((abs(inside - np.median(inside)) <= UNIFORM_HU).mean()),
    )


def not_an_abdomen(ct: Volume) -> str:
    """Why a CT cannot show an abdomen.

    Args:
        ct: HU, any orientation.

    Returns:
        For example "its cross-sections look like a chest (34 of 40)"; "" where enough
        of them may be an abdomen.
    """
    found, step_mm = sections(ct)
    return _verdict([section.kind for section in found], step_mm)


def _verdict(kinds: Sequence[str], step_mm: float) -> str:
    may_be = kinds.count("")
    if may_be * step_mm >= min(ENOUGH_MM, 0.5 * len(kinds) * step_mm) and kinds:
        return ""
    if not kinds:
        return "it shows no body"
    kind, count = Counter(filter(None, kinds)).most_common(1)[0]
    return f"its cross-sections look like {kind} ({count} of {len(kinds)})"
