"""A case at a glance: the CT in three planes with the contours of the masks."""

from __future__ import annotations

from os import PathLike

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from vnet_jax.ct.geometry import Volume
from vnet_jax.reports import canvas
from vnet_jax.reports.planes import Scene, scene

LEVEL_HU, WIDTH_HU = 40.0, 400.0  # the soft-tissue window: -160 to 240 HU

PAPER, INK, MUTED, AMBER = "#0d1117", "#f0f3f6", "#8b949e", "#f2b84b"
#: class -> (its name, its contour, the truth's contour).
CLASSES = {
    1: ("kidney", "#2fd6a3", "#d6fff2"),
    2: ("tumour", "#ff5d73", "#ffe1e4"),
    3: ("cyst", "#5aa9ff", "#dcebff"),
}

WIDTH_PX, DPI = 1500, 100
HEAD_PX, FOOT_PX, GAP_PX = 66, 58, 14

#: axis cut -> (name, world axis, axis shown downwards, axis shown rightwards, letters
#: at the left, right, upper and lower edge).
PLANES = {
    0: ("Axial", 2, 1, 2, "RLAP"),
    1: ("Coronal", 1, 0, 2, "RLSI"),
    2: ("Sagittal", 0, 0, 1, "APSI"),
}


def case_picture(
    path: str | PathLike,
    ct: Volume,
    mask: np.ndarray,
    label: np.ndarray | None = None,
    title: str = "",
    *,
    subtitle: str = "",
    notice: str = "",
    look_at: np.ndarray | None = None,
) -> None:
    """Draws a case as a PNG: axial, coronal and sagittal, all at one scale.

    The planes go through the tumour's largest sections, or the kidneys' where there is
    no tumour, or through the middle of the volume where nothing was found. Shown as
    radiologists do: the patient's right on the left, front and head up.

    Args:
        path: the PNG.
        ct: (D, H, W) HU, any axis order and spacing.
        mask: (D, H, W) the prediction on the CT's grid, classes 0 to 3; contours in
            solid colours. Where it is empty the picture says "no kidney found".
        label: (D, H, W) the truth on the same grid, or None; dashed contours.
        title: the case's name.
        subtitle: stands after it, in grey.
        notice: what must be said with every picture, in amber.
        look_at: (D, H, W) non-zero inside the part of mask or label through which the
            planes go instead.

    Raises:
        ValueError: when a mask has not the CT's shape.
    """
    case = scene(ct, mask, label, look_at)
    (z0, z1), (x0, x1) = case.spans[0], case.spans[2]
    height_mm, width_mm = z1 - z0, x1 - x0
    # One scale for all: two panels as wide as x, and one as wide as y (as z) is.
    scale = (WIDTH_PX - 4 * GAP_PX) / (2 * width_mm + height_mm)
    height_px = HEAD_PX + FOOT_PX + round(height_mm * scale)
    fig = canvas.figure(WIDTH_PX / DPI, height_px / DPI, PAPER)
    fig.set_layout_engine("none")
    left = float(GAP_PX)
    for axis, length_mm in ((0, width_mm), (1, width_mm), (2, height_mm)):
        size = (length_mm * scale, height_mm * scale)
        panel(_axes_at(fig, left, size), case, axis)
        left += size[0] + GAP_PX
    _scale_bar(fig.axes[0])
    _header(fig, bool(case.predicted), title, subtitle, notice)
    _footer(fig, case)
    canvas.save(fig, path, DPI)


