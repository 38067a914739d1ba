import csv
import io
import json

import numpy as np
import pytest

from vnet_jax.reports import evaluation
from vnet_jax.scores.folder import Report, summarise


def dice(kidney, tumour, alone=0.5):
    mean = (kidney + tumour) / 2
    return dict(kidney=kidney, tumour=tumour, mean=mean, kidney_alone=alone)


VOLUMES = dict(kidney=300.0, tumour=20.0, true_kidney=310.0, true_tumour=25.5)


def case(name, stages=("phase1", "stage1", "phase2"), **more):
    figures = {"phase1": (0.9, 0.19), "stage1": (0.964, 0.706), "phase2": (0.968, 0.75)}
    scores = {stage: dice(*figures[stage]) for stage in stages}
    return {"id": name, **scores, "volumes_ml": VOLUMES, **more}


@pytest.fixture
def report():
    """Two cases with the paper's figures, and every kind of trouble."""
    cases = [case("case_a", coverage=1.0), case("case_b", coverage=0.5)]
    return Report(
        cases=cases,
        summary=summarise(cases, seed=0),
        missing=["case_c"],
        failed=[{"id": "case_d", "reason": "case_d.nii.gz: truncated"}],
        extra=["case_00210"],
    )


def test_the_papers_tables_in_their_form(report):
    text = evaluation.as_markdown(report)
    assert (
        "| Organ | Kidney | Tumor |  Mean |\n"
        "| ----- | -----: | ----: | ----: |\n"
        "| Dice  |  0.900 | 0.190 | 0.545 |\n" in text
    )
    assert (
        "| Stage \\ Organ | Kidney | Tumor |  Mean |\n"
        "| ------------- | -----: | ----: | ----: |\n"
        "| stage 1       |  0.964 | 0.706 | 0.835 |\n"
        "| stage 2       |  0.968 | 0.750 | 0.859 |\n" in text
    )


def test_markdown_lists_what_is_not_scored(report):
    text = evaluation.as_markdown(report)
    for line in ("- case_c", "- case_d.nii.gz: truncated", "- case_00210"):
        assert f"{line}\n" in text
    assert "0.750\n(0.500 to 1.000)" not in text  # one line a row
    assert "0.750 (0.500 to 1.000)" in text  # the coverage


def test_without_stage_masks_there_is_no_first_table():
    cases = [case("a", stages=("phase2",))]
    text = evaluation.as_markdown(Report(cases=cases, summary=summarise(cases, 0)))
    assert "Table 1" not in text
    assert "| stage 2 " in text
    assert "stage 1 " not in text.split("Table 2")[1]


def test_csv_has_a_row_for_each_case(report):
    rows = list(csv.DictReader(io.StringIO(evaluation.as_csv(report))))
    assert [(r["id"], r["status"]) for r in rows] == [
        ("case_a", "scored"),
        ("case_b", "scored"),
        ("case_c", "missing"),
        ("case_d", "failed"),
    ]
    assert float(rows[1]["stage1_tumour"]) == 0.706
    assert float(rows[1]["coverage"]) == 0.5
    assert float(rows[0]["true_tumour_ml"]) == 25.5
    assert rows[2]["phase2_kidney"] == ""


def test_csv_leaves_cells_of_absent_stages_empty():
    cases = [case("a", stages=("phase2",))]
    row = next(csv.DictReader(io.StringIO(evaluation.as_csv(Report(cases=cases)))))
    assert row["phase1_kidney"] == row["coverage"] == ""
    assert float(row["phase2_kidney"]) == 0.968


def test_writes_all_six_and_nothing_else(tmp_path, report):
    evaluation.write(tmp_path / "out", report)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "distribution.png",
        "scores.csv",
        "scores.json",
        "tables.json",
        "tables.md",
        "tables.tex",
    ]
    read = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert read == report.as_dict()
    assert read["summary"]["phase1"]["coverage"]["mean"] == 0.75


def test_the_plot_leaves_out_a_stage_that_one_case_has_not(tmp_path, monkeypatch):
    cases = [case("a"), case("b", stages=("phase2", "stage1"))]
    drawn = {}
    monkeypatch.setattr(
        evaluation.plots,
        "distribution",
        lambda path, panels, **options: drawn.update(panels=panels, **options),
    )
    report = Report(cases=cases, summary=summarise(cases, 0))
    evaluation.distribution(tmp_path / "d.png", report)
    assert list(drawn["panels"]["Kidney"]) == ["stage 1", "stage 2"]
    assert drawn["panels"]["Tumour"]["stage 2"] == [0.75, 0.75]
    np.testing.assert_allclose(drawn["intervals"]["Tumour"]["stage 1"], 0.706)


def test_no_scored_case_still_writes_the_lists_and_leaves_no_old_plot(tmp_path):
    failed = [{"id": "a", "reason": "a.nii.gz: truncated"}]
    (tmp_path / "distribution.png").write_bytes(b"of another evaluation")
    evaluation.write(tmp_path, Report(failed=failed))
    assert "truncated" in (tmp_path / "tables.md").read_text()
    assert not (tmp_path / "distribution.png").exists()
