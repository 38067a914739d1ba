"""Which three planes of a case to look at, and how much of each.

All of it on canonical axes (I, P, L), which is already the radiologist's view: the
patient's head is up, the front is up in an axial plane, and the patient's right is on
the picture's left.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, bounding_box, to_canonical

MARGIN_MM = 30.0  # shown around the kidneys: enough to see the spine and the flank
LEAST_MM = 160.0  # never closer than this, so that a small finding keeps its context

Span = tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A case as the picture shows it.

    Attributes:
        ct: (D, H, W) HU, canonical axes.
        mask: (D, H, W) the predicted classes.
        label: (D, H, W) the true classes, or None.
        grid: the canonical grid of the three.
        cut: (z, y, x) index of the axial, coronal and sagittal plane.
        spans: for each axis (from, to), mm from the outer face of voxel 0; may reach
            beyond the volume. Those of z and y are equally long.
        predicted: highest class in the mask; 0 means that nothing was found.
        true: highest class in the label; 0 without one.
    """

    ct: np.ndarray
    mask: np.ndarray
    label: np.ndarray | None
    grid: Grid
    cut: tuple[int, int, int]
    spans: tuple[Span, Span, Span]
    predicted: int
    true: int


def scene(
    ct: Volume,
    mask: np.ndarray,
    label: np.ndarray | None = None,
    look_at: np.ndarray | None = None,
) -> Scene:
    """Chooses the planes: the largest sections of the tumour, else of the kidneys.

    Args:
        ct: HU, any axis order.
        mask: predicted classes 0, 1, 2 on the CT's grid.
        label: true classes on the CT's grid; what either of the two shows counts.
        look_at: non-zero inside a part of mask or label; the planes are the largest
            sections of that part instead.

    Raises:
        ValueError: when a mask has not the CT's shape.
    """
    image = to_canonical(ct)
    both = [mask] if label is None else [mask, label]
    views = [to_canonical(Volume(array, ct.grid)).array for array in both]
    found = [box for box in map(bounding_box, views) if box is not None]
    start, stop = _around(found) if found else ((0, 0, 0), image.grid.shape)
    parts = [_part(view, start, stop) if found else view[:0] for view in views]
    shown = parts
    if look_at is not None:
        part = to_canonical(Volume(look_at, ct.grid)).array
        shown = [_part(part, start, stop)]
    sections = _largest_sections(shown) if found else [n // 2 for n in stop]
    highest = [int(part.max(initial=0)) for part in parts]
    return Scene(
        ct=image.array,
        mask=views[0],
        label=None if label is None else views[1],
        grid=image.grid,
        cut=tuple(int(s + i) for s, i in zip(start, sections, strict=True)),
        spans=_spans(start, stop, image.grid, MARGIN_MM if found else 0.0),
        predicted=highest[0],
        true=0 if label is None else highest[1],
    )


def _around(boxes) -> tuple[np.ndarray, np.ndarray]:
    """(start, stop) of the box around boxes of (start, shape)."""
    starts, shapes = (np.array(sides) for sides in zip(*boxes, strict=True))
    return starts.min(axis=0), (starts + shapes).max(axis=0)


def _part(array: np.ndarray, start, stop) -> np.ndarray:
    return array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]


def _largest_sections(parts: list[np.ndarray]) -> list[int]:
    """Index along each axis where the tumour, else the kidney, has most voxels."""
    classes = np.maximum.reduce(parts)
    target = classes > 1 if classes.max() > 1 else classes > 0
    areas = (target.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    return [int(np.argmax(area)) for area in areas]


def _spans(start, stop, grid: Grid, margin_mm: float) -> tuple[Span, Span, Span]:
    """How much of each axis is shown, mm.

    z and y get one length, so that the three panels are equally high.
    """
    start, stop = np.asarray(start), np.asarray(stop)
    middle = (start + stop) / 2 * grid.spacing_mm
    length = (stop - start) * grid.spacing_mm + 2 * margin_mm
    length[2] = max(length[2], LEAST_MM)
    length[:2] = max(length[0], length[1], LEAST_MM)
    extent = np.array(grid.extent_mm)
    # Shift what fits into the volume; centre what is longer than the volume.
    inside = np.clip(middle, length / 2, np.maximum(extent - length / 2, length / 2))
    middle = np.where(length <= extent, inside, extent / 2)
    low, high = middle - length / 2, middle + length / 2
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
