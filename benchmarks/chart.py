"""The results as a picture: seconds of both sides, ratios, and the curves of a race."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks import tell
from benchmarks.program import OURS
from vnet_jax.reports import canvas

#: By steps the two curves lie on each other: the second is thinner.
STYLES = (
    {"color": canvas.BLUE, "linewidth": 4.0, "markersize": 6.0},
    {"color": canvas.AMBER, "linewidth": 1.6, "markersize": 3.0},
)
ROW_IN = 0.34  # inches of a row


def draw(path: Path, results: Mapping) -> str:
    """Draws what there is.

    Args:
        path: the PNG.
        results: what bench.json holds.

    Returns:
        The picture's name, or why there is none.
    """
    if results.get("race"):
        _race(path, results["race"])
        return str(path)
    if layers := [row for row in results.get("layers", ()) if row["seconds"]]:
        _layers(path, layers)
        return str(path)
    rows = [row for row in results["rows"] if row["ours_s"] or row["rival_s"]]
    names = [f"{tell.work(row)}\nvs {row['rival']}" for row in rows]
    title = "Seconds of a call (medians)"
    if results.get("loading"):
        loads = [row for row in results["loading"] if "samples_per_s" in row]
        rows, title = list(map(_load, loads)), "Seconds a sample (medians)"
        names = ["{}, threads: {}".format(*tell.loading_cells(row)) for row in loads]
    if not rows:
        return "not run: no row has a time"
    _rows(path, rows, names, title)
    return str(path)


def _load(row: Mapping) -> dict:
    """A way to load as `_rows` takes it."""
    mine, theirs = row["samples_per_s"], row["rival_samples_per_s"]
    seconds = {"ours_s": 1 / mine, "rival_s": 1 / theirs if theirs else None}
    return {**seconds, "ratio": row["ratio"], "spread": row["spread"]}


def _layers(path: Path, layers: Sequence[Mapping]) -> None:
    """A panel a kind of work, a line a layer, a dot a form."""
    works = list(dict.fromkeys(row["work"] for row in layers))
    names = list(dict.fromkeys(tell.layer_name(row) for row in layers))
    forms = list(dict.fromkeys(form for row in layers for form in row["seconds"]))
    fig = canvas.figure(13.0, 1.6 + ROW_IN * len(names))
    panels = fig.subplots(1, len(works), sharey=True, squeeze=False)[0]
    for axes, work in zip(panels, works, strict=True):
        canvas.plain(axes, work.replace("_", " ").capitalize(), "ms (medians)")
        axes.grid(axis="both", color=canvas.RULE, linewidth=0.8)
        axes.set_xscale("log")
        for form, colour in zip(forms, itertools.cycle(canvas.SERIES), strict=False):
            there = [
                (1e3 * row["seconds"][form], names.index(tell.layer_name(row)))
                for row in layers
                if row["work"] == work and form in row["seconds"]
            ]
            axes.scatter(*zip(*there, strict=True), s=22, color=colour, label=form)
    panels[0].set_yticks(range(len(names)), names, fontsize=7.5)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    options = {"fontsize": 8.5, "labelcolor": canvas.INK, "frameon": False}
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(forms), **options)
    canvas.save(fig, path)


def _rows(
    path: Path, rows: Sequence[Mapping], names: Sequence[str], title: str
) -> None:
    fig = canvas.figure(11.5, 1.6 + ROW_IN * len(rows))
    left, right = fig.subplots(1, 2, sharey=True)
    canvas.plain(left, title, "s")
    canvas.plain(right, "Ratio: above 1 vnet_jax is faster", "PyTorch's time / ours")
    for axes in (left, right):
        axes.grid(axis="x", color=canvas.RULE, linewidth=0.8)
    _seconds(left, rows)
    _ratios(right, rows)
    left.set_yticks(range(len(rows)), names, fontsize=6.5)
    left.set_ylim(len(rows) - 0.5, -0.5)
    canvas.save(fig, path)


def _seconds(axes: Axes, rows: Sequence[Mapping]) -> None:
    axes.set_xscale("log")
    for key, name, colour in (
        ("ours_s", OURS, canvas.BLUE),
        ("rival_s", "rival", canvas.AMBER),
    ):
        there = [(row[key], i) for i, row in enumerate(rows) if row[key]]
        if there:
            axes.scatter(*zip(*there, strict=True), s=26, color=colour, label=name)
    options = {"fontsize": 8.5, "labelcolor": canvas.INK, "frameon": False}
    axes.figure.legend(loc="outside lower center", ncols=2, **options)


def _ratios(axes: Axes, rows: Sequence[Mapping]) -> None:
    axes.axvline(1.0, color=canvas.INK, linewidth=1.0, linestyle=(0, (4, 3)))
    for i, row in enumerate(rows):
        if row["ratio"] is not None:
            axes.hlines(i, *row["spread"], color=canvas.MUTED, linewidth=1.6)
            colour = canvas.KIDNEY if row["ratio"] >= 1 else canvas.TUMOUR
            axes.scatter(row["ratio"], i, s=26, color=colour, zorder=3)
    axes.set_xlim(left=0)


def _race(path: Path, race: Mapping) -> None:
    fig = canvas.figure(10.5, 4.2)
    panels = (("training_s", "seconds of training"), ("step", "steps"))
    spaces = fig.subplots(1, len(panels), sharey=True)
    for axes, (key, label) in zip(spaces, panels, strict=True):
        canvas.plain(axes, f"Validation Dice by {label}", label, "mean foreground Dice")
        axes.axhline(race["target"], color=canvas.MUTED, linestyle=(0, (4, 3)))
        for style, (side, run) in zip(STYLES, race["sides"].items(), strict=True):
            x = [point[key] for point in run["curve"]]
            y = [point["dice"] for point in run["curve"]]
            axes.plot(x, y, "o-", label=side, **style)
        axes.set_ylim(-0.02, 1.02)
        canvas.legend(axes, loc="lower right")
    canvas.save(fig, path)
