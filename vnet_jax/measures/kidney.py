"""One kidney, as its tumours are measured against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from vnet_jax.ct.geometry import Grid, bounding_box
from vnet_jax.measures.hull import Hull, hull_of
from vnet_jax.scores import elements

KIDNEY = 1
#: Smaller pieces of parenchyma than this share of the largest are specks of a mask, and
#: do not widen the kidney's outline.
LEAST_PIECE = 0.01
#: Fat, as CT shows it.
FAT_HU = (-150.0, -30.0)
#: Fat of the sinus lies deeper than this below the kidney's outline; what is shallower
#: may be fat around the kidney in a hollow of its surface.
DEPTH_MM = 5.0
#: Smaller pieces of fat are noise, or none of the sinus'.
LEAST_FAT_ML = 0.1
#: More voxels and surface elements than any kidney or tumour has: of a mask that has
#: them, such as an untrained network's, every so many are taken.
MOST_VOXELS, MOST_ELEMENTS = 4_000_000, 400_000
#: The kidney's long axis is that of its parenchyma where it is at least this upright;
#: of a remnant that lies flat, the body's own.
UPRIGHT = np.cos(np.radians(45))
#: A tumour nearer than this to the kidney's middle plane is neither before nor behind.
NEITHER_MM = 5.0


@dataclass(frozen=True, eq=False)
class Kidney:
    """The parenchyma of a kidney and what follows from it.

    Attributes:
        centre_mm: (3,) centre of mass.
        axis: (3,) unit vector along the kidney, upwards.
        ends_mm: where the parenchyma ends along the axis, from its centre.
        outline: the convex hull, or None where the parenchyma is flat.
        fat: the surface of the sinus' fat, mm, to ask for the nearest; None without.
    """

    centre_mm: np.ndarray
    axis: np.ndarray
    ends_mm: tuple[float, float]
    outline: Hull | None
    fat: cKDTree | None

    @property
    def length_mm(self) -> float:
        """Extent of the parenchyma along the axis, between voxel centres."""
        return self.ends_mm[1] - self.ends_mm[0]

    def as_dict(self) -> dict:
        """What the summary tells of it."""
        return {"centre_mm": self.centre_mm.tolist(), "length_mm": self.length_mm}


def look_at(
    labels: np.ndarray, hu: np.ndarray, start: Sequence[int], grid: Grid
) -> Kidney | None:
    """Finds the parts of one kidney.

    Args:
        labels: (d, h, w) uint8, 0 where it is not this kidney's; 1 is parenchyma.
        hu: (d, h, w) the unclipped CT.
        start: first index of the box in the volume.
        grid: the volume's.

    Returns:
        None where there is no parenchyma.
    """
    tissue = _pieces(labels == KIDNEY)
    box = bounding_box(tissue)
    if box is None:
        return None
    first = np.asarray(start) + box[0]
    part = tuple(slice(s, s + n) for s, n in zip(*box, strict=True))
    tissue = tissue[part]
    points = grid.to_mm(_some(tissue, MOST_VOXELS) + first)
    centre = points.mean(axis=0)
    axis = _long_axis(points - centre)
    along = (points - centre) @ axis
    outline = hull_of(tissue, first, grid)
    fat = None
    if outline is not None:
        mass = labels[part] > KIDNEY
        surface = _sinus_fat(outline, hu[part], mass, first, grid)
        fat = cKDTree(surface) if len(surface) else None
    ends = (float(along.min()), float(along.max()))
    return Kidney(centre, axis, ends, outline, fat)


def _pieces(tissue: np.ndarray) -> np.ndarray:
    """The parenchyma without specks."""
    index, count = ndimage.label(tissue, np.ones((3, 3, 3), bool))
    if count < 2:
        return tissue
    voxels = np.bincount(index.ravel())
    voxels[0] = 0
    return (voxels >= LEAST_PIECE * voxels.max())[index] & tissue


def _long_axis(points: np.ndarray) -> np.ndarray:
    """The first principal axis of (n, 3) centred points, or the body's."""
    _, axes = np.linalg.eigh(points.T @ points)
    axis = axes[:, -1] * (1 if axes[2, -1] >= 0 else -1)
    return axis if axis[2] >= UPRIGHT else np.array([0.0, 0.0, 1.0])


def _sinus_fat(outline: Hull, hu, mass, start, grid: Grid) -> np.ndarray:
    """(n, 3) mm, where the surface of the sinus' fat is.

    Fat in label 1 counts, as some masks fill the sinus; fat in a tumour does not.
    """
    fat = outline.inside(start, hu.shape, DEPTH_MM) & ~mass
    fat &= (hu >= FAT_HU[0]) & (hu <= FAT_HU[1])
    index, _ = ndimage.label(fat, np.ones((3, 3, 3), bool))
    voxels = np.bincount(index.ravel())
    voxels[0] = 0
    fat = (voxels * grid.voxel_ml >= LEAST_FAT_ML)[index]
    return surface_mm(fat, start, grid)


def surface_mm(mask: np.ndarray, start: Sequence[int], grid: Grid) -> np.ndarray:
    """(n, 3) mm, the centres of a mask's surface elements, half-way between voxels.

    Args:
        mask: (d, h, w) bool.
        start: its first index in the volume.
        grid: the volume's.
    """
    cells = _some(elements.crossed(mask), MOST_ELEMENTS)
    return grid.to_mm(cells - 0.5 + np.asarray(start))


def _some(mask: np.ndarray, most: int) -> np.ndarray:
    """(n, 3) indices of a mask's voxels, all of them or every so many."""
    inside = np.flatnonzero(mask)
    chosen = inside[:: -(-len(inside) // most) or 1]
    return np.stack(np.unravel_index(chosen, mask.shape), axis=1)


def sinus_fat_mm(kidney: Kidney, surface: np.ndarray) -> float | None:
    """Least distance of a tumour's surface to that of the sinus' fat.

    Args:
        kidney: the tumour's.
        surface: (n, 3) the tumour's, mm, from `surface_mm`.

    Returns:
        0 where they touch; None where no fat was found.
    """
    if kidney.fat is None:
        return None
    distances, _ = kidney.fat.query(surface)
    return float(distances.min())


def pole(kidney: Kidney, centre_mm: np.ndarray) -> str:
    """In which third of the kidney's length a tumour's centre lies."""
    low, high = kidney.ends_mm
    share = ((centre_mm - kidney.centre_mm) @ kidney.axis - low) / max(high - low, 1e-9)
    return "lower" if share < 1 / 3 else "middle" if share <= 2 / 3 else "upper"


def face(kidney: Kidney, centre_mm: np.ndarray) -> str:
    """Whether a tumour's centre lies before or behind the kidney's long axis.

    In an axial picture: at the height of the tumour, along y of the world.
    """
    rise = (centre_mm[2] - kidney.centre_mm[2]) / kidney.axis[2]
    before = centre_mm[1] - (kidney.centre_mm + rise * kidney.axis)[1]
    if abs(before) < NEITHER_MM:
        return "neither"
    return "anterior" if before > 0 else "posterior"
