"""A volume and its place in the world: voxel indices, mm, boxes, axis order.

Arrays are (z, y, x) = (D, H, W) once canonical: axis codes ('I', 'P', 'L'), which is
how KiTS stores its files: the index grows towards inferior, posterior and left. World
coordinates are mm, RAS+ (x to the right, y to anterior, z to superior), as in nibabel.
A voxel's index is the index of its centre; its cube reaches half a voxel around it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import nibabel as nib
import numpy as np

CANONICAL = ("I", "P", "L")
OBLIQUE_MM = 0.1  # a corner further from its place on straight axes: oblique
SHEAR_COSINE = 1e-3  # between two axes; 1e-3 moves the end of a 500 mm axis by 0.5 mm
RESAMPLE_TOLERANCE = 1e-4  # relative; 0.03 mm over the 300 mm of a usual scan

Triple = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume are.

    Attributes:
        shape: voxels along each array axis.
        affine: (4, 4) float64, voxel index -> mm, RAS+.
    """

    shape: Triple
    affine: np.ndarray

    def __post_init__(self):
        """Check, and keep a read-only copy of the affine."""
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"a grid has three dimensions of at least 1, not {shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"an affine is 4 x 4 and finite, not {affine.tolist()}")
        if not np.linalg.det(affine[:3, :3]):
            raise ValueError(f"the affine is singular: {affine.tolist()}")
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along each array axis, mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Length of the volume along each array axis, outer face to outer face, mm."""
        return tuple(n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))

    @property
    def axis_codes(self) -> tuple[str, str, str]:
        """Where each index grows to, the nearest of L/R, P/A, I/S."""
        return nib.aff2axcodes(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, ml (1000 mm^3)."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_mm(self, index) -> np.ndarray:
        """World coordinates, (..., 3) float64 mm, of voxel indices (..., 3)."""
        return (
            np.asarray(index, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        )

    def to_index(self, mm) -> np.ndarray:
        """Voxel indices, (..., 3) float64, of world coordinates (..., 3) in mm."""
        offset = np.asarray(mm, np.float64) - self.affine[:3, 3]
        return offset @ np.linalg.inv(self.affine[:3, :3]).T

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The grid of a box that begins at index `start`; it may reach beyond."""
        return Grid(tuple(shape), _moved(self.affine, start))

    def downsample(self, factor: Sequence[int]) -> Grid:
        """The grid of blocks of `factor` voxels, a block's centre in its middle.

        10 voxels by 4 are 3 blocks with centres at the indices 1.5, 5.5 and 9.5.
        """
        shape = tuple(math.ceil(n / f) for n, f in zip(self.shape, factor, strict=True))
        first = [(f - 1) / 2 for f in factor]
        return Grid(shape, _moved(self.affine, first, factor))

    def resampled(self, spacing_mm: Sequence[float]) -> Grid:
        """The same extent at exactly `spacing_mm`, about the same centre.

        29 slices of 5 mm are 145 mm: at 3 mm 48 slices, 144 mm, half a mm less at each
        end. Every new centre lies inside the old extent.

        Returns:
            The grid itself where its spacing is already that to 1e-4.
        """
        zoom = np.asarray(spacing_mm, np.float64) / self.spacing_mm
        if zoom.shape != (3,) or not (zoom > 0).all():
            raise ValueError(f"a spacing is three positive mm, not {spacing_mm}")
        if np.abs(zoom - 1).max() <= RESAMPLE_TOLERANCE:
            return self
        shape = np.maximum(1, np.floor(self.shape / zoom + 0.5)).astype(int)
        # The middle of n voxels has the index (n - 1) / 2, before and after.
        start = (np.array(self.shape) - 1) / 2 - zoom * (shape - 1) / 2
        return Grid(tuple(shape), _moved(self.affine, start, zoom))

    def corners_mm(self) -> np.ndarray:
        """The 8 outermost voxel centres, (8, 3) float64 mm."""
        return self.to_mm(list(itertools.product(*((0, n - 1) for n in self.shape))))

    def same_place(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether each voxel of both lies at one place, to `tolerance` mm."""
        if self.shape != other.shape:
            return False
        moved = np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1)
        return bool(moved.max() <= tolerance)


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """An array and where it is.

    Attributes:
        array: (D, H, W), any dtype.
        grid: its place.
    """

    array: np.ndarray
    grid: Grid

    def __post_init__(self):
        """Check that the array fits the grid."""
        if self.array.shape != self.grid.shape:
            raise ValueError(f"array {self.array.shape}, grid {self.grid.shape}")


def _moved(affine, start, zoom=(1, 1, 1)) -> np.ndarray:
    """The affine of a grid whose index i is the old index `start + zoom * i`."""
    step = np.diag([*zoom, 1.0]).astype(np.float64)
    step[:3, 3] = start
    return affine @ step


def _straight(grid: Grid) -> Grid:
    """The nearest grid along the world's axes: same spacing, same centre."""
    directions = np.zeros((3, 3))
    for axis, (row, sign) in enumerate(nib.io_orientation(grid.affine)):
        directions[int(row), axis] = sign * grid.spacing_mm[axis]
    middle = (np.array(grid.shape) - 1) / 2
    return Grid(
        grid.shape, _affine(directions, grid.to_mm(middle) - directions @ middle)
    )


def _affine(directions, origin) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, origin
    return affine


def is_oblique(grid: Grid) -> bool:
    """Whether the axes are off the world's: a corner moves > 0.1 mm if straightened.

    0.1 mm is an eighth of KiTS's in-plane voxel; half of a 500 mm diagonal moves that
    far at 0.02 degrees.
    """
    return not grid.same_place(_straight(grid), OBLIQUE_MM)


def is_sheared(grid: Grid) -> bool:
    """Whether two axes are not at right angles, their cosine above 1e-3."""
    unit = grid.affine[:3, :3] / grid.spacing_mm
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_COSINE)


