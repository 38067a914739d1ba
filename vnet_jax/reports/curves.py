"""Curves of one training run: loss, validation Dice, learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
from matplotlib.axes import Axes

from vnet_jax.reports import canvas


def curves(log_rows: Sequence[Mapping], path: str | PathLike, title: str = "") -> None:
    """Draws the log of a run as a PNG.

    Args:
        log_rows: the run's log, in order. A row holds "step" and any of "loss",
            "learning_rate", "epoch", and, where the step validated, "kidney" and
            "tumour" (Dice). Rows may hold other keys; values that are missing, None
            or not finite are left out.
        path: the PNG.
        title: above the plots.
    """
    fig = canvas.figure(10.5, 4.6)
    fig.suptitle(title, x=0.01, ha="left", fontsize=12, color=canvas.INK)
    spaces = fig.subplot_mosaic(
        [["loss", "dice"], ["rate", "dice"]], height_ratios=(3, 1)
    )
    steps = f"step{_epochs(log_rows)}"
    _loss(canvas.plain(spaces["loss"], "Training loss"), log_rows)
    rate = canvas.plain(spaces["rate"], "", steps, "rate")
    _rate(rate, log_rows)
    spaces["loss"].sharex(rate)
    spaces["loss"].tick_params(labelbottom=False)
    _dice(canvas.plain(spaces["dice"], "Validation Dice", steps), log_rows)
    canvas.save(fig, path)


def series(log_rows: Sequence[Mapping], key: str) -> tuple[np.ndarray, np.ndarray]:
    """The finite values of one key: ((n,) steps, (n,) values), float64."""
    pairs = [(r["step"], r[key]) for r in log_rows if r.get(key) is not None]
    pairs = np.array(pairs, np.float64).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return pairs[:, 0], pairs[:, 1]


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over a centred window, cut off at both ends.

    Unlike an exponential average it has no lag: a drop is drawn where it happened.
    With window 3, (1, 2, 6) becomes (1.5, 3, 4).

    Args:
        values: (n,).
        window: odd; how many values a mean spans at most.
    """
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    at = np.arange(len(values))
    low = np.maximum(at - window // 2, 0)
    high = np.minimum(at + window // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _loss(axes: Axes, rows: Sequence[Mapping]) -> None:
    steps, loss = series(rows, "loss")
    if len(loss) == 0:
        return
    axes.plot(steps, loss, color=canvas.BLUE, alpha=0.28, linewidth=0.8, label="raw")
    # A twentieth of the run, so that the curve keeps its bends at any length.
    window = max(3, len(loss) // 20) | 1
    smooth = smoothed(loss, window)
    axes.plot(steps, smooth, color=canvas.BLUE, linewidth=1.8, label="smoothed")
    if loss.min() > 0 and loss.max() > 10 * loss.min():
        axes.set_yscale("log")
    canvas.legend(axes, loc="upper right")


def _rate(axes: Axes, rows: Sequence[Mapping]) -> None:
    steps, rates = series(rows, "learning_rate")
    if len(rates):
        axes.step(steps, rates, where="post", color=canvas.MUTED, linewidth=1.4)
        axes.set_ylim(0, 1.25 * rates.max())
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        axes.yaxis.get_offset_text().set(size=8, color=canvas.MUTED)


def _dice(axes: Axes, rows: Sequence[Mapping]) -> None:
    axes.set_ylim(-0.02, 1.02)
    for key, colour in (("kidney", canvas.KIDNEY), ("tumour", canvas.TUMOUR)):
        steps, values = series(rows, key)
        if len(values):
            name = f"{key}, last {values[-1]:.3f}"
            axes.plot(steps, values, "o-", color=colour, ms=4, lw=1.6, label=name)
    best = best_row(rows)
    if best is not None:
        line = {"color": canvas.AMBER, "linewidth": 1.4, "linestyle": (0, (1, 2))}
        axes.axvline(best["step"], zorder=0, **line)
        mean = (best["kidney"] + best["tumour"]) / 2
        name = f"best mean {mean:.3f}, step {best['step']}"
        axes.plot([], [], label=name, **line)
    canvas.legend(axes, loc="best")


def best_row(rows: Sequence[Mapping]) -> Mapping | None:
    """The validating row with the highest mean of kidney and tumour Dice."""
    scored = [r for r in rows if _finite(r.get("kidney")) and _finite(r.get("tumour"))]
    return max(scored, key=lambda r: r["kidney"] + r["tumour"], default=None)


def _finite(value) -> bool:
    return value is not None and bool(np.isfinite(value))


def _epochs(rows: Sequence[Mapping]) -> str:
    epochs = [r["epoch"] for r in rows if r.get("epoch") is not None]
    return f"  ({max(epochs) + 1:.0f} epochs)" if epochs else ""
