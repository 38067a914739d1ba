import pytest

from benchmarks import scaling_model as model


def test_one_gpu_takes_what_was_measured():
    assert model.step_s(1) == model.STEP_S


def test_the_gradients_are_the_parameters():
    assert model.parameters() == pytest.approx(91.2e6, rel=0.01)  # with biases, norms
    sums_s = model.SUMS * model.WITHIN.latency_s
    gradients_s = model.step_s(4) - model.STEP_S - sums_s
    expected_s = 1.5 * 4 * model.parameters() / model.WITHIN.bandwidth
    assert gradients_s == pytest.approx(expected_s)


def test_more_gpus_cost_more_a_step_and_slabs_less():
    steps = [model.step_s(2**i) for i in range(7)]
    assert steps == sorted(steps)
    assert model.step_s(4, 4) < model.step_s(4)


def test_the_edges_of_one_layer(monkeypatch):
    """32 channels on a volume of 80 x 240 x 384: 2 x 2 columns of 80 x 240, 3 times."""
    voxels = 80 * 240 * 384
    one = model.flops.Layer(voxels, model.flops.CONV, 32, 32, voxels)
    monkeypatch.setattr(model.flops, "network", lambda net, shape: [one])
    assert model.edge_bytes() == pytest.approx(2 * 2 * 80 * 240 * 32 * 2 * 3)


def test_the_table_ends_where_it_is_told():
    rows = list(model.lines(16))
    assert [row[0] for row in rows] == ["1", "2", "4", "8", "16"]
    assert rows[-1][4] == "4 x 4" and all(len(row) == len(model.HEADER) for row in rows)
