"""Plots for the data set report and for the evaluation: distributions of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from vnet_jax.reports import canvas
from vnet_jax.reports.curves import curves

__all__ = ["boxes", "curves", "density", "distribution", "histogram"]


def histogram(
    path: str | PathLike,
    values: Sequence[float],
    *,
    title: str,
    xlabel: str,
    ylabel: str = "cases",
    bins: int | Sequence[float] = 20,
    colour: str = canvas.BLUE,
) -> None:
    """How often each value occurs, with the median marked.

    Args:
        path: the PNG.
        values: (n,) numbers; none at all gives an empty plot that says so.
        title: what is shown.
        xlabel: the values' name and unit.
        ylabel: what is counted.
        bins: their number, or their edges.
        colour: of the bars.
    """
    fig = canvas.figure(6.4, 3.4)
    axes = canvas.plain(fig.subplots(), title, xlabel, ylabel)
    values = np.asarray(values, np.float64)
    if values.size:
        axes.margins(y=0.15)  # room for the median's name above the bars
        axes.hist(values, bins=bins, color=colour, edgecolor="white", linewidth=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _mark(axes, float(np.median(values)), f"median {np.median(values):.3g}")
    else:
        _say_empty(axes)
    canvas.save(fig, path)


def density(
    path: str | PathLike,
    bins: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str = "share of the voxels per HU",
    markers: Mapping[str, float] | None = None,
) -> None:
    """Several histograms over the same bins, each of area one, as filled outlines.

    Args:
        path: the PNG.
        bins: (b + 1,) edges.
        curves: name -> (b,) counts in the bins; a class without counts is left out.
        title: what is shown.
        xlabel: the values' name and unit.
        ylabel: of the densities.
        markers: name -> value of vertical lines, such as a threshold.
    """
    edges = np.asarray(bins, np.float64)
    fig = canvas.figure(7.2, 3.8)
    axes = canvas.plain(fig.subplots(), title, xlabel, ylabel)
    for colour, (name, counts) in zip(_colours(curves), curves.items(), strict=True):
        counts = np.asarray(counts, np.float64)
        if counts.sum() > 0:
            heights = counts / (counts.sum() * np.diff(edges))
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.18)
            axes.stairs(heights, edges, color=colour, linewidth=1.6, label=name)
    for name, value in (markers or {}).items():
        _mark(axes, value, name)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    canvas.legend(axes)
    canvas.save(fig, path)


def boxes(
    path: str | PathLike,
    sizes: Sequence[Sequence[float]],
    limit: Sequence[float],
    *,
    title: str,
    unit: str = "mm",
    axes_names: Sequence[str] = ("z: slices", "y: front to back", "x: right to left"),
) -> None:
    """Sizes of the foreground boxes along each axis, against the region of interest.

    Args:
        path: the PNG.
        sizes: (n, 3) one box a case, in `unit`.
        limit: (3,) the region of interest, in `unit`; a larger box is drawn in red.
        title: what is shown.
        unit: of the sizes.
        axes_names: names of the three axes.
    """
    sizes = np.asarray(sizes, np.float64).reshape(-1, 3)
    fig = canvas.figure(7.2, 3.2)
    axes = canvas.plain(fig.subplots(), title, unit)
    axes.grid(axis="x", color=canvas.RULE, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    for row, (values, bound) in enumerate(zip(sizes.T, limit, strict=True)):
        axes.barh(row, bound, height=0.62, color="#eef2f6", edgecolor=canvas.RULE)
        axes.vlines(bound, row - 0.31, row + 0.31, color=canvas.INK, linewidth=1.6)
        colours = np.where(values > bound, canvas.TUMOUR, canvas.BLUE)
        axes.scatter(values, row + _spread(values, 0.42), c=colours, s=16, alpha=0.75)
        note = f" region of interest {bound:.0f}"
        axes.annotate(note, (bound, row), va="center", fontsize=8, color=canvas.MUTED)
    axes.set_yticks(range(3), axes_names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(*limit, *sizes.ravel()))
    canvas.save(fig, path)


def distribution(
    path: str | PathLike,
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    ids: Sequence[str] = (),
    ylabel: str = "Dice",
    intervals: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
) -> None:
    """Scores of every case: a dot each, joined from group to group, over a box plot.

    Args:
        path: the PNG.
        panels: panel title -> group name -> (n,) scores in [0, 1], the same n cases in
            the same order in every group.
        ids: (n,) the cases' names; the lowest case of the last group is named.
        ylabel: the scores' name.
        intervals: panel title -> group name -> (mean, low, high), drawn beside.
    """
    widest = max(len(groups) for groups in panels.values())
    fig = canvas.figure(max(5.0, len(panels) * (1.2 + 1.25 * widest)), 4.2)
    row = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, groups) in zip(row, panels.items(), strict=True):
        canvas.plain(axes, title, ylabel=ylabel if axes is row[0] else "")
        scores = np.asarray(list(groups.values()), np.float64)  # (groups, n)
        colour = canvas.TUMOUR if "umo" in title else canvas.KIDNEY
        _groups(axes, scores, colour)
        if len(ids):
            _name_lowest(axes, scores[-1], len(groups) - 1, ids)
        _intervals(axes, list(groups), (intervals or {}).get(title, {}))
        axes.set_xlim(-0.55, len(groups) - 0.45)
        axes.set_ylim(-0.03, 1.03)
    canvas.save(fig, path)


def _groups(axes: Axes, scores: np.ndarray, colour: str) -> None:
    """Box, dots and the thin lines that join a case's dots; scores: (groups, n)."""
    at = np.array([i + _spread(values, 0.3) for i, values in enumerate(scores)])
    if len(scores) > 1:
        axes.plot(at, scores, color=canvas.RULE, linewidth=0.7, zorder=1)
    line = {"color": canvas.MUTED, "linewidth": 1.0}
    axes.boxplot(
        list(scores),
        positions=range(len(scores)),
        widths=0.46,
        showfliers=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": canvas.INK, "linewidth": 1.6},
        manage_ticks=False,
        zorder=2,
    )
    for x, values in zip(at, scores, strict=True):
        axes.scatter(x, values, s=18, color=colour, alpha=0.75, linewidths=0, zorder=3)


