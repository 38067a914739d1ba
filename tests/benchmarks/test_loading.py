import json

import numpy as np
import pytest

from benchmarks import chart, loading, loading_ours, tell

WHAT = {
    "name": "patch",
    "shape": [16, 32, 32],
    "augmented": False,
    "workers": 2,
    "batches": 2,
}


def test_every_way_is_asked_for():
    asked = loading.asked()
    assert len(asked) == 2 * 2 * len(loading.WORKERS)
    assert {tuple(w["shape"]) for w in asked} == {loading.PATCH, loading.ROI}


def test_a_row_is_told():
    made = loading.row(WHAT, [8.0, 10.0, 12.0], [4.0, 5.0, 4.0], "")
    assert (made["samples_per_s"], made["rival_samples_per_s"]) == (10.0, 4.0)
    assert made["ratio"] == 2.5 and made["spread"] == [2.0, 3.0]
    assert made["mb_per_s"] == pytest.approx(10 * 16 * 32 * 32 * 5 / 1e6)
    assert made["gpus"] == pytest.approx(1.41)
    line = tell.loading(made)
    assert "patch 16x32x32, 2 threads: 10 samples/s" in line and "2.50 (2.00" in line
    assert len(tell.loading_cells(made)) == len(tell.LOADING_HEADER)


def test_the_plot_has_seconds_and_ratios(tmp_path):
    both = loading.row(WHAT, [8.0, 10.0], [4.0, 5.0], "")
    alone = loading.row(WHAT | {"augmented": True}, [3.0], [], "PyTorch is missing")
    waiting = {"name": "waiting", "step_s": 0.1, "share": 0.012, "not_run": ""}
    results = {"rows": [], "loading": [both, alone, waiting]}
    path = tmp_path / "bench.png"
    assert chart.draw(path, results) == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    nothing = {"rows": [], "loading": [{"name": "loading", "not_run": "no room"}]}
    assert chart.draw(path, nothing) == "not run: no row has a time"


def test_without_pytorch_ours_is_told_alone():
    made = loading.row(WHAT, [8.0], [], "PyTorch is not installed")
    assert made["ratio"] is None and "not run: PyTorch" in tell.loading(made)
    nothing = {"name": "loading", "not_run": "no room"}
    assert tell.loading(nothing) == "loading: not run: no room"
    waiting = {"name": "waiting", "step_s": 0.1, "share": 0.012, "not_run": ""}
    assert "1.2% of the time" in tell.loading(waiting)
    for row in (nothing, waiting):
        assert len(tell.loading_cells(row)) == len(tell.LOADING_HEADER)


def test_our_side_loads_from_a_cache_of_phantoms(monkeypatch, tmp_path):
    monkeypatch.setattr(loading_ours, "SPACING_MM", (12.0, 6.0, 6.0))
    side = loading_ours.Side()
    told = json.loads(json.dumps(side.prepare(str(tmp_path), 2)))["cases"]
    assert set(told) == {"patch", "region of interest"}
    image = np.load(told["patch"][0]["image"], mmap_mode="r")
    assert image.dtype == np.int16 and told["patch"][0]["box"]
    assert 0 < side.time(WHAT, 2)["seconds"] < 60
    assert 0 <= side.waiting([16, 32, 32], 0.001)["share"] <= 1
