"""The results as a picture: seconds of both sides, ratios, and the curves of a race."""

from __future__ import annotations

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
    rows = [row for row in results["rows"] if row["ours_s"] or row["rival_s"]]
    if not rows:
        return "not run: no row has a time"
    _rows(path, rows)
    return str(path)


def _rows(path: Path, rows: Sequence[Mapping]) -> None:
    fig = canvas.figure(11.5, 1.6 + ROW_IN * len(rows))
    left, right = fig.subplots(1, 2, sharey=True)
    canvas.plain(left, "Seconds of a call (medians)", "s")
    canvas.plain(right, "Ratio: above 1 vnet_jax is faster", "PyTorch's time / ours")
    for axes in (left, right):
        axes.grid(axis="x", color=canvas.RULE, linewidth=0.8)
    _seconds(left, rows)
    _ratios(right, rows)
    names = [f"{tell.work(row)}\nvs {row['rival']}" for row in rows]
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
