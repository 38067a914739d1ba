"""HU of the phantom's tissues in three phases of contrast, drawn for each patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Share of the patients scanned in each phase; KiTS asks for late arterial scans.
PHASES = {"arterial": 0.45, "nephrographic": 0.42, "excretory": 0.13}

#: Mean HU of each tissue, (low, high), in the order of PHASES.
RANGES = {
    "cortex": ((155, 225), (150, 200), (118, 155)),
    "medulla": ((75, 120), (142, 190), (120, 160)),
    "pelvis": ((4, 16), (4, 16), (260, 900)),
    "aorta": ((220, 350), (130, 165), (100, 125)),
    "vein": ((65, 115), (125, 155), (98, 122)),
    "portal": ((90, 150), (135, 165), (100, 122)),
    "liver": ((62, 85), (92, 120), (84, 105)),
    "spleen": ((105, 145), (108, 130), (90, 110)),
    "pancreas": ((80, 115), (75, 100), (65, 85)),
    "bowel": ((70, 105), (75, 105), (65, 90)),
}

#: Kind of tumour: share, mean HU in the phases, texture's standard deviation in HU.
TUMOURS = {
    "clear cell": (0.62, ((72, 125), (68, 112), (60, 92)), 17.0),
    "papillary": (0.20, ((32, 58), (42, 68), (40, 62)), 6.0),
    "chromophobe": (0.18, ((55, 95), (60, 95), (52, 80)), 8.0),
}


@dataclass(frozen=True)
class Contrast:
    """A phase and the mean HU of each tissue in it."""

    phase: str
    hu: dict[str, float]

    def tumour(self, rng: np.random.Generator, at: float) -> tuple[str, float, float]:
        """Draws (kind, mean HU, texture HU) of a tumour, darker than the cortex.

        Args:
            rng: draws the HU.
            at: 0 to 1, decides the kind.
        """
        kind = pick({kind: share for kind, (share, _, _) in TUMOURS.items()}, at)
        _, ranges, texture = TUMOURS[kind]
        low, high = ranges[list(PHASES).index(self.phase)]
        return kind, float(min(rng.uniform(low, high), self.hu["cortex"] - 25)), texture


def pick(shares: dict[str, float], at: float) -> str:
    """The name at a place from 0 to 1, where each takes up its share."""
    ends = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(ends[:-1], at, side="right"))]


def draw_contrast(rng: np.random.Generator, at: float) -> Contrast:
    """Draws every tissue's mean HU in the phase at `at`, 0 to 1."""
    phase = pick(PHASES, at)
    column = list(PHASES).index(phase)
    hu = {name: float(rng.uniform(*rows[column])) for name, rows in RANGES.items()}
    if phase != "arterial":  # cortex and medulla have evened out
        hu["medulla"] = hu["cortex"] + float(rng.uniform(-14, 6))
    return Contrast(phase, hu)
