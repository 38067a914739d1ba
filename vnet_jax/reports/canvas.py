"""One look for all figures; matplotlib without its global state.

`pyplot` keeps every figure until it is closed and is not safe in threads. A `Figure`
with its own Agg canvas is freed like any other object.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from vnet_jax.data.files import whole_file

#: Colours that stay apart for the colour-blind and in print (after Okabe and Ito).
KIDNEY = "#0f9d76"
TUMOUR = "#d1495b"
INK, MUTED, RULE = "#1d2733", "#64707d", "#dfe4e9"
BLUE, AMBER, VIOLET = "#2f6fb0", "#e09f1f", "#7d5ba6"
SERIES = (BLUE, KIDNEY, TUMOUR, AMBER, VIOLET, MUTED)


def drawable(text: str) -> str:
    """A name that is not ours, on one line; a square for what the font lacks.

    Args:
        text: of any letters, bytes that are none (surrogates) among them.
    """
    font = get_font(findfont(FontProperties()))
    letters = " ".join(text.split())
    return "".join(c if font.get_char_index(ord(c)) else "\u25a1" for c in letters)


def figure(width_in: float, height_in: float, facecolor: str = "white") -> Figure:
    """An empty figure with constrained layout and its own canvas.

    Args:
        width_in: inches.
        height_in: inches.
        facecolor: the background.
    """
    fig = Figure(figsize=(width_in, height_in), facecolor=facecolor)
    fig.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(fig)
    return fig


def plain(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    """Axes with a faint horizontal grid, two spines and small grey ticks."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    axes.set_xlabel(xlabel, color=MUTED, fontsize=9)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=9)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.tick_params(which="both", colors=MUTED, labelsize=8.5, length=0, pad=5)
    return axes


def legend(axes: Axes, **options) -> None:
    """A frameless legend in the axes' look, when there is anything to name."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        options = {"fontsize": 8.5, "labelcolor": INK, "frameon": False, **options}
        axes.legend(**options)


def save(fig: Figure, path: str | PathLike | BinaryIO, dpi: int = 130) -> None:
    """Writes the figure as PNG, whole or not at all; or into a file that is open."""
    kind = {"format": "png", "dpi": dpi, "facecolor": fig.get_facecolor()}
    if hasattr(path, "write"):
        fig.savefig(path, **kind)
        return
    with whole_file(Path(path)) as file:
        fig.savefig(file, **kind)
