"""From slices to a grid: sorted by position along their normal, without a gap.

Neither SliceThickness nor InstanceNumber has a say: the first release of KiTS19 had
wrong spacings from the one, and exports renumber the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vnet_jax.ct.dicom_slices import Slice
from vnet_jax.ct.geometry import Grid, is_sheared
from vnet_jax.errors import InputError

SAME_COSINE = 1e-3  # of directions; moves the end of 500 mm by 0.5 mm
SAME_SPACING = 1e-3  # relative
GAP = 1.5  # steps; a missing slice makes 2
DOUBLED = 0.1  # of a step
UNEVEN = 0.1  # of a step, and
UNEVEN_MM = 0.1  # at least this far from its place
MOST_TILT = 45.0  # degrees; a gantry tilts by 30
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
ONE_SERIES = "give one complete series"


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order, and their place.

    Attributes:
        slices: along their normal.
        grid: (columns, rows, slices), RAS+; sheared where the gantry was tilted.
        tilt_deg: between the direction of stacking and the slices' normal.
    """

    slices: tuple[Slice, ...]
    grid: Grid
    tilt_deg: float

    @property
    def tilted(self) -> bool:
        """Whether the slices are stacked askew."""
        return is_sheared(self.grid)

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring slices along their normal."""
        return self.grid.spacing_mm[2] * math.cos(math.radians(self.tilt_deg))


def stack(slices: Sequence[Slice], path=None) -> Stack:
    """Sorts the slices of a series and finds their place.

    Args:
        slices: of one series, without localizers.
        path: for the messages.

    Raises:
        InputError: fewer than two; one without a place; sizes, spacings, orientations
            or frames of reference that differ; a missing slice, two at one position, an
            uneven or bent stack. The slice or the gap is named.
    """
    if faulty := next((s for s in slices if s.fault), None):
        raise InputError(path, f"{faulty.called}: {faulty.fault}", "export it again")
    if len(slices) < 2:
        raise InputError(path, f"{len(slices)} slice, no volume", ONE_SERIES)
    _check_alike(slices, path)
    normal = np.cross(slices[0].row, slices[0].column)
    ordered = sorted(slices, key=lambda s: (float(normal @ s.position), s.called))
    depth = np.array([float(normal @ s.position) for s in ordered])
    _check_gaps(ordered, depth, path)
    step = _check_line(ordered, depth, path)
    along = float(normal @ step)
    tilt = math.degrees(math.acos(min(1.0, along / float(np.linalg.norm(step)))))
    if tilt > MOST_TILT:
        wrong = f"stacked {tilt:.0f} degrees askew"
        raise InputError(path, wrong, "export the series again")
    return Stack(tuple(ordered), _grid(ordered, step), tilt)


def normal_range(slices: Sequence[Slice]) -> tuple[float, float]:
    """Lowest and highest position along the first slice's normal, mm."""
    placed = [s for s in slices if not s.fault and s.position]
    if not placed:
        return 0.0, 0.0
    normal = np.cross(placed[0].row, placed[0].column)
    depth = [float(normal @ s.position) for s in placed]
    return min(depth), max(depth)


def _check_alike(slices: Sequence[Slice], path) -> None:
    first = slices[0]
    for other in slices[1:]:
        turned = np.abs(np.subtract(first.row + first.column, other.row + other.column))
        spaced = np.abs(np.subtract(first.spacing, other.spacing))
        if other.size != first.size:
            differ = f"{_size(first)} and {_size(other)} voxels"
        elif turned.max() > SAME_COSINE:
            differ = "different orientations"
        elif spaced.max() > SAME_SPACING * max(first.spacing):
            differ = f"spacings of {first.spacing[0]:g} and {other.spacing[0]:g} mm"
        elif other.reference != first.reference:
            differ = "different frames of reference"
        else:
            continue
        wrong = f"two stacks in one series: {first.called} and {other.called} have"
        raise InputError(path, f"{wrong} {differ}", ONE_SERIES)


def _size(one: Slice) -> str:
    return f"{one.size[1]} x {one.size[0]}"


def _check_gaps(ordered: Sequence[Slice], depth: np.ndarray, path) -> None:
    steps = np.diff(depth)
    usual = float(np.median(steps))
    # Where all positions come twice the median itself is 0.
    usual = usual if usual > 0.01 else float(steps.max(initial=0.0))
    doubled = np.flatnonzero(steps < max(DOUBLED * usual, 0.01))
    if doubled.size:
        at = int(doubled[0])
        pair = f"{ordered[at].called} and {ordered[at + 1].called}"
        more = f", and {doubled.size - 1} more pairs" if doubled.size > 1 else ""
        wrong = f"doubled positions: {pair} lie at one place{more}"
        raise InputError(path, wrong, "give one phase or copy of the series")
    gaps = np.flatnonzero(steps > GAP * usual)
    if gaps.size:
        at = int(gaps[0])
        missing = round(float(steps[at]) / usual) - 1
        wrong = (
            f"a gap of {steps[at]:.4g} mm between {ordered[at].called} and "
            f"{ordered[at + 1].called}, where slices are {usual:.4g} mm apart: about "
            f"{missing} missing there"
        )
        more = f" ({gaps.size} gaps in all)" if gaps.size > 1 else ""
        raise InputError(path, wrong + more, ONE_SERIES)


def _check_line(ordered: Sequence[Slice], depth: np.ndarray, path) -> np.ndarray:
    """From one slice to the next, (3,) mm LPS; each must be where that leads."""
    place = np.array([s.position for s in ordered])
    step = (place[-1] - place[0]) / (len(ordered) - 1)
    off = place - (place[0] + np.arange(len(ordered))[:, None] * step)
    far = np.linalg.norm(off, axis=1)
    limit = max(UNEVEN_MM, UNEVEN * float(np.median(np.diff(depth))))
    if far.max() > limit:
        at = int(far.argmax())
        wrong = (
            f"{ordered[at].called} lies {far[at]:.3g} mm off an even, straight stack"
        )
        raise InputError(path, wrong, "resample the scan, or give another series")
    return step


def _grid(ordered: Sequence[Slice], step: np.ndarray) -> Grid:
    first = ordered[0]
    rows, columns = first.size
    affine = np.eye(4)
    affine[:3, 0] = LPS_TO_RAS @ np.multiply(first.row, first.spacing[1])
    affine[:3, 1] = LPS_TO_RAS @ np.multiply(first.column, first.spacing[0])
    affine[:3, 2] = LPS_TO_RAS @ step
    affine[:3, 3] = LPS_TO_RAS @ first.position
    return Grid((columns, rows, len(ordered)), affine)
