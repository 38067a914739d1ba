"""What each KiTS challenge counts as one class, and the tolerances it grants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KIDNEY, TUMOUR, CYST = 1, 2, 3


@dataclass(frozen=True)
class Challenge:
    """The rules of one challenge.

    Attributes:
        name: "kits19", "kits21" or "kits23".
        regions: key in the scores -> the classes it joins. The last is the tumour.
        tolerances_mm: region -> tolerance of its surface Dice.
        labels: value in the label files -> class.
        predictions: value in the predicted masks -> class.
    """

    name: str
    regions: Mapping[str, tuple[int, ...]]
    tolerances_mm: Mapping[str, float]
    labels: Mapping[int, int]
    predictions: Mapping[int, int]

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Keys of the Dice scores of a mask, in the order in which they are told."""
        return (*self.regions, "mean", "kidney_alone")


#: Of surface Dice: kidney and masses, masses, tumour. KiTS21 measured them as the
#: distance between its annotators, KiTS23 kept them (`HEC_SD_TOLERANCES_MM` in
#: `kits21/configuration/labels.py` and `kits23/configuration/labels.py`).
KIDNEY_MM = 1.0330772532390826
MASSES_MM = 1.1328796488598762
TUMOUR_MM = 1.1498198361434828

_IDENTITY = {0: 0, KIDNEY: 1, TUMOUR: 2, CYST: 3}
_HIERARCHY = {
    "kidney_and_masses": (KIDNEY, TUMOUR, CYST),
    "masses": (TUMOUR, CYST),
    "tumour": (TUMOUR,),
}
_TOLERANCES = {
    "kidney_and_masses": KIDNEY_MM,
    "masses": MASSES_MM,
    "tumour": TUMOUR_MM,
}

CHALLENGES = {
    # KiTS19 has no surface Dice; its two regions are KiTS23's first and last, and so
    # are their tolerances here. A cyst is kidney to it, so a predicted one is, too.
    "kits19": Challenge(
        "kits19",
        {"kidney": (KIDNEY, TUMOUR, CYST), "tumour": (TUMOUR,)},
        {"kidney": KIDNEY_MM, "tumour": TUMOUR_MM},
        labels={0: 0, KIDNEY: 1, TUMOUR: 2},
        predictions={0: 0, KIDNEY: 1, TUMOUR: 2, CYST: 1},
    ),
    "kits21": Challenge("kits21", _HIERARCHY, _TOLERANCES, _IDENTITY, _IDENTITY),
    "kits23": Challenge("kits23", _HIERARCHY, _TOLERANCES, _IDENTITY, _IDENTITY),
}


def classed(array: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    """Values of a file as classes.

    Args:
        array: integers, none of which is missing in `classes`.
        classes: value -> class.

    Returns:
        The array itself where each value is its class, else uint8 of its shape.
    """
    if all(value == kind for value, kind in classes.items()):
        return array
    table = np.zeros(max(classes) + 1, np.uint8)
    table[list(classes)] = list(classes.values())
    return table[array]


def region(classes: np.ndarray, joined: tuple[int, ...]) -> np.ndarray:
    """Mask of the voxels of one of some classes.

    Args:
        classes: integers of any shape.
        joined: the classes of the region.

    Returns:
        bool of the same shape.
    """
    mask = classes == joined[0]
    for other in joined[1:]:
        mask |= classes == other
    return mask
