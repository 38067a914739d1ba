import json

import pytest

from benchmarks import compare, tell
from benchmarks.pool import Ready
from benchmarks.program import EAGER, Comparison, Program
from benchmarks.report import Report, finite
from benchmarks.rows import FIELDS, row_of

RATES = {
    "matmul": {"float32": 1e11},
    "copy": 1e10,
    "by": {"matmul": {"float32": "jax"}, "copy": "jax"},
}
MACHINE = {
    "hardware": {"Processor": "p"},
    "device": "cpu",
    "versions": {"vnet_jax": {"jax": "1"}},
    "rates": RATES,
    "date": "d",
    "command": "c",
    "load": "l",
    "huge_pages": "h",
}
CONTRACT = (
    "work net shape dtype rival ours_s rival_s ratio spread ours_peak_mb rival_peak_mb"
).split()


def row(ours=None, rival=None, times=([1.0, 1.0], [2.0, 3.0]), **settings):
    program = Program("forward", "vnet", (16, 32, 32), **settings)
    facts = {"compile_s": 1.0, "first_s": 2.0, "planned_mb": 3.0, "probe": [1.0, 2.0]}
    ours = ours or Ready(facts)
    rival = rival or Ready(facts | {"probe": [1.0, 2.5]})
    numbers = compare.Timing(*times, 10.0).numbers()
    comparison = Comparison(program, program.against(EAGER))
    return row_of(comparison, ours, rival, numbers, RATES)


def test_a_row_begins_with_the_fields_that_others_read():
    assert tuple(CONTRACT) == FIELDS == tuple(row())[: len(FIELDS)]
    written = json.loads(json.dumps(row()))
    assert [written[name] for name in CONTRACT] == [
        *("forward", "vnet", [16, 32, 32], "float32", "torch-eager"),
        *(1.0, 2.5, 2.5, [2.0, 3.0], 10.0, None),
    ]


def test_rates_and_shares_by_hand():
    made = row()
    assert made["flop"] == 11_561_369_600
    assert made["ours_flop_per_s"] == made["flop"]
    assert made["ours_share"] == pytest.approx(0.1156, abs=1e-4)
    assert made["rival_share"] == pytest.approx(made["ours_share"] / 2.5)
    assert made["difference"] == 0.2  # 0.5 of 2.5


def test_a_dtype_without_a_rate_has_no_share():
    assert row(dtype="bfloat16")["ours_share"] is None


def test_a_side_that_does_not_run_says_why():
    made = row(rival=Ready(reason="PyTorch is not installed"), times=([1.0], []))
    assert made["rival_not_run"] == "PyTorch is not installed"
    assert made["ratio"] is made["rival_s"] is made["difference"] is None
    assert "torch-eager not run: PyTorch is not installed" in tell.row(made)
    assert tell.cells(made)[3] == "not run: PyTorch is not installed"
    assert len(tell.cells(made)) == len(tell.HEADER)


def test_what_a_row_is_called():
    made = row(batch=2, devices=2, remat=True, native=True, width=8)
    expected = "vnet forward 16x32x32 float32 width 8 batch 2 on 2 remat"
    assert tell.work(made) == f"{expected} native convolutions"


def test_json_is_whole_after_each_row(tmp_path):
    report = Report(tmp_path, MACHINE)

    def rows():
        return json.loads((tmp_path / "bench.json").read_text())["rows"]

    assert rows() == []
    report.add_row(row())
    assert len(rows()) == 1
    report.add_row(row())
    assert len(rows()) == 2


def test_the_end_prints_the_tables_and_draws(tmp_path, capsys):
    report = Report(tmp_path, MACHINE)
    report.add_row(row())
    report.add_part({"part": "reading", "not_run": "nibabel is not installed"})
    report.finish()
    said = capsys.readouterr().out
    assert "| vnet forward 16x32x32 float32 | torch-eager |" in said
    assert "2.50 (2.00 to 3.00)" in said
    assert "not run: nibabel is not installed" in said
    assert (tmp_path / "bench.md").read_text() in said
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_nothing_to_draw_is_not_run(tmp_path, capsys):
    Report(tmp_path, MACHINE).finish()
    assert "plot: not run: no row has a time" in capsys.readouterr().out


def test_numbers_that_json_lacks_become_none():
    assert finite({"a": [float("nan"), 1.0], "b": (float("inf"),)}) == {
        "a": [None, 1.0],
        "b": [None],
    }