def _intervals(axes: Axes, names: list[str], intervals: Mapping) -> None:
    """Mean and interval beside each box, the mean's digits under the group's name."""
    ticks = []
    for i, name in enumerate(names):
        ticks.append(name)
        if name in intervals:
            mean, low, high = intervals[name]
            axes.vlines(i + 0.34, low, high, color=canvas.INK, linewidth=1.4, zorder=4)
            axes.plot(i + 0.34, mean, "D", color=canvas.INK, markersize=4.5, zorder=4)
            ticks[-1] += f"\nmean {mean:.3f}"
    axes.set_xticks(range(len(names)), ticks)


def _name_lowest(axes: Axes, values: np.ndarray, group: int, ids) -> None:
    worst = int(np.argmin(values))
    low = values[worst] < 0.1  # no room below the dot: above it
    axes.annotate(
        ids[worst],
        (group, values[worst]),
        xytext=(0, 6 if low else -8),
        textcoords="offset points",
        ha="center",
        va="bottom" if low else "top",
        fontsize=7.5,
        color=canvas.MUTED,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=5,
    )


def _spread(values: np.ndarray, width: float) -> np.ndarray:
    """(n,) offsets within +-width / 2 that keep dots of like value apart.

    Dots are laid out by rank over the golden ratio's multiples, so that neighbours in
    value are never neighbours in place; the same values give the same picture.
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return width * (np.mod(ranks * 0.6180339887 + 0.5, 1.0) - 0.5)


def _mark(axes: Axes, value: float, name: str) -> None:
    axes.axvline(value, color=canvas.INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.annotate(
        name,
        (value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=canvas.INK,
    )


def _say_empty(axes: Axes) -> None:
    axes.text(
        0.5,
        0.5,
        "no values",
        transform=axes.transAxes,
        ha="center",
        color=canvas.MUTED,
    )


def _colours(names: Mapping) -> list[str]:
    """Kidney and tumour have their own colours wherever they are named."""
    own = {"kidney": canvas.KIDNEY, "tumour": canvas.TUMOUR}
    rest = iter(canvas.SERIES * (1 + len(names) // len(canvas.SERIES)))
    free = (c for c in rest if c not in own.values())
    return [own.get(name.lower()) or next(free) for name in names]