def _axes_at(fig: Figure, left_px: float, size_px: tuple[float, float]) -> Axes:
    width, height = fig.get_size_inches() * DPI
    place = (left_px / width, FOOT_PX / height, size_px[0] / width, size_px[1] / height)
    axes = fig.add_axes(place, facecolor="black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def panel(axes: Axes, case: Scene, axis: int) -> None:
    """One plane of a case: the CT, the contours, the directions."""
    _, _, down, right, _ = PLANES[axis]
    part, edges = _visible(case, down, right)
    low, high = LEVEL_HU - WIDTH_HU / 2, LEVEL_HU + WIDTH_HU / 2
    axes.imshow(
        np.clip(_plane(case.ct, case, axis)[part].astype(np.float32), low, high),
        extent=(edges[1][0], edges[1][1], edges[0][1], edges[0][0]),
        cmap="gray",
        vmin=low,
        vmax=high,
        interpolation="bicubic",
        aspect="auto",
    )
    _contours(axes, case, axis, part, edges)
    axes.set_xlim(case.spans[right])
    axes.set_ylim(case.spans[down][::-1])
    _other_planes(axes, case, down, right)
    _letters(axes, case, axis)


def _plane(array: np.ndarray, case: Scene, axis: int) -> np.ndarray:
    """(rows, columns) of the plane; canonical order is the order on the screen."""
    # An index gives a view; `np.take` would first copy all of a transposed volume.
    return array[(slice(None),) * axis + (case.cut[axis],)]


def _visible(case: Scene, down: int, right: int):
    """Slices of the voxels inside both spans, and their outer edges in mm.

    Cropping first keeps matplotlib from interpolating 512 x 512 pixels for a part.
    """
    part, edges = [], []
    for axis in (down, right):
        spacing, n = case.grid.spacing_mm[axis], case.grid.shape[axis]
        low, high = case.spans[axis]
        first = int(np.clip(np.floor(low / spacing) - 1, 0, n - 1))
        last = int(np.clip(np.ceil(high / spacing) + 1, first + 1, n))
        part.append(slice(first, last))
        edges.append((first * spacing, last * spacing))
    return tuple(part), edges


def _contours(axes: Axes, case: Scene, axis: int, part, edges) -> None:
    """The prediction filled faintly and drawn solid; the truth dashed above it."""
    for number, (_, colour, truth) in CLASSES.items():
        seen = _inside(_plane(case.mask, case, axis)[part], number)
        if seen.any():
            x, y, field = _field(seen, edges)
            axes.contourf(x, y, field, levels=(0.5, 2), colors=[colour], alpha=0.1)
            axes.contour(x, y, field, levels=(0.5,), colors=[colour], linewidths=1.7)
        if case.label is not None:
            true = _inside(_plane(case.label, case, axis)[part], number)
            if true.any():
                style = {"linewidths": 1.2, "linestyles": [(0, (3.5, 2.5))]}
                axes.contour(*_field(true, edges), (0.5,), colors=[truth], **style)


def _inside(classes: np.ndarray, number: int) -> np.ndarray:
    """A class's outline; the kidney's runs around its tumours and cysts."""
    return classes > 0 if number == 1 else classes == number


def _field(inside: np.ndarray, edges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y in mm of the voxel centres and 0 / 1, with a rim of 0 that closes contours.

    On voxel edges of 0, 1, 2 mm the centres are 0.5 and 1.5, the rim -0.5 and 2.5.
    """
    places = []
    for (low, high), n in zip(edges, inside.shape, strict=True):
        step = (high - low) / n
        places.append(low + step * (np.arange(-1, n + 1) + 0.5))
    return places[1], places[0], np.pad(inside, 1).astype(np.float32)


def _other_planes(axes: Axes, case: Scene, down: int, right: int) -> None:
    """Short ticks at the panel's edges where the two other planes cut this one."""
    line = {"color": INK, "alpha": 0.55, "linewidth": 0.9}
    x, y = ((case.cut[a] + 0.5) * case.grid.spacing_mm[a] for a in (right, down))
    for low, high in ((0.0, 0.018), (0.982, 1.0)):
        axes.axvline(x, low, high, **line)
        axes.axhline(y, low, high, **line)


def _letters(axes: Axes, case: Scene, axis: int) -> None:
    """The plane's name, where it lies in the world, and the directions at its edges."""
    name, world, _, _, letters = PLANES[axis]
    at_mm = case.grid.to_mm(case.cut)[world]
    _note(axes, name, (0, 1), (8, -8), "left", "top", 11, weight="bold")
    where = f"{'xyz'[world]} = {at_mm:.0f} mm"
    _note(axes, where, (1, 1), (-8, -8), "right", "top", 9)
    spots = ((0, 0.5), (1, 0.5), (0.5, 1), (0.5, 0))
    for letter, spot in zip(letters, spots, strict=True):
        inward = tuple(round(28 * (0.5 - s)) for s in spot)
        _note(axes, letter, spot, inward, "center", "center", 9)


def _note(axes, text, spot, offset_points, across, upright, size, **style) -> None:
    """Text at an edge of a panel, with a dark rim that keeps it legible on bone."""
    axes.annotate(
        text,
        spot,
        xycoords="axes fraction",
        xytext=offset_points,
        textcoords="offset points",
        ha=across,
        va=upright,
        fontsize=size,
        color=INK,
        path_effects=[withStroke(linewidth=2.2, foreground=(0, 0, 0, 0.65))],
        **style,
    )


def _scale_bar(axes: Axes) -> None:
    """5 cm, valid in all three panels."""
    (x0, x1), (y1, y0) = axes.get_xlim(), axes.get_ylim()
    start, y = x0 + 0.03 * (x1 - x0), y1 - 0.035 * (y1 - y0)
    rim = [withStroke(linewidth=4.4, foreground=(0, 0, 0, 0.65))]
    bar = (start, start + 50)
    axes.plot(bar, (y, y), color=INK, linewidth=2.4, path_effects=rim)
    spot = (0.03 + 25 / (x1 - x0), 0.035)
    _note(axes, "5 cm", spot, (0, 5), "center", "bottom", 9)


def _header(fig: Figure, found: bool, title: str, subtitle: str, notice: str) -> None:
    """Title, what was not found and subtitle from the left, the notice at the right."""
    width, height = fig.get_size_inches() * DPI
    y, x_px = 1 - HEAD_PX / 2 / height, float(GAP_PX)
    renderer = fig.canvas.get_renderer()
    title = canvas.drawable(title)
    words = [(title, 16, "bold", INK), (subtitle, 11, "normal", MUTED)]
    if not found:
        words.insert(1, ("no kidney found", 13, "bold", AMBER))
    for text, size, weight, colour in words:
        if text:
            drawn = fig.text(x_px / width, y, text, size=size, weight=weight)
            drawn.set(color=colour, va="center_baseline", parse_math=False)
            x_px = drawn.get_window_extent(renderer).x1 + 18
    style = {"ha": "right", "va": "center_baseline", "size": 11, "color": AMBER}
    fig.text(1 - GAP_PX / width, y, notice, **style)


def _footer(fig: Figure, case: Scene) -> None:
    width, height = fig.get_size_inches() * DPI
    foot, margin = FOOT_PX / 2 / height, GAP_PX / width
    window = f"soft-tissue window: level {LEVEL_HU:.0f}, width {WIDTH_HU:.0f} HU"
    fig.text(1 - margin, foot, window, color=MUTED, ha="right", va="center", size=9)
    handles = _legend(case)
    fig.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(margin / 2, foot),
        ncols=4 if len(handles) <= 4 else 3,  # a class and its truth in a column
        frameon=False,
        labelcolor=INK,
        fontsize=10,
        handlelength=2.2,
        columnspacing=1.8,
    )


def _legend(case: Scene) -> list[Line2D]:
    """One line for each class that the case holds anywhere."""
    handles = []
    for number, (name, colour, truth) in CLASSES.items():
        if number in case.predicted:
            handles.append(Line2D([], [], color=colour, lw=2.2, label=name))
        if number in case.true:
            line = Line2D([], [], color=truth, lw=1.5, ls=(0, (3.5, 2.5)))
            line.set_label(f"{name}, truth")
            handles.append(line)
    return handles
