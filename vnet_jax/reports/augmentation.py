"""What augmentation makes of a sample: a sheet of axial and coronal sections."""

from __future__ import annotations

import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from vnet_jax.data.augment_views import View
from vnet_jax.data.files import whole_file
from vnet_jax.reports import canvas
from vnet_jax.reports.pictures import AMBER, CLASSES, INK, MUTED, PAPER

COLUMNS, WIDTH_PX, DPI = 6, 1080, 100
GAP_PX, HEAD_PX = 8, 30
#: Few greys keep a noisy picture small; the eye does not see it.
GREYS = 20
SHADES = (1.0, 0.8, 0.6, 0.4)
#: Distance of the lines that move with the sample.
LINES_MM = 30.0


def sheet(
    path: str | PathLike, views: Sequence[View], spacing_mm: Sequence[float]
) -> None:
    """Draws the views as a PNG, six in a row, with the contours of their labels.

    All are cut where the first one has its largest sections of foreground: what moves,
    moves against the others. Lines of the sample's own places show how.

    Args:
        path: the PNG, written whole or not at all.
        views: of one sample; the first is the sample as it is.
        spacing_mm: (z, y, x).
    """
    shape = views[0].label.shape
    cuts = [int(views[0].label.any(axes).argmax()) for axes in ((1, 2), (0, 2))]
    if views[0].label.any():
        sums = [(views[0].label > 0).sum(axes) for axes in ((1, 2), (0, 2))]
        cuts = [int(total.argmax()) for total in sums]
    width_px = (WIDTH_PX - GAP_PX) / COLUMNS - GAP_PX
    depth, height, width = (n * s for n, s in zip(shape, spacing_mm, strict=True))
    tall = [width_px * part / width for part in (height, depth)]
    row_px = HEAD_PX + sum(tall) + 2 + GAP_PX
    rows = -(-len(views) // COLUMNS)
    height_px = rows * row_px + GAP_PX
    fig = canvas.figure(WIDTH_PX / DPI, height_px / DPI, PAPER)
    fig.set_layout_engine("none")
    for i, view in enumerate(views):
        left = GAP_PX + (i % COLUMNS) * (width_px + GAP_PX)
        top = (i // COLUMNS) * row_px
        middle = 1 - (top + HEAD_PX / 2 + 3) / height_px
        style = {"va": "center", "size": 9.5}
        fig.text(left / WIDTH_PX, middle, view.title, color=INK, weight="bold", **style)
        right = (left + width_px) / WIDTH_PX
        fig.text(
            right, middle, view.setting, color=MUTED, ha="right", **style | {"size": 8}
        )
        top += HEAD_PX
        for axis, tall_px in zip((0, 1), tall, strict=True):
            bottom = 1 - (top + tall_px) / height_px
            size = (width_px / WIDTH_PX, tall_px / height_px)
            axes = fig.add_axes((left / WIDTH_PX, bottom, *size))
            _section(axes, view, axis, cuts[axis])
            top += tall_px + 2
    _save(fig, path)


def _section(axes, view: View, axis: int, cut: int) -> None:
    """Rows downwards and columns to the right, as they lie in the canonical array."""
    axes.set_axis_off()
    image, label = view.image.take(cut, axis), view.label.take(cut, axis)
    edges = (0, image.shape[1], image.shape[0], 0)
    # The soft tissues, -150 to 240 HU at the paper's window.
    grey = {"cmap": "gray", "vmin": -0.6, "vmax": 0.96, "interpolation": "antialiased"}
    axes.imshow(image, extent=edges, aspect="auto", **grey)
    columns, lines = (np.arange(n) + 0.5 for n in label.shape[::-1])
    if view.places_mm is not None:
        for places in np.delete(view.places_mm, axis, 0):
            part = places.take(cut, axis)
            levels = np.arange(
                LINES_MM * np.ceil(part.min() / LINES_MM), part.max(), LINES_MM
            )
            style = {"colors": [AMBER], "linewidths": 0.7, "alpha": 0.7}
            axes.contour(columns, lines, part, levels, linestyles="solid", **style)
    for number, (_, colour, _) in CLASSES.items():
        inside = (label >= number).astype(np.float32)
        if inside.any():
            axes.contour(
                columns, lines, inside, (0.5,), colors=[colour], linewidths=1.3
            )


def _save(fig, path: str | PathLike) -> None:
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI, facecolor=fig.get_facecolor())
    drawn.seek(0)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(palette=_palette(), dither=0)
    with whole_file(Path(path)) as file:
        few.save(file, format="PNG", optimize=True)


def _palette() -> Image.Image:
    """Greys, and the lines' colours down to dark ones."""
    lines = [AMBER, *(colour for _, colour, _ in CLASSES.values())]
    colours = [np.array(to_rgb(line)) * shade for line in lines for shade in SHADES]
    colours += [np.full(3, level) for level in np.linspace(0, 1, GREYS)]
    colours += [np.array(to_rgb(colour)) for colour in (PAPER, INK, MUTED)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(255 * np.array(colours)).astype(np.uint8).tobytes())
    return palette
