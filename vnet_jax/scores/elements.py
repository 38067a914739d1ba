"""The surface of a mask, cut into elements: where each lies and how large it is.

Eight voxel centres are the corners of a cell; where some are inside and some are not, a
piece of the surface passes through, as marching cubes draws it (Lorensen and Cline,
1987). Nikolov et al. (2018) take one such piece as the element that surface Dice and
its kin count, so that no surface counts twice and a slanted one has its true area.

Marching cubes leaves two things open. Here, as in their published program, whose areas
these are to rounding:

- Where the corners of a face are inside, outside, inside, outside, the rarer of the
  two kinds is cut off corner by corner.
- A piece of five or six corners is bent, and its area depends on how it is cut into
  triangles: the cut with the largest area in cubic cells is taken.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]
Triangle = tuple[Point, Point, Point]

#: (z, y, x) of a cell's corners; corner i has bit i of the cell's code.
CORNERS = tuple(itertools.product((0, 1), repeat=3))
FULL = 255  # the code of a cell that lies inside


@dataclass(frozen=True, eq=False)
class Elements:
    """Surface elements of a mask.

    Attributes:
        places: (n, 3) int64, the element's cell: cell (0, 0, 0) lies before voxel
            (0, 0, 0), half a voxel outside along each axis.
        areas_mm2: (n,) float64, > 0.
    """

    places: np.ndarray
    areas_mm2: np.ndarray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.places)


def find(mask: np.ndarray, spacing_mm: Sequence[float]) -> Elements:
    """The surface elements of a mask; what reaches the volume's face is closed there.

    Args:
        mask: (D, H, W) bool.
        spacing_mm: (z, y, x).
    """
    codes = _codes(mask)
    places = np.argwhere((codes != 0) & (codes != FULL))
    areas = areas_mm2(tuple(float(s) for s in spacing_mm))
    return Elements(places, areas[codes[tuple(places.T)]])


def crossed(mask: np.ndarray) -> np.ndarray:
    """(D + 1, H + 1, W + 1) bool, the cells that hold an element of the surface.

    Args:
        mask: (D, H, W) bool.
    """
    codes = _codes(mask)
    return (codes != 0) & (codes != FULL)


def _codes(mask: np.ndarray) -> np.ndarray:
    """(D + 1, H + 1, W + 1) uint8, the code of each cell."""
    padded = np.pad(mask.astype(np.uint8), 1)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))
        codes |= padded[part] << np.uint8(bit)
    return codes


@functools.lru_cache(maxsize=512)
def areas_mm2(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """(256,) float64: the area of a cell's piece of surface, by the cell's code."""
    areas = [_area(triangles, spacing_mm) for triangles in _pieces()]
    return np.array(areas)


def _area(triangles: Sequence[Triangle], spacing_mm) -> float:
    if not triangles:
        return 0.0
    a, b, c = np.moveaxis(np.array(triangles) * np.asarray(spacing_mm), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@functools.cache
def _pieces() -> tuple[tuple[Triangle, ...], ...]:
    """The triangles of each of the 256 codes, in a cell of edge 1."""
    return tuple(
        tuple(t for loop in _loops(_rarer(code)) for t in _largest_cut(loop))
        for code in range(FULL + 1)
    )


def _rarer(code: int) -> int:
    """The code whose corners are cut off: itself, or where most are inside the rest."""
    return code if code.bit_count() <= 4 else FULL - code


def _loops(code: int) -> list[list[Point]]:
    """The closed lines along which the surface cuts the faces of a cell."""
    joined: dict[Point, list[Point]] = {}
    for a, b in itertools.chain.from_iterable(_cuts(code, face) for face in _faces()):
        joined.setdefault(a, []).append(b)
        joined.setdefault(b, []).append(a)
    loops = []
    while joined:
        loop, at = [], next(iter(joined))
        while at is not None:
            loop.append(at)
            at = next((p for p in joined.pop(at) if p in joined), None)
        loops.append(loop)
    return loops


def _faces() -> list[list[tuple[int, ...]]]:
    """The six faces of a cell, the four corners of each in their order around it."""
    around = ((0, 0), (0, 1), (1, 1), (1, 0))
    return [
        [(*corner[:axis], side, *corner[axis:]) for corner in around]
        for axis in range(3)
        for side in (0, 1)
    ]


def _cuts(code: int, face: list) -> list[tuple[Point, Point]]:
    """The lines, from edge's middle to edge's middle, that cut a face's inside off."""
    inside = [bool(code >> CORNERS.index(corner) & 1) for corner in face]
    middles = [_middle(face[i], face[(i + 1) % 4]) for i in range(4)]
    crossed = [i for i in range(4) if inside[i] != inside[(i + 1) % 4]]
    if len(crossed) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if inside[i]]
    return [(middles[crossed[0]], middles[crossed[1]])] if crossed else []


def _middle(a: Sequence[int], b: Sequence[int]) -> Point:
    return tuple((p + q) / 2 for p, q in zip(a, b, strict=True))


def _largest_cut(loop: list[Point]) -> list[Triangle]:
    """The triangulation of a loop with the largest area in cubic cells."""
    return max(_triangulations(loop), key=lambda cut: round(_area(cut, (1, 1, 1)), 9))


def _triangulations(loop: list[Point]) -> list[list[Triangle]]:
    """All ways to cut a polygon into triangles along its diagonals."""
    if len(loop) < 3:
        return [[]]
    return [
        [*left, (loop[0], loop[k], loop[-1]), *right]
        for k in range(1, len(loop) - 1)
        for left in _triangulations(loop[: k + 1])
        for right in _triangulations(loop[k:])
    ]
