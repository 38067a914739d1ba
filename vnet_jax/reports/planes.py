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
        found: whether the mask holds any foreground.
    """

    ct: np.ndarray
    mask: np.ndarray
    label: np.ndarray | None
    grid: Grid
    cut: tuple[int, int, int]
    spans: tuple[Span, Span, Span]
    found: bool


def scene(ct: Volume, mask: np.ndarray, label: np.ndarray | None = None) -> Scene:
    """Chooses the planes: the largest sections of the tumour, else of the kidneys.

    Args:
        ct: HU, any axis order.
        mask: predicted classes 0, 1, 2 on the CT's grid.
        label: true classes on the CT's grid; what either of the two shows counts.

    Raises:
        ValueError: when a mask has not the CT's shape.
    """
    image = to_canonical(ct)
    mask = to_canonical(Volume(mask, ct.grid)).array
    label = None if label is None else to_canonical(Volume(label, ct.grid)).array
    shown = mask if label is None else np.maximum(mask, label)
    box = bounding_box(shown > 0)
    found = box is not None and bool((_part(mask, *box) > 0).any())
    whole = ((0, 0, 0), image.grid.shape)
    start, shape = box or whole
    sections = _largest_sections(_part(shown, start, shape))
    return Scene(
        ct=image.array,
        mask=mask,
        label=label,
        grid=image.grid,
        cut=tuple(s + i for s, i in zip(start, sections, strict=True)),
        spans=_spans(start, shape, image.grid, MARGIN_MM if box else 0.0),
        found=found,
    )


def _part(array: np.ndarray, start, shape) -> np.ndarray:
    return array[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]


def _largest_sections(classes: np.ndarray) -> tuple[int, ...]:
    """Index along each axis where the tumour, else the kidney, has most voxels.

    Without any foreground the middle of each axis.
    """
    for target in (classes > 1, classes > 0):
        if target.any():
            areas = (target.sum(axis=o) for o in ((1, 2), (0, 2), (0, 1)))
            return tuple(int(np.argmax(area)) for area in areas)
    return tuple(n // 2 for n in classes.shape)


def _spans(start, shape, grid: Grid, margin_mm: float) -> tuple[Span, Span, Span]:
    """How much of each axis is shown, mm.

    z and y get one length, so that the three panels are equally high.
    """
    middle = (np.array(start) + np.array(shape) / 2) * grid.spacing_mm
    length = np.array(shape) * grid.spacing_mm + 2 * margin_mm
    length[2] = max(length[2], LEAST_MM)
    length[:2] = max(length[0], length[1], LEAST_MM)
    extent = np.array(grid.extent_mm)
    # Shift what fits into the volume; centre what is longer than the volume.
    inside = np.clip(middle, length / 2, np.maximum(extent - length / 2, length / 2))
    middle = np.where(length <= extent, inside, extent / 2)
    low, high = middle - length / 2, middle + length / 2
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
