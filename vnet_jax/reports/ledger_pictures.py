"""A small picture of each component that the post-processing changed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vnet_jax.ct.geometry import Grid, Volume, crop_padded, to_canonical
from vnet_jax.reports import canvas
from vnet_jax.reports.pictures import AMBER, CLASSES, LEVEL_HU, WIDTH_HU

#: Shown at least, mm: a small change keeps its surroundings.
LEAST_MM = 80.0
SIDE_PX, DPI = 260, 100
AIR_HU = -1024


def ledger_pictures(
    ct: Volume, mask: np.ndarray, raw: np.ndarray, entries: Sequence[Mapping]
) -> list[bytes | None]:
    """Draws each entry in the axial plane that has most of its change.

    Args:
        ct: (D, H, W) HU, any axis order.
        mask: (D, H, W) classes on its grid, after the post-processing.
        raw: (D, H, W) the same before it.
        entries: of a summary's ledger.

    Returns:
        For each entry a PNG: the change in amber, the mask's contours in their colours;
        None for an entry without a place.

    Raises:
        ValueError: when a mask has not the CT's shape.
    """
    image = to_canonical(ct)
    after, before = (to_canonical(Volume(m, ct.grid)).array for m in (mask, raw))
    return [
        None
        if entry.get("centre_mm") is None
        else _draw(image.array, after, before, image.grid, entry)
        for entry in entries
    ]


def _draw(hu, after, before, grid: Grid, entry: Mapping) -> bytes:
    centre = np.rint(grid.to_index(entry["centre_mm"])).astype(int)
    # A ball of that volume, three times as wide, is what one wants to see.
    width_mm = max(LEAST_MM, 6 * (3000 * entry["ml"] / (4 * math.pi)) ** (1 / 3))
    shape = np.maximum(1, np.rint(width_mm / np.array(grid.spacing_mm))).astype(int)
    start = centre - shape // 2
    now, then = (crop_padded(m, start, shape, 0) for m in (after, before))
    changed = now != then
    z = int(np.argmax(changed.sum(axis=(1, 2))))
    plane = (slice(z, z + 1), slice(None), slice(None))
    corner = (start[0] + z, start[1], start[2])
    part = crop_padded(hu, corner, (1, *shape[1:]), AIR_HU)[0]
    return _plane(part, now[plane][0], changed[plane][0], width_mm)


def _plane(hu, mask, changed, width_mm: float) -> bytes:
    fig = Figure(figsize=(SIDE_PX / DPI, SIDE_PX / DPI), facecolor="black")
    canvas.FigureCanvasAgg(fig)
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    extent = (0, width_mm, width_mm, 0)
    low = LEVEL_HU - WIDTH_HU / 2
    grey = {"cmap": "gray", "vmin": low, "vmax": low + WIDTH_HU}
    axes.imshow(hu, extent=extent, interpolation="bilinear", aspect="auto", **grey)
    place = {"extent": extent, "origin": "upper"}
    for number, (_, colour, _) in CLASSES.items():
        if (mask == number).any():
            inside = np.asarray(mask > 0 if number == 1 else mask == number, float)
            axes.contour(inside, (0.5,), colors=[colour], linewidths=1.0, **place)
    if changed.any():
        field = changed.astype(float)
        axes.contourf(field, (0.5, 2), colors=[AMBER], alpha=0.3, **place)
        axes.contour(field, (0.5,), colors=[AMBER], linewidths=1.6, **place)
    axes.set(xlim=(0, width_mm), ylim=(width_mm, 0))
    file = io.BytesIO()
    canvas.save(fig, file, DPI)
    return file.getvalue()
