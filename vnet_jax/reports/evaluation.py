"""What an evaluation leaves in its folder: JSON, CSV, the paper's tables, a plot."""

from __future__ import annotations

import csv
import io
from os import PathLike
from pathlib import Path

from vnet_jax.data.files import whole_file, write_json
from vnet_jax.reports import plots, tables
from vnet_jax.scores.folder import Report

#: Key in the scores -> what people read.
STAGES = {
    "phase1": "phase 1",
    "stage1": "phase 2, stage 1",
    "phase2": "phase 2, stage 2",
}
SCORES = {
    "kidney": "Kidney",
    "tumour": "Tumour",
    "mean": "Mean",
    "kidney_alone": "Kidney alone",
}

NOTES = """\
Dice as KiTS19 takes it: "Kidney" is kidney and tumour together, "Kidney alone" is not;
two empty masks score 1, one empty mask 0. Means over the cases; in parentheses the 95 %
percentile bootstrap interval. Stage 2 is the mask as delivered, after post-processing.
Coverage is the share of the true foreground inside phase 1's box.
"""


def write(folder: str | PathLike, report: Report) -> None:
    """Writes scores.json, scores.csv, tables.md and distribution.png.

    Args:
        folder: made when missing.
        report: from `scores.folder.score_folder`.
    """
    folder = Path(folder)
    write_json(folder / "scores.json", report.as_dict())
    _write_text(folder / "scores.csv", as_csv(report))
    _write_text(folder / "tables.md", as_markdown(report))
    plot = folder / "distribution.png"
    plot.unlink(missing_ok=True)  # one of other predictions must not stay behind
    if report.cases:
        distribution(plot, report)


def as_csv(report: Report) -> str:
    """One row a case: each score of each stage, coverage, volumes in ml.

    A stage or a box that a case has not leaves its cells empty. Missing and failed
    cases have a row with their status and nothing else.
    """
    scores = [(stage, key) for stage in STAGES for key in SCORES]
    volumes = ("kidney", "tumour", "true_kidney", "true_tumour")
    header = ["id", "status", *(f"{stage}_{key}" for stage, key in scores)]
    header += ["coverage", *(f"{key}_ml" for key in volumes)]
    rows = [
        [case["id"], "scored"]
        + [case.get(stage, {}).get(key, "") for stage, key in scores]
        + [case.get("coverage", "")]
        + [f"{case['volumes_ml'][key]:.3f}" for key in volumes]
        for case in report.cases
    ]
    empty = [""] * (len(header) - 2)
    rows += [[name, "missing", *empty] for name in report.missing]
    rows += [[case["id"], "failed", *empty] for case in report.failed]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *sorted(rows)])
    return text.getvalue()


def as_markdown(report: Report) -> str:
    """The means with intervals, and the paper's Tables 1 and 2 in their form."""
    parts = [f"# Scores of {len(report.cases)} cases\n", NOTES]
    if report.chosen_on:
        parts.append(
            f"Checkpoints and thresholds were chosen on: {report.chosen_on}.\n"
        )
    if report.summary:
        parts += ["## Means\n", tables.markdown(*means(report.summary))]
        parts += _paper_tables(report.summary)
    lists = {
        "Missing predictions": report.missing,
        "Failed": [case["reason"] for case in report.failed],
        "Predictions without a label, not scored": report.extra,
    }
    for heading, lines in lists.items():
        if lines:
            parts += [f"## {heading}\n", "".join(f"- {line}\n" for line in lines)]
    return "\n".join(parts)


def means(summary: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of means, one row a stage.

    Args:
        summary: `Report.summary`.
    """
    keys = (*SCORES, "coverage")
    header = ["Stage", *SCORES.values(), "Coverage", "Cases"]
    rows = []
    for stage, name in STAGES.items():
        if scores := summary.get(stage):
            count = str(next(iter(scores.values()))["n"])
            rows.append([name, *(tables.interval(scores.get(k)) for k in keys), count])
    return header, rows


def distribution(path: str | PathLike, report: Report) -> None:
    """Plots the Dice of every case, for the stages that all cases have."""
    cases = report.cases
    stages = [stage for stage in STAGES if all(stage in case for case in cases)]
    short = [STAGES[stage].replace("phase 2, ", "") for stage in stages]
    panels, intervals = {}, {}
    for key in ("kidney", "tumour"):
        groups = zip(short, stages, strict=True)
        panels[SCORES[key]] = {n: [c[s][key] for c in cases] for n, s in groups}
        groups = zip(short, stages, strict=True)
        intervals[SCORES[key]] = {
            n: tuple(report.summary[s][key][k] for k in ("mean", "low", "high"))
            for n, s in groups
        }
    ids = [case["id"] for case in cases]
    plots.distribution(path, panels, ids=ids, intervals=intervals)


def _paper_tables(summary: dict) -> list[str]:
    """Tables 1 and 2 as the paper prints them, as far as there are scores for them."""
    header = ["Kidney", "Tumor", "Mean"]
    parts = []
    if "kidney" in summary.get("phase1", {}):
        row = ["Dice", *_digits(summary["phase1"])]
        parts += [
            "## Table 1. Dice of kidney and kidney tumor in the first phase\n",
            tables.markdown(["Organ", *header], [row]),
        ]
    stages = [("stage 1", "stage1"), ("stage 2", "phase2")]
    rows = [[name, *_digits(summary[key])] for name, key in stages if key in summary]
    if rows:
        parts += [
            "## Table 2. Dice of kidney and kidney tumor in the second phase\n",
            tables.markdown(["Stage \\ Organ", *header], rows),
        ]
    return parts


def _digits(scores: dict) -> list[str]:
    keys = ("kidney", "tumour", "mean")
    return [tables.number(scores[key]["mean"]) for key in keys]


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode())
