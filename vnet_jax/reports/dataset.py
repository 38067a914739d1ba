"""The data set report: what `vnet_jax.data.dataset_report` gathered, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vnet_jax.data.files import write_json
from vnet_jax.reports import pages, plots, tables

CYST_LIMIT_HU = 10  # paper, section 5.2: a mean below it is a cyst, not a tumour
SHOWN = 40  # lines of a list; report.json has all of them


def write(folder: str | Path, figures: dict, name: str) -> Path:
    """Writes report.json, its plots as PNG, and report.html with all of it inside.

    Args:
        folder: where to; made when missing.
        figures: from `vnet_jax.data.dataset_report.gather`.
        name: of the data set.

    Returns:
        The path of report.html.
    """
    folder = Path(folder)
    write_json(folder / "report.json", figures)
    drawn = _draw(folder, figures)
    sections = [
        pages.section("In short", _numbers(figures), *_notices(figures)),
        pages.section("Slices", drawn["slices"]),
        pages.section("Hounsfield units", drawn["hu"]),
        pages.section(
            "Foreground and the region of interest", drawn["boxes"], _extremes(figures)
        ),
        *_lists(figures),
    ]
    html = folder / "report.html"
    pages.write(html, f"Data set {name}", _lead(figures), *sections)
    return html


def _draw(folder: Path, figures: dict) -> dict[str, str]:
    """The three plots, as figures of the page."""
    thickness = list(figures["slice_spacing_mm"].values())
    plots.histogram(
        folder / "slices.png",
        thickness,
        title="Distance between slices",
        xlabel="mm, as in the source files",
        bins=_slice_bins(thickness),
    )
    hu = figures["histograms"]
    plots.density(
        folder / "hu.png",
        hu["edges_hu"],
        _tissues(hu["counts"]),
        title="Hounsfield units by tissue",
        xlabel="HU",
        markers={f"{CYST_LIMIT_HU} HU": CYST_LIMIT_HU},
    )
    boxes = figures["boxes"]
    plots.boxes(
        folder / "boxes.png",
        list(boxes["size_vox"].values()),
        boxes["roi_vox"],
        title="Foreground boxes against the region of interest",
        unit=f"voxels of {_triple(figures['spacing_mm'] or ())} mm",
    )
    return {
        "slices": pages.figure(
            folder / "slices.png",
            f"Histogram of the slice distance of {len(thickness)} cases",
            "As in Fig. 2 of the paper.",
        ),
        "hu": pages.figure(
            folder / "hu.png",
            "Distribution of the Hounsfield units of each tissue",
            _hu_caption(hu),
        ),
        "boxes": pages.figure(
            folder / "boxes.png",
            f"Size of the foreground box of {len(boxes['size_vox'])} cases by axis",
            "The smallest box around kidneys and tumours. A box larger than the region "
            "of interest, in red, does not fit it in that axis.",
        ),
    }


def _slice_bins(thickness: Sequence[float]) -> np.ndarray:
    """Edges half a millimetre apart, so that 1, 2.5 and 5 mm each have their bar."""
    highest = max(thickness, default=5.0)
    return np.arange(0.25, max(highest, 5.0) + 0.75, 0.5)


def _tissues(counts: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """What is plotted: the whole picture is mostly air and fat and would hide them."""
    return {tissue: n for tissue, n in counts.items() if tissue != "all"}


def _hu_caption(hu: dict) -> str:
    means = ", ".join(
        f"{tissue} {hu['mean_hu'][tissue]:.0f}"
        for tissue in _tissues(hu["counts"])
        if tissue in hu["mean_hu"]
    )
    low, high = hu["edges_hu"][0], hu["edges_hu"][-1]
    line = (
        f"As in Fig. 5 of the paper, which takes a tumour with a mean below "
        f"{CYST_LIMIT_HU} HU for a cyst."
    )
    return f"{line} Means between {low} and {high} HU: {means}." if means else line


def _lead(figures: dict) -> str:
    n = figures["counts"]
    drawn = f", {n['synthetic']} of them synthetic" if n["synthetic"] else ""
    return (
        f"{n['cases']} cases{drawn}: {n['labelled']} with labels, {n['test']} without. "
        f"Resampled to {_triple(figures['spacing_mm'] or ())} mm."
    )


def _numbers(figures: dict) -> str:
    n, boxes = figures["counts"], figures["boxes"]
    largest = boxes["largest_vox"]
    tumours = [v["tumour"] for v in figures["volumes_ml"].values() if v["tumour"]]
    return pages.numbers(
        {
            "Usable": (str(n["cached"]), f"of {n['cases']} cases"),
            "Refused": (str(n["refused"]), "listed below" if n["refused"] else "none"),
            "Largest box": (
                _triple(largest) if largest else tables.NOTHING,
                f"voxels, by axis; the region is {_triple(boxes['roi_vox'])}",
            ),
            "Tumours": (
                tables.number(float(np.median(tumours)), 1)
                if tumours
                else tables.NOTHING,
                f"ml, the median of {len(tumours)} cases",
            ),
        }
    )


def _notices(figures: dict) -> list[str]:
    larger = figures["boxes"]["larger_than_roi"]
    notices = []
    if figures["counts"]["synthetic"]:
        some = figures["counts"]["synthetic"] < figures["counts"]["cases"]
        notices.append(f"{'Some' if some else 'All'} of these CTs are synthetic.")
    if larger:
        notices.append(
            f"The foreground of {len(larger)} cases is larger than the region of "
            f"interest: {_some(larger)}."
        )
    return [pages.notice(line) for line in notices]


def _extremes(figures: dict) -> str:
    """The largest boxes, by the axis in which they come nearest to the region."""
    roi = figures["boxes"]["roi_vox"]
    fill = {
        name: max(n / r for n, r in zip(size, roi, strict=True))
        for name, size in figures["boxes"]["size_vox"].items()
    }
    if not fill:
        return pages.paragraph("No case has foreground.")
    rows = [
        (
            name,
            *map(str, figures["boxes"]["size_vox"][name]),
            f"{100 * fill[name]:.0f} %",
        )
        for name in sorted(fill, key=fill.get, reverse=True)[:5]
    ]
    header = ("Case", "z", "y", "x", "of the region")
    return tables.as_html(header, rows, "The five that fill the region most, voxels")


def _lists(figures: dict) -> list[str]:
    lists = {
        "Refused cases": [
            f"{r['path']}: {r['wrong']}" + (f"; {r['remedy']}" if r["remedy"] else "")
            for r in figures["refused"]
        ],
        "Cut by the picture: foreground in the first or last slice": figures[
            "cut_by_picture"
        ],
        "Without foreground": figures["no_foreground"],
        "Without tumour": figures["no_tumour"],
        "Warnings": [
            f"{name}: {line}"
            for name, lines in figures["warnings"].items()
            for line in lines
        ],
    }
    return [
        pages.section(heading, pages.bullets(_first(lines)))
        for heading, lines in lists.items()
        if lines
    ]


def _first(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - SHOWN
    more = [f"and {rest} more, in report.json"] if rest > 0 else []
    return [*lines[:SHOWN], *more]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _triple(numbers: Sequence[float]) -> str:
    """Joined as in 80 x 240 x 384, in the order of the arrays: z, y, x."""
    return " x ".join(f"{n:.4g}" for n in numbers)
