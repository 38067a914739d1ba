"""Two dates side by side: a table, a picture and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.reports import canvas, case_facts, pages, tables
from vnet_jax.reports.pictures import AMBER, DPI, INK, MUTED, PAPER, panel
from vnet_jax.reports.planes import Scene, scene

#: Rows of the picture; a patient with more tumours has the rest in the table.
ROWS = 6
LEAST_MM, MARGIN_MM = 100.0, 40.0
TILE_PX, GAP_PX, HEAD_PX, LINE_PX = 360, 12, 56, 34
PLANES = ((0, "axial"), (1, "coronal"))


@dataclass(frozen=True, eq=False)
class Spot:
    """What a row of the picture shows.

    Attributes:
        title: stands above the row.
        centres_mm: (3,) where to look on each date; None where nobody knows.
        size_mm: of the largest thing there.
    """

    title: str
    centres_mm: tuple[np.ndarray | None, np.ndarray | None]
    size_mm: float


def names(facts: Mapping) -> tuple[str, str]:
    """What the two dates are called: their dates, or before and after."""
    return tuple(facts.get("dates") or ("before", "after"))


def tumour_rows(facts: Mapping) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of tumours.

    Args:
        facts: from `inference.compared.compare`, with "dates" where they are known.
    """
    header = ["Tumour", "ml", "axial mm", "longest mm", "ml a year", "mm a year"]
    header += ["doubles in"]
    rows = [
        [
            f"{i + 1} {row['side']}, {row['kind']}",
            _sizes(row["ml"], 2),
            _sizes(row["axial_diameter_mm"], 1, row["axial_within_error"]),
            _sizes(row["diameter_mm"], 1, row["diameter_within_error"]),
            _signed(row["ml"]["a_year"], 2),
            _signed(row["diameter_mm"]["a_year"], 1),
            _days(row["doubling_days"]),
        ]
        for i, row in enumerate(facts["tumours"])
    ]
    ml, none = facts["total"]["ml"], tables.NOTHING
    doubling = _days(facts["total"]["doubling_days"])
    sums = [_sizes(ml, 2), none, none, _signed(ml["a_year"], 2), none, doubling]
    return header, [*rows, ["all tumours", *sums]]


