import jax
import numpy as np
import pytest

from benchmarks import chart, flops, layers, layers_ours, tell
from benchmarks.suites import SMALL
from vnet_jax.models import winograd
from vnet_jax.models.conv import which_form

WHAT = {"shape": [4, 24, 24], "inputs": 16, "outputs": 17, "dtype": "float32"}


def test_the_layers_are_those_of_the_network():
    every = layers.of_vnet(SMALL)
    assert sum(layer["count"] for layer in every) == 16  # MONAI's table
    together = sum(layer["count"] * layers.flop(layer) for layer in every)
    assert 0.95 < together / flops.flop("forward", "vnet", SMALL) < 1
    assert every[0] == {"shape": [*SMALL], "inputs": 1, "outputs": 16, "count": 1}
    assert every[-1]["shape"] == [2, 4, 6] and every[-1]["inputs"] == 256


def test_sums_count_each_layer_as_often_as_it_is_there():
    def row(count, seconds):
        return {"count": count, "work": "forward", "seconds": seconds}

    rows = [row(2, {"used": 1.0, "planar": 3.0}), row(1, {"used": 0.5})]
    forward = layers.sums(rows)[0]
    assert forward["seconds"] == {"used": 2.5, "planar": None}


@pytest.mark.parametrize("work", layers.WORKS)
def test_every_form_computes_the_same_by_other_means(work):
    side = layers_ours.Side()
    forms = side.forms()["forms"]
    assert forms[0] == layers.USED
    assert ("onednn" in forms) == ("onednn" in which_form())
    if work != "forward":
        forms = ["planar", "planar with Winograd"]
    results = {}
    for form in forms:
        side.prepare({**WHAT, "work": work}, form)
        results[form] = np.asarray(side.calls[form]())
        assert side.time(form)["seconds"] > 0
    first = results[forms[0]]
    for result in results.values():
        np.testing.assert_allclose(result, first, atol=3e-5 * np.abs(first).max())
    sums, plain = results["planar with Winograd"], results["planar"]
    assert np.abs(sums - plain).max() > 0  # it really is another way to compute it
    assert winograd.suits((1, 4, 24, 24, 16), (5, 5, 5, 16, 17))  # and unpatched again


def test_a_table_has_a_column_a_form_and_the_sums_last():
    row = {
        **{"shape": [2, 4, 6], "inputs": 8, "outputs": 16, "count": 3},
        **{"work": "forward", "flop": 2e6, "not_run": {"torch-eager": "no PyTorch"}},
        "seconds": {"used": 0.001},
    }
    header, cells = tell.layers([row])
    assert header[-1] == "used, ms (GFLOP/s)"
    assert cells[0] == ["2x4x6, 8 to 16", "3", "forward", "1 (2)"]
    assert cells[1][2:] == ["forward", "3"]
    assert "torch-eager not run" in tell.layer(row)
    assert tell.layers([]) == (("layer", "how many", "work"), [])


@pytest.fixture(autouse=True)
def fresh():
    yield
    jax.clear_caches()


def test_the_plot_has_a_panel_a_work_and_a_dot_a_form(tmp_path, monkeypatch):
    rows = [
        {**layer, "work": work, "seconds": {"used": 0.01, "torch-eager": 0.02 * i}}
        for i, layer in enumerate(layers.of_vnet(SMALL), 1)
        for work in layers.WORKS
    ]
    drawn = []
    monkeypatch.setattr(chart.canvas, "save", lambda fig, path: drawn.append(fig))
    name = chart.draw(tmp_path / "bench.png", {"rows": [], "layers": rows})
    assert name.endswith("bench.png")
    panels = drawn[0].axes
    assert [p.get_title(loc="left") for p in panels] == [
        "Forward",
        "Input gradient",
        "Kernel gradient",
    ]
    for panel in panels:
        ours, theirs = (dots.get_offsets() for dots in panel.collections)
        assert len(ours) == len(theirs) == len(layers.of_vnet(SMALL))
        assert set(ours[:, 0]) == {10.0} and theirs[0, 0] == 20.0
