"""What an evaluation leaves in its folder: JSON, CSV, tables in three forms, a plot."""

from __future__ import annotations

import csv
import io
from os import PathLike
from pathlib import Path

from vnet_jax.data.files import whole_file, write_json
from vnet_jax.reports import plots
from vnet_jax.reports.score_tables import SCORES, STAGES, all_tables, notes
from vnet_jax.scores.challenges import CHALLENGES
from vnet_jax.scores.folder import Report
from vnet_jax.scores.surface import MEASURES


def write(folder: str | PathLike, report: Report) -> None:
    """Writes scores.json and .csv, tables.md, .json and .tex, and distribution.png.

    Args:
        folder: made when missing.
        report: from `scores.folder.score_folder`.
    """
    folder, made = Path(folder), all_tables(report)
    write_json(folder / "scores.json", report.as_dict())
    write_json(folder / "tables.json", {"tables": [t.as_dict() for t in made]})
    _write_text(folder / "tables.tex", "\n".join(t.latex() for t in made))
    _write_text(folder / "scores.csv", as_csv(report))
    _write_text(folder / "tables.md", as_markdown(report))
    plot = folder / "distribution.png"
    plot.unlink(missing_ok=True)  # one of other predictions must not stay behind
    if report.cases:
        distribution(plot, report)


def as_csv(report: Report) -> str:
    """One row a case: scores of each stage, coverage, volumes in ml, distances in mm.

    What a case has not leaves its cells empty. Missing and failed cases have a row with
    their status and nothing else.
    """
    challenge = CHALLENGES[report.challenge]
    scores = [(stage, key) for stage in STAGES for key in challenge.overlaps]
    volumes = [*challenge.regions, *(f"true_{name}" for name in challenge.regions)]
    surfaces = [(name, key) for name in challenge.regions for key in MEASURES]
    header = ["id", "status", *(f"{stage}_{key}" for stage, key in scores)]
    header += ["coverage", *(f"{key}_ml" for key in volumes)]
    header += [f"{name}_{key}" for name, key in surfaces]
    rows = [
        [case["id"], "scored"]
        + [case.get(stage, {}).get(key, "") for stage, key in scores]
        + [case.get("coverage", "")]
        + [f"{case['volumes_ml'][key]:.3f}" for key in volumes]
        + [case.get("surface", {}).get(name, {}).get(key, "") for name, key in surfaces]
        for case in report.cases
    ]
    empty = [""] * (len(header) - 2)
    rows += [[name, "missing", *empty] for name in report.missing]
    rows += [[case["id"], "failed", *empty] for case in report.failed]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *sorted(rows, key=_id)])
    return text.getvalue()


def _id(row: list) -> str:
    return row[0]


def as_markdown(report: Report) -> str:
    """Every table, the paper's Tables 1 and 2 among them, and what was not scored."""
    parts = [f"# Scores of {len(report.cases)} cases\n"]
    parts += [notes(report.challenge)]
    if report.chosen_on:
        parts.append(
            f"Checkpoints and thresholds were chosen on: {report.chosen_on}.\n"
        )
    parts += [table.markdown() for table in all_tables(report)]
    lists = {
        "Missing predictions": report.missing,
        "Failed": [case["reason"] for case in report.failed],
        "Predictions without a label, not scored": report.extra,
    }
    for heading, lines in lists.items():
        if lines:
            parts += [f"## {heading}\n", "".join(f"- {line}\n" for line in lines)]
    return "\n".join(parts)


def distribution(path: str | PathLike, report: Report) -> None:
    """Plots the Dice of every case, for the stages that all cases have."""
    cases = report.cases
    stages = [stage for stage in STAGES if all(stage in case for case in cases)]
    short = [STAGES[stage].replace("phase 2, ", "") for stage in stages]
    panels, intervals = {}, {}
    for key in CHALLENGES[report.challenge].regions:
        groups = zip(short, stages, strict=True)
        panels[SCORES[key]] = {n: [c[s][key] for c in cases] for n, s in groups}
        groups = zip(short, stages, strict=True)
        intervals[SCORES[key]] = {
            n: tuple(report.summary[s][key][k] for k in ("mean", "low", "high"))
            for n, s in groups
        }
    ids = [case["id"] for case in cases]
    plots.distribution(path, panels, ids=ids, intervals=intervals)


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode())
