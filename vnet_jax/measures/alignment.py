"""One kidney of two dates laid on itself: a rigid motion of its surface.

Between two scans a kidney moves with the breath and lies a little differently. Each
kidney is moved by itself: first so that the centres of its parenchyma meet, then by
trimmed iterative closest points (Chetverikov et al., 2002) to the other surface's
tangent planes: the 80 % of the surface that fit best count, so that a tumour which has
grown does not drag the kidney along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

#: Share of the surface that counts; the rest may have grown.
TRIM = 0.8
#: Points of each surface; a kidney of 3 x 0.78 x 0.78 mm voxels has 20,000.
POINTS = 4000
#: Elements that a point is the mean of.
NEIGHBOURS = 16
#: Steps at the most, and the motion of a step below which it is done.
STEPS, STILL_MM = 60, 0.01
#: A kidney that seems to have turned further than this was laid on itself wrongly.
MOST_DEGREES = 30.0


@dataclass(frozen=True, eq=False)
class Motion:
    """Where a kidney's points of the first date lie on the second.

    Attributes:
        turn: (3, 3) rotation.
        shift: (3,) mm: a point p goes to turn @ p + shift.
        method: "rigid", or "centres" where that alone was known or trusted.
        residual_mm: root mean square distance of the surfaces, of the part that counts;
            None where no surfaces were compared.
    """

    turn: np.ndarray
    shift: np.ndarray
    method: str
    residual_mm: float | None = None

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) mm of the first date, on the second."""
        return np.asarray(points_mm) @ self.turn.T + self.shift

    def back(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) mm of the second date, on the first."""
        return (np.asarray(points_mm) - self.shift) @ self.turn

    @property
    def degrees(self) -> float:
        """The angle of the rotation."""
        cosine = (np.trace(self.turn) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def centred(before_mm, after_mm) -> Motion:
    """The shift that brings one centre to another.

    Args:
        before_mm: (3,) centre on the first date.
        after_mm: (3,) on the second.
    """
    return Motion(np.eye(3), np.subtract(after_mm, before_mm), "centres")


def rigid(before: np.ndarray, after: np.ndarray, start: Motion) -> Motion:
    """Lays one surface on another.

    Args:
        before: (n, 3) points of the surface on the first date, mm.
        after: (m, 3) on the second.
        start: where to begin.

    Returns:
        The motion; `start` where fewer than 16 points are there, where the kidney would
        turn by more than 30 degrees, or where the surfaces fit no better.
    """
    if min(len(before), len(after)) < NEIGHBOURS:
        return start
    before, _ = _smoothed(before)
    after, normals = _smoothed(after)
    tree = cKDTree(after)
    motion, first = start, None
    for _ in range(STEPS):
        moved = motion(before)
        distance, nearest = tree.query(moved)
        kept = np.argsort(distance, kind="stable")[: int(TRIM * len(before))]
        fit = float(np.sqrt(np.mean(distance[kept] ** 2)))
        first = fit if first is None else first
        pairs = moved[kept], after[nearest[kept]], normals[nearest[kept]]
        step = _towards_planes(*pairs)
        motion = Motion(step.turn @ motion.turn, step(motion.shift), "rigid")
        if np.abs(motion(before) - moved).max() < STILL_MM:
            break
    if motion.degrees > MOST_DEGREES or fit > first:
        return Motion(start.turn, start.shift, start.method, first)
    return Motion(motion.turn, motion.shift, "rigid", fit)


def _smoothed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every so many points at the mean of their neighbours, and (n, 3) unit normals.

    Surface elements lie on a lattice, and two lattices lock into each other.
    """
    some = points[:: max(1, len(points) // POINTS)]
    _, nearest = cKDTree(points).query(some, k=NEIGHBOURS)
    around = points[nearest]
    middle = around.mean(axis=1)
    around = around - middle[:, None]
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    return middle, axes[:, :, 0]


def _towards_planes(source: np.ndarray, target: np.ndarray, normals) -> Motion:
    """The small motion that brings points nearest to planes (Chen and Medioni, 1992).

    Along the surface nothing holds a point back, so that a turn is not mistaken for a
    slide; of what the surface does not tell, such as a ball's turn, there is none.

    Args:
        source: (n, 3) mm.
        target: (n, 3) a point of each plane.
        normals: (n, 3) unit.
    """
    middle = source.mean(axis=0)
    away = np.einsum("ni,ni->n", source - target, normals)
    lever = np.cross(source - middle, normals)
    system = np.concatenate([lever, normals], axis=1)  # (n, 6)
    normal = system.T @ system
    damping = 1e-4 * np.diag(np.diag(normal).mean() * np.ones(6))
    small = np.linalg.solve(normal + damping, -system.T @ away)
    turn = Rotation.from_rotvec(small[:3]).as_matrix()
    return Motion(turn, middle - turn @ middle + small[3:], "rigid")