def around(grid: Grid, spacing_mm: Sequence[float]) -> Grid:
    """A canonical grid along the world's axes that covers `grid`, oblique or not.

    Args:
        grid: any grid.
        spacing_mm: of the new grid's axes (z, y, x).
    """
    outer = [(-0.5, n - 0.5) for n in grid.shape]
    corners = grid.to_mm(list(itertools.product(*outer)))
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.asarray(spacing_mm, np.float64)
    # I, P, L: the index runs against z, y and x of the world.
    shape = np.maximum(1, np.ceil((high - low)[::-1] / size - 1e-6)).astype(int)
    directions = -np.diag(size)[::-1]
    first = (low + high) / 2 - directions @ ((shape - 1) / 2)
    return Grid(tuple(shape), _affine(directions, first))


def _to_canonical_axes(grid: Grid) -> tuple[np.ndarray, tuple[int, ...], tuple]:
    """Orientation transform, transpose order and flips from the grid to I, P, L."""
    target = nib.orientations.axcodes2ornt(CANONICAL)
    transform = nib.orientations.ornt_transform(nib.io_orientation(grid.affine), target)
    order = tuple(int(axis) for axis in np.argsort(transform[:, 0]))
    flips = tuple(slice(None, None, int(transform[axis, 1])) for axis in order)
    return transform, order, flips


def to_canonical(volume: Volume) -> Volume:
    """The volume with axes I, P, L: a view, by transposes and flips alone."""
    transform, order, flips = _to_canonical_axes(volume.grid)
    array = volume.array.transpose(order)[flips]
    back = nib.orientations.inv_ornt_aff(transform, volume.grid.shape)
    return Volume(array, Grid(array.shape, volume.grid.affine @ back))


def from_canonical(array: np.ndarray, source_grid: Grid) -> np.ndarray:
    """An array on the canonical axes, back on the axes of `source_grid`: a view.

    Args:
        array: (D, H, W), as `to_canonical` would give it for a volume on `source_grid`.
        source_grid: the grid to return to.

    Raises:
        ValueError: when the array has not the canonical shape of `source_grid`.
    """
    _, order, flips = _to_canonical_axes(source_grid)
    back = array[flips].transpose(np.argsort(order))
    if back.shape != source_grid.shape:
        raise ValueError(f"{array.shape} is not {source_grid.shape} with axes I, P, L")
    return back


def crop_padded(
    array: np.ndarray, start: Sequence[int], shape: Sequence[int], pad_value: float
) -> np.ndarray:
    """A copy of the box at index `start`; where it reaches beyond, `pad_value`.

    Args:
        array: (D, H, W, ...); axes after the third are kept whole.
        start: first index of the box, may be negative.
        shape: of the box.
        pad_value: for the voxels that the array has not.
    """
    out = np.full((*shape, *array.shape[3:]), pad_value, array.dtype)
    spans = list(zip(start, shape, array.shape, strict=False))
    source = tuple(slice(max(s, 0), max(0, min(s + n, m))) for s, n, m in spans)
    low = [max(-s, 0) for s, _, _ in spans]
    if all(part.stop > part.start for part in source):
        target = tuple(
            slice(a, a + part.stop - part.start)
            for a, part in zip(low, source, strict=True)
        )
        out[target] = array[source]
    return out


def paste(
    array: np.ndarray, start: Sequence[int], shape: Sequence[int], fill: float = 0
) -> np.ndarray:
    """A new array of `shape` full of `fill`, with `array` at index `start`, clipped."""
    return crop_padded(array, [-int(s) for s in start], shape, fill)


def bounding_box(mask: np.ndarray) -> tuple[Triple, Triple] | None:
    """First index and shape of the smallest box around the true voxels, or None."""
    start, shape = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not hit.size:
            return None
        start.append(int(hit[0]))
        shape.append(int(hit[-1] - hit[0] + 1))
    return tuple(start), tuple(shape)
