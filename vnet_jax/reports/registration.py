"""A registered pair at a glance, and all pairs of a run in a table."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.data.files import whole_file
from vnet_jax.reports import canvas, tables
from vnet_jax.reports.pictures import AMBER, CLASSES, DPI, INK, MUTED, PAPER, panel
from vnet_jax.reports.planes import Scene, scene

WIDTH_PX, HEAD_PX, NAME_PX, FOOT_PX, GAP_PX = 1800, 62, 30, 44, 12
AXIAL, CORONAL = 0, 1

#: Column of the tables -> key in a pair's record, digits after the point.
NUMBERS = {
    "similarity before": ("similarity_before", 3),
    "affine": ("similarity_affine", 3),
    "non-rigid": ("similarity", 3),
    "kidney Dice before": ("dice_before", 3),
    "affine ": ("dice_affine", 3),
    "non-rigid ": ("dice", 3),
    "Jacobian least": ("jacobian_min", 3),
    "largest": ("jacobian_max", 2),
    "tumour x": ("tumour_ratio", 2),
    "kidneys x": ("kidney_ratio", 2),
}


def picture(
    path: str | PathLike,
    reference: tuple[Volume, np.ndarray],
    moved: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    subtitle: str,
    notice: str = "",
) -> None:
    """Draws a pair as a PNG: a column a step, axial above coronal.

    All columns show the same place, through the largest section of both tumours, with
    the reference's contours dashed.

    Args:
        path: the PNG.
        reference: its CT (D, H, W) HU, and its label on the same grid.
        moved: name of a step -> (D, H, W) HU and label of the floating image then, on
            the reference's grid.
        title: the pair's name.
        subtitle: stands after it, in grey.
        notice: such as why it was refused, in amber.
    """
    ct, label = reference
    place = scene(ct, list(moved.values())[-1][1], label)
    scenes = {"reference": dataclasses.replace(place, mask=label * 0)}
    for name, (image, mask) in moved.items():
        scenes[name] = dataclasses.replace(place, ct=image, mask=mask)
    (z0, z1), (x0, x1) = place.spans[0], place.spans[2]
    width = (WIDTH_PX - (len(scenes) + 1) * GAP_PX) / len(scenes)
    height = width * (z1 - z0) / (x1 - x0)
    total = HEAD_PX + NAME_PX + 2 * height + GAP_PX + FOOT_PX
    fig = canvas.figure(WIDTH_PX / DPI, total / DPI, PAPER)
    fig.set_layout_engine("none")
    for column, (name, case) in enumerate(scenes.items()):
        left = GAP_PX + column * (width + GAP_PX)
        for row, axis in enumerate((CORONAL, AXIAL)):
            low = FOOT_PX + row * (height + GAP_PX)
            _panel_at(fig, case, axis, (left, low, width, height), total)
        above = 1 - (HEAD_PX + NAME_PX / 2) / total
        fig.text(left / WIDTH_PX, above, name, color=INK, size=12, va="center")
    _words(fig, total, title, subtitle, notice)

    canvas.save(fig, path, DPI)


def _panel_at(fig, case: Scene, axis: int, box_px, total_px: float) -> None:
    left, low, width, height = box_px
    place = left / WIDTH_PX, low / total_px, width / WIDTH_PX, height / total_px
    axes = fig.add_axes(place, facecolor="black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    panel(axes, case, axis)


def _words(fig, total_px: float, title: str, subtitle: str, notice: str) -> None:
    head, foot = 1 - HEAD_PX / 2 / total_px, FOOT_PX / 2 / total_px
    edge = GAP_PX / WIDTH_PX
    drawn = fig.text(edge, head, title, color=INK, size=16, weight="bold", va="center")
    end = drawn.get_window_extent(fig.canvas.get_renderer()).x1 / WIDTH_PX
    fig.text(end + edge, head, subtitle, color=MUTED, size=11, va="center")
    fig.text(1 - edge, head, notice, color=AMBER, size=11, va="center", ha="right")
    for number, (name, colour, _) in CLASSES.items():
        at = edge + (number - 1) * 0.08
        fig.text(at, foot, f"\u2014 {name}", color=colour, size=11, va="center")
    dashed = "dashed: the reference's contours, in every column"
    fig.text(1 - edge, foot, dashed, color=MUTED, size=10, va="center", ha="right")


def write_tables(folder: str | PathLike, records: Sequence[Mapping]) -> None:
    """Writes `pairs.csv` and `pairs.md`: a line a pair, those refused too.

    Args:
        folder: where.
        records: {"name", "reference", "floating", "accepted", "reason", "quality",
            "usage"} each; the last two {} where an engine gave up.
    """
    folder = Path(folder)
    with whole_file(folder / "pairs.csv") as file:
        file.write(_csv(records).encode())
    with whole_file(folder / "pairs.md") as file:
        file.write(tables.markdown(*_rows(records)).encode())


def _csv(records: Sequence[Mapping]) -> str:
    named = [key for key, _ in NUMBERS.values()]
    used = ["cpu_s", "wall_s", "memory_mb"]
    text = io.StringIO()
    facts = ["name", "reference", "floating", "accepted", "reason"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*facts, *named, "folded", *used])
    for record in records:
        quality, usage = record["quality"], record["usage"]
        row = [record[key] for key in facts]
        row += [quality.get(key) for key in (*named, "folded")]
        writer.writerow([*row, *(usage.get(key) for key in used)])
    return text.getvalue()


def _rows(records: Sequence[Mapping]) -> tuple[list[str], list[list[str]]]:
    head = ["case", "reference", "floating", *(n.strip() for n in NUMBERS), "verdict"]
    rows = []
    for record in records:
        quality = record["quality"]
        row = [record[key] for key in ("name", "reference", "floating")]
        row += [tables.number(quality.get(k), d) for k, d in NUMBERS.values()]
        rows.append([*row, record["reason"] or "kept"])
    return head, rows
