import matplotlib.image
import numpy as np

from vnet_jax.reports import canvas
from vnet_jax.reports.curves import best_row, curves, series, smoothed

ROWS = [
    {"step": 1, "epoch": 0, "loss": 1.0, "learning_rate": 1e-4},
    {"step": 2, "epoch": 0, "loss": float("nan"), "learning_rate": 1e-4},
    {"step": 2, "kidney": 0.5, "tumour": 0.1, "ids": ["a"]},
    {"step": 3, "epoch": 1, "loss": 0.25, "learning_rate": 5e-5},
    {"step": 3, "kidney": 0.6, "tumour": None},
    {"step": 4, "kidney": 0.9, "tumour": 0.0, "loss": 0.2},
]


def test_series_leaves_out_what_is_no_number():
    steps, loss = series(ROWS, "loss")
    assert steps.tolist() == [1, 3, 4]
    assert loss.tolist() == [1.0, 0.25, 0.2]
    assert len(series(ROWS, "absent")[0]) == 0


def test_smoothed_by_hand():
    assert smoothed(np.array([1, 2, 6]), 3).tolist() == [1.5, 3, 4]
    assert smoothed(np.arange(5), 1).tolist() == [0, 1, 2, 3, 4]


def test_smoothed_is_the_mean_of_each_window():
    values = np.random.default_rng(0).random(50)
    direct = [values[max(0, i - 3) : i + 4].mean() for i in range(50)]
    np.testing.assert_allclose(smoothed(values, 7), direct)


def test_best_is_the_highest_mean_of_both():
    assert best_row(ROWS)["step"] == 4
    assert best_row(ROWS[:2]) is None


def test_draws_what_the_log_holds(tmp_path, monkeypatch):
    figures, save = [], canvas.save
    monkeypatch.setattr(
        canvas, "save", lambda fig, *a: (figures.append(fig), save(fig, *a))
    )
    curves(ROWS, tmp_path / "c.png", "phase 1")
    axes = {a.get_title(loc="left"): a for a in figures[0].axes}
    dice = {line.get_label(): line for line in axes["Validation Dice"].lines}
    assert dice["kidney, last 0.900"].get_ydata().tolist() == [0.5, 0.6, 0.9]
    assert dice["tumour, last 0.000"].get_ydata().tolist() == [0.1, 0.0]
    assert "best mean 0.450, step 4" in dice
    assert axes["Training loss"].lines[0].get_ydata().tolist() == [1.0, 0.25, 0.2]
    assert "2 epochs" in axes["Validation Dice"].get_xlabel()


def test_an_empty_log_and_one_step(tmp_path):
    for rows in ([], ROWS[:1]):
        curves(rows, tmp_path / "c.png")
        assert matplotlib.image.imread(tmp_path / "c.png").shape[1] == 10.5 * 130
