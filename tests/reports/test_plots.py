import gc

import matplotlib.image
import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.figure import Figure

from vnet_jax.reports import canvas, plots

NAMES = dict(title="t", xlabel="x")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, to look at what is in them."""
    figures, save = [], canvas.save
    monkeypatch.setattr(
        canvas, "save", lambda fig, *a, **k: (figures.append(fig), save(fig, *a, **k))
    )
    return figures


def shape(path):
    return matplotlib.image.imread(path).shape


def test_histogram_counts(tmp_path, drawn):
    plots.histogram(tmp_path / "h.png", [1, 1, 3, 5], bins=[0, 2, 4, 6], **NAMES)
    axes = drawn[0].axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2, 1, 1]
    assert "median 2" in [text.get_text() for text in axes.texts]
    assert shape(tmp_path / "h.png")[1] == 6.4 * 130


def test_histogram_of_nothing_says_so(tmp_path, drawn):
    plots.histogram(tmp_path / "h.png", [], **NAMES)
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["no values"]


def test_density_has_area_one_on_uneven_bins(tmp_path, drawn):
    counts = {"kidney": [4, 4], "tumour": [0, 0], "background": [1, 3]}
    plots.density(tmp_path / "d.png", [0, 1, 3], counts, **NAMES, markers={"10 HU": 2})
    axes = drawn[0].axes[0]
    heights = [tuple(p.get_data().values) for p in axes.patches[::2]]
    assert heights == [(0.5, 0.25), (0.25, 0.375)]  # a class without voxels is left out
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "kidney",
        "background",
    ]


def test_boxes_larger_than_the_region_are_red(tmp_path, drawn):
    plots.boxes(
        tmp_path / "b.png", [(10, 20, 30), (60, 20, 30)], (50, 50, 50), title="t"
    )
    colours = drawn[0].axes[0].collections[1].get_facecolors()  # of the dots along z
    red = matplotlib.colors.to_rgba(canvas.TUMOUR, 0.75)
    assert [tuple(c) == red for c in colours] == [False, True]
    plots.boxes(tmp_path / "none.png", [], (50, 50, 50), title="t")


def test_distribution_shows_every_case_and_names_the_worst(tmp_path, drawn):
    panels = {"Kidney": {"phase 1": [0.5, 0.7], "phase 2": [0.9, 0.8]}}
    plots.distribution(
        tmp_path / "d.png",
        panels,
        ids=["case_a", "case_b"],
        intervals={"Kidney": {"phase 2": (0.85, 0.8, 0.9)}},
    )
    axes = drawn[0].axes[0]
    dots = [
        c.get_offsets()[:, 1].tolist()
        for c in axes.collections
        if len(c.get_offsets()) == 2
    ]
    assert dots == [[0.5, 0.7], [0.9, 0.8]]
    assert [t.get_text() for t in axes.texts] == ["case_b"]
    ticks = [t.get_text() for t in axes.get_xticklabels()]
    assert ticks == ["phase 1", "phase 2\nmean 0.850"]


def test_like_values_are_spread_apart():
    offsets = plots._spread(np.full(8, 0.9), 0.3)
    assert np.abs(offsets).max() <= 0.15
    assert np.diff(np.sort(offsets)).min() > 0.01


def test_no_figure_is_left_behind(tmp_path):
    for i in range(3):
        plots.histogram(tmp_path / f"{i}.png", [1.0, 2.0], **NAMES)
    gc.collect()
    assert not _pylab_helpers.Gcf.figs
    assert not [o for o in gc.get_objects() if isinstance(o, Figure)]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "h.png"
    plots.histogram(path, [1.0], **NAMES)
    before = path.read_bytes()

    def half(self, file, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        plots.histogram(path, [1.0, 2.0], **NAMES)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["h.png"]
