"""How the volumes and the tumours of a folder's cases are spread."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from vnet_jax.reports import canvas


def volumes_plot(cases: Sequence[Mapping]) -> bytes:
    """A dot for each kidney, with and without its tumours, and for each case's tumours.

    Args:
        cases: summaries.

    Returns:
        A PNG.
    """
    volumes = [facts.get("volumes_ml") or {} for facts in cases]
    groups = {
        "right\nkidney": ("kidney_right", canvas.KIDNEY),
        "left\nkidney": ("kidney_left", canvas.KIDNEY),
        "right with\ntumour": ("kidney_right_with_tumour", canvas.BLUE),
        "left with\ntumour": ("kidney_left_with_tumour", canvas.BLUE),
        "tumour, where\nthere is one": ("tumour", canvas.TUMOUR),
    }
    fig = canvas.figure(7.2, 3.6)
    axes = canvas.plain(fig.subplots(), "Volumes", "", "ml")
    for place, (name, colour) in enumerate(groups.values()):
        found = [v[name] for v in volumes if v.get(name)]
        _dots(axes, place, found, colour)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylim(bottom=0)
    return _png(fig)


def tumours_plot(cases: Sequence[Mapping]) -> bytes:
    """How many tumours a case has, and the longest diameter of each.

    Args:
        cases: summaries.

    Returns:
        A PNG.
    """
    counts = [facts["tumour_count"] for facts in cases if "tumour_count" in facts]
    longest = [t["diameter_mm"] for facts in cases for t in facts.get("tumours") or ()]
    fig = canvas.figure(7.2, 3.6)
    left, right = fig.subplots(1, 2)
    canvas.plain(left, "Tumours of a case", "tumours", "cases")
    top = min(max(counts, default=0), 6)
    names = [str(n) for n in range(top + 1)]
    many = np.bincount(np.minimum(counts, top).astype(int), minlength=top + 1)
    names[-1] += " or more" if max(counts, default=0) > top else ""
    left.bar(names, many, color=canvas.TUMOUR, width=0.7)
    left.set_xlim(-0.6, max(top, 3) + 0.6)
    left.yaxis.get_major_locator().set_params(integer=True)
    canvas.plain(right, "Their longest diameters", "mm", "tumours")
    edges = np.arange(0, max(longest, default=40) + 10, 10)
    heights, _, _ = right.hist(longest, edges, color=canvas.TUMOUR, edgecolor="white")
    right.set_ylim(0, 1.05 * max(1, *heights))
    right.yaxis.get_major_locator().set_params(integer=True)
    return _png(fig)


def _dots(axes: Axes, place: int, values: Sequence[float], colour: str) -> None:
    """Dots beside each other, by rank, and a line at the median."""
    if not values:
        return
    found = np.sort(np.asarray(values, float))
    aside = (np.arange(len(found)) * 0.618) % 1 - 0.5
    dots = {"s": 16, "alpha": 0.7, "linewidths": 0, "color": colour}
    axes.scatter(place + 0.5 * aside, found, **dots)
    median = float(np.median(found))
    axes.hlines(median, place - 0.32, place + 0.32, color=canvas.INK, linewidth=1.4)
    label = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    at = (place + 0.32, median)
    axes.annotate(f"{median:.0f}", at, fontsize=8, color=canvas.INK, **label)


def _png(fig) -> bytes:
    file = io.BytesIO()
    canvas.save(fig, file)
    return file.getvalue()
