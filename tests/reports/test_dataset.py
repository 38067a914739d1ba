import json
from html.parser import HTMLParser

import pytest

from vnet_jax.data.dataset_report import gather
from vnet_jax.errors import InputError
from vnet_jax.reports import dataset


def figures(n=3, **changes):
    """As `gather` gives them, of n cases."""
    names = [f"case_{i:05d}" for i in range(n)]
    edges = list(range(-300, 301, 10))
    facts = {
        "counts": dict(cases=n, labelled=n, test=0, synthetic=0, cached=n, refused=0),
        "spacing_mm": [3.0, 0.78162497, 0.78162497],
        "slice_spacing_mm": dict.fromkeys(names, 2.5),
        "histograms": {
            "edges_hu": edges,
            "counts": {t: [1] * 60 for t in ("all", "kidney", "tumour", "cyst")},
            "mean_hu": {"all": 0.0, "kidney": 170.0, "tumour": 80.0, "cyst": 4.0},
        },
        "boxes": {
            "roi_vox": [80, 240, 384],
            "size_vox": {name: [60, 200, 300 + i] for i, name in enumerate(names)},
            "largest_vox": [60, 200, 299 + n],
            "larger_than_roi": [],
        },
        "volumes_ml": {name: {"kidney": 300.0, "tumour": 30.0} for name in names},
        "no_foreground": [],
        "no_tumour": [],
        "cut_by_picture": [],
        "refused": [],
        "warnings": {},
    }
    return facts | changes


class Page(HTMLParser):
    """Headings, text and picture sources of a page."""

    def __init__(self, path):
        super().__init__()
        self.sources, self.words = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.sources.append(dict(attributes)["src"])

    def handle_data(self, data):
        self.words.append(data)


def test_files_of_a_report(tmp_path):
    facts = figures()
    html = dataset.write(tmp_path / "report", facts, "kits19")
    names = {"report.json", "report.html", "slices.png", "hu.png", "boxes.png"}
    assert {p.name for p in html.parent.iterdir()} == names
    assert json.loads((html.parent / "report.json").read_text()) == facts
    page = Page(html)
    assert len(page.sources) == 3
    assert all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert "Data set kits19" in page.text
    assert "kidney 170, tumour 80, cyst 4" in page.text
    assert "60 x 200 x 302" in page.text
    assert "Refused cases" not in page.text


def test_the_case_nearest_to_the_region_comes_first(tmp_path):
    page = Page(dataset.write(tmp_path, figures(7), "k"))
    rows = [word for word in page.words if word.startswith("case_0")]
    assert rows == [f"case_{i:05d}" for i in (0, 1, 2, 3, 4)]  # all at 83 % in y
    boxes = {"a": [10, 10, 10], "b": [10, 10, 400], "c": [79, 10, 10]}
    facts = figures()
    facts["boxes"] |= {"size_vox": boxes, "larger_than_roi": ["b"]}
    page = Page(dataset.write(tmp_path, facts, "k"))
    order = [word for word in page.words if word in boxes]
    assert order == ["b", "c", "a"]
    assert "foreground of 1 cases is larger than the region of interest: b" in page.text


def test_refused_cases_and_warnings_are_listed_as_text(tmp_path):
    refused = [{"path": "<b>x", "wrong": "is empty", "remedy": "get it again"}]
    facts = figures(refused=refused, warnings={"case_00001": ["image: odd"]})
    page = Page(dataset.write(tmp_path, facts, "k"))
    assert "<b>x: is empty; get it again" in page.text
    assert "case_00001: image: odd" in page.text


def test_long_lists_end_with_how_many_more(tmp_path):
    names = [f"x{i}" for i in range(dataset.SHOWN + 3)]
    page = Page(dataset.write(tmp_path, figures(cut_by_picture=names), "k"))
    assert f"x{dataset.SHOWN - 1}" in page.text
    assert f"x{dataset.SHOWN}" not in page.words
    assert "and 3 more" in page.text


def test_synthetic_cases_are_said(tmp_path):
    facts = figures()
    facts["counts"]["synthetic"] = 2
    assert "synthetic" in Page(dataset.write(tmp_path, facts, "k")).text


@pytest.mark.parametrize("refused", [[], [InputError("x.nii.gz", "is empty")]])
def test_a_data_set_of_which_nothing_is_left(tmp_path, refused):
    page = Page(dataset.write(tmp_path, gather([], [], refused), "k"))
    assert "No case has foreground" in page.text
    assert ("x.nii.gz: is empty" in page.text) == bool(refused)


def test_slices_of_common_thickness_have_bars_of_their_own():
    edges = dataset._slice_bins([0.5, 1.0, 1.25, 2.5, 5.0, 7.5])
    assert edges[0] < 0.5
    assert edges[-1] > 7.5
    bars = [int(n) for n in (edges[:, None] < [0.5, 1.0, 2.5, 3.0, 5.0]).sum(axis=0)]
    assert len(set(bars)) == 5