def kidney_rows(facts: Mapping) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of kidneys, without tumours."""
    header = ["Kidney", "ml", "length mm", "aligned by", "surfaces apart, mm"]
    rows = []
    for side, row in facts["kidneys"].items():
        motion = facts["alignment"][side] or {}
        rows.append(
            [
                side,
                _sizes(row["ml"], 1),
                _sizes(row["length_mm"], 1),
                motion.get("method") or tables.NOTHING,
                tables.number(motion.get("residual_mm"), 1),
            ]
        )
    return header, rows


def remarks(facts: Mapping) -> list[str]:
    """What must be known to read the numbers."""
    error = facts["uncertainty"]
    lines = [facts["notice"]] if facts["notice"] else []
    lines += [
        f"* a diameter has changed by no more than {error['readers_mm']} mm, by which "
        f"two readers of one CT differ, or than {error['slices_mm']:.1f} mm, a slice: "
        "that may be no change."
    ]
    for name, interval in (error["intervals_ml"] or {}).items():
        if interval:
            lines.append(
                f"{name.replace('_', ' ')}: the change lies between "
                f"{interval['low_ml']:+.1f} and {interval['high_ml']:+.1f} ml "
                f"(at least {interval['level']:.0%}, from both intervals)."
            )
    if error["intervals_ml"] is None:
        lines.append(f"Volumes: {error['note']}.")
    if facts["days"] is None:
        lines.append("Without --dates there is no growth a year.")
    if facts["unlisted"]:
        lines.append(f"{facts['unlisted']} tumours are not listed and not compared.")
    return [*lines, *facts["warnings"]]


def _sizes(row: Mapping, digits: int, within: bool | None = None) -> str:
    """Such as "28.0 to 35.9\\n(+7.9, +28 %)", with a star for what may be no change."""
    before, after = row["before"], row["after"]
    if before is None and after is None:
        return tables.NOTHING
    ends = ["none" if v is None else f"{v:.{digits}f}" for v in (before, after)]
    if row["change"] is None:
        return " to ".join(ends)
    share = "" if row["percent"] is None else f", {row['percent']:+.0f} %"
    star = "*" if within else ""
    return f"{' to '.join(ends)}\n({_signed(row['change'], digits)}{share}){star}"


def _signed(value: float | None, digits: int) -> str:
    return tables.NOTHING if value is None else f"{value:+.{digits}f}"


def _days(value: float | None) -> str:
    return tables.NOTHING if value is None else f"{value:.0f} days"


def picture(
    path: str | PathLike,
    facts: Mapping,
    cts: Sequence[Volume],
    masks: Sequence[np.ndarray],
    spots: Sequence[Spot],
) -> None:
    """Draws both dates side by side, a row for each tumour, all at a row's one scale.

    Args:
        path: the PNG.
        facts: from `inference.compared.compare`.
        cts: the two CTs.
        masks: their masks.
        spots: what to show; the first `ROWS`.
    """
    spots = spots[:ROWS]
    scenes = [scene(ct, mask) for ct, mask in zip(cts, masks, strict=True)]
    columns = 2 * len(PLANES)
    width = GAP_PX + columns * (TILE_PX + GAP_PX)
    height = HEAD_PX + len(spots) * (TILE_PX + LINE_PX) + GAP_PX
    fig = canvas.figure(width / DPI, height / DPI, PAPER)
    fig.set_layout_engine("none")
    for column, (axis, when) in enumerate(_columns()):
        x = (GAP_PX + column * (TILE_PX + GAP_PX)) / width
        label = f"{names(facts)[when]}, {PLANES[axis][1]}"
        y = 1 - HEAD_PX / 2 / height
        fig.text(x, y, label, color=INK, size=13, weight="bold", va="center")
    place = (1 - GAP_PX / width, 1 - 10 / height)
    style = {"color": AMBER, "size": 10, "ha": "right", "va": "top"}
    fig.text(*place, facts["notice"], **style)
    for row, spot in enumerate(spots):
        top = HEAD_PX + row * (TILE_PX + LINE_PX)
        y = 1 - (top + LINE_PX / 2) / height
        title = f"{spot.title}   (pictures of {_width_mm(spot):.0f} mm)"
        fig.text(GAP_PX / width, y, title, color=INK, size=11, va="center")
        for column, (axis, when) in enumerate(_columns()):
            left = GAP_PX + column * (TILE_PX + GAP_PX)
            bottom = height - top - LINE_PX - TILE_PX
            place = (left / width, bottom / height, TILE_PX / width, TILE_PX / height)
            axes = fig.add_axes(place, facecolor="black")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            centre = spot.centres_mm[when]
            view = (
                None if centre is None else _view(scenes[when], centre, _width_mm(spot))
            )
            if view is None:
                style = {"ha": "center", "va": "center", "color": MUTED, "size": 11}
                axes.text(0.5, 0.5, "not in this CT", transform=axes.transAxes, **style)
            else:
                panel(axes, view, PLANES[axis][0])
    canvas.save(fig, path, DPI)


def _columns() -> list[tuple[int, int]]:
    """(plane, date) of each column: the same plane of both dates side by side."""
    return [(axis, when) for axis in range(len(PLANES)) for when in (0, 1)]


def _width_mm(spot: Spot) -> float:
    """How much of the patient a row shows."""
    return max(LEAST_MM, spot.size_mm + MARGIN_MM)


def _view(case: Scene, centre_mm: np.ndarray, width_mm: float) -> Scene | None:
    """The scene about a place; None where that is outside the CT."""
    at = case.grid.to_index(centre_mm)
    if not ((at > -0.5) & (at < np.array(case.grid.shape) - 0.5)).all():
        return None
    half = width_mm / 2
    middle = (at + 0.5) * case.grid.spacing_mm
    spans = tuple((float(m - half), float(m + half)) for m in middle)
    return dataclasses.replace(case, cut=tuple(np.rint(at).astype(int)), spans=spans)


def page(path: str | PathLike, facts: Mapping, png: Path | None) -> None:
    """Writes the page.

    Args:
        path: the HTML file.
        facts: from `inference.compared.compare`.
        png: from `picture`; None where there is no CT to draw.
    """
    first, second = names(facts)
    lead = f"{first} and {second}" + (
        f", {facts['days']} days" if facts["days"] else ""
    )
    shown = "Each tumour on both dates, its kidney aligned. Contours are the masks."
    parts = [
        *([pages.notice(case_facts.SYNTHETIC)] if facts["notice"] else []),
        pages.paragraph(case_facts.RESEARCH),
        pages.numbers(_tiles(facts)),
        pages.section("Tumours", tables.as_html(*tumour_rows(facts))),
    ]
    if png is not None:
        parts.append(pages.figure(png, "Both dates side by side", shown, "picture"))
    parts += [
        pages.section("Kidneys, without tumours", tables.as_html(*kidney_rows(facts))),
        pages.section("How to read it", pages.bullets(remarks(facts))),
        pages.section("From what", pages.facts(_sources(facts))),
    ]
    title = facts["after"]["case"]
    pages.write(path, f"{title}: two dates", lead, *parts)


def _tiles(facts: Mapping) -> dict[str, tuple[str, str]]:
    total, kinds = facts["total"]["ml"], [row["kind"] for row in facts["tumours"]]
    tiles = {
        "All tumours": (f"{total['after']:.1f} ml", f"{total['before']:.1f} ml before"),
        "Change": (f"{total['change']:+.1f} ml", _percent(total["percent"])),
    }
    if total["a_year"] is not None:
        tiles["A year"] = (f"{total['a_year']:+.1f} ml", "all tumours")
    counted = [f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds)]
    tiles["Tumours"] = (str(len(kinds)), ", ".join(counted))
    return tiles


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.0f} %"


def _sources(facts: Mapping) -> dict[str, str]:
    return {
        when.capitalize(): "/".join(Path(facts[when]["path"]).parts[-2:])
        for when in ("before", "after")
    }


def as_text(facts: Mapping) -> str:
    """What a terminal shows: the tables and the remarks."""
    parts = [tables.markdown(*tumour_rows(facts)), tables.markdown(*kidney_rows(facts))]
    return "\n".join([*parts, *(f"- {line}" for line in remarks(facts)), ""])
