"""The paper's Tables 1 and 2 and one table a claim, in Markdown, JSON and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from vnet_jax.data.files import whole_file, write_json
from vnet_jax.reports import canvas, tables
from vnet_jax.reports.score_tables import Table

SCORES = {"kidney": "Kidney", "tumour": "Tumour", "mean": "Mean"}
#: The paper's figures, on its own validation cases of KiTS19.
PAPER = {
    "phase1": (0.90, 0.19),
    "stage1": (0.964, 0.705),
    "phase2": (0.968, 0.75),
}


def build(facts: Mapping) -> list[Table]:
    """All tables of what `comparisons.collect` found."""
    topics = list(dict.fromkeys(claim["topic"] for claim in facts["claims"]))
    found = [_table1(facts), _table2(facts)]
    found += [_claims(facts, topic) for topic in topics]
    found.append(_convergence(facts))
    if facts["cysts"]:
        found.append(_cysts(facts["cysts"]))
    found.append(_costs(facts["costs"]))
    return [*found, _durations(facts), _validations(facts)]


def write(folder: Path, facts: Mapping, notice: str) -> None:
    """Writes tables.md, tables.tex, tables.json and claims.png.

    Args:
        folder: made when missing.
        facts: of `comparisons.collect`.
        notice: what must be said of the data, or "".
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = build(facts)
    head = f"{notice}\n\n" if notice else ""
    text = head + "\n".join(table.markdown() for table in found)
    latex = "\n".join(table.latex() for table in found)
    for name, content in (("tables.md", text), ("tables.tex", latex)):
        with whole_file(folder / name) as file:
            file.write(content.encode())
    write_json(folder / "tables.json", {"notice": notice, **facts})
    draw(folder / "claims.png", facts)


def draw(path: Path, facts: Mapping) -> None:
    """Each claim's difference of Dice with its interval, tumour and kidney."""
    shown = facts["claims"]
    figure = Figure(figsize=(9, 0.9 + 0.42 * len(shown)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    places = range(len(shown), 0, -1)
    for ax, (score, colour) in zip(
        axes, (("kidney", canvas.KIDNEY), ("tumour", canvas.TUMOUR)), strict=True
    ):
        for place, claim in zip(places, shown, strict=True):
            found = claim["tests"][score]["difference"]
            ax.plot([found["low"], found["high"]], [place] * 2, color=colour, lw=2)
            ax.plot(found["mean"], place, "o", color=colour, ms=5)
        ax.axvline(0, color=canvas.MUTED, lw=1)
        ax.set_title(f"{SCORES[score]}: difference of Dice", fontsize=10)
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(list(places), [claim["text"] for claim in shown], fontsize=8)
    canvas.save(figure, path)


def _table1(facts: Mapping) -> Table:
    rows = [
        [
            "test cases, all folds",
            *_cells(facts["rows"].get("folds", {}).get("phase1")),
            _paper("phase1"),
        ],
        ["out of fold", *_cells(facts["out_of_fold"].get("phase1")), _paper("phase1")],
    ]
    header = ["Phase 1", *SCORES.values(), "Paper: kidney, tumour"]
    return Table("Table 1: phase 1", header, rows, _where(facts))


def _table2(facts: Mapping) -> Table:
    whose = {"plain": "one fold", "folds": "all folds", "all": "all"}
    rows = []
    for prefix, stage, text in (
        ("", "stage1", "stage 1"),
        ("", "phase2", "stage 2"),
        ("tuned_", "phase2", "stage 2, tuned"),
    ):
        for row, models in whose.items():
            cells = _cells(facts["rows"].get(prefix + row, {}).get(stage))
            rows.append([f"{text}, {models}", *cells, _paper(stage)])
    header = ["Phase 2", *SCORES.values(), "Paper: kidney, tumour"]
    return Table("Table 2: phase 2", header, rows, _where(facts))


def _claims(facts: Mapping, topic: str) -> Table:
    header = ["Claim"]
    header += [f"{name}: difference" for name in SCORES.values()] + ["p (mean)"]
    rows = []
    for claim in facts["claims"]:
        if claim["topic"] == topic:
            tests = claim["tests"]
            rows.append(
                [
                    claim["text"],
                    *(_difference(tests[score]) for score in SCORES),
                    tables.number(tests["mean"]["p"]),
                ]
            )
    note = (
        "Difference of Dice, first less second, with its 95 % interval (paired "
        "bootstrap); p of the sign-flip test, not adjusted for the number of claims."
    )
    return Table(topic, header, rows, note)


def _difference(test: Mapping) -> str:
    found = test["difference"]
    low, high = (f"{found[end]:+.3f}" for end in ("low", "high"))
    return f"{found['mean']:+.3f}\n({low} to {high})"


def _convergence(facts: Mapping) -> Table:
    rows = [
        [
            row["text"],
            str(row["step"]),
            str(row["epoch"]),
            tables.number(row["last"]),
            str(row["steps"]),
        ]
        for row in facts["convergence"]
    ]
    header = ["Training", "Steps to 95 %", "Epochs to 95 %"]
    header += ["Last mean Dice", "Steps in all"]
    note = "Of the validation's last mean Dice; an epoch is longer with warped cases."
    return Table("Convergence", header, rows, note)


def _cysts(facts: Mapping) -> Table:
    rows = [
        [name.removeprefix("clean_"), tables.interval(row, 2)]
        for name, row in facts["rows"].items()
    ]
    found = facts["test"]["difference"]
    note = (
        f"On the {found['n']} test cases with cysts. The HU filter after the "
        f"components changes it by {found['mean']:+.2f} ({found['low']:+.2f} to "
        f"{found['high']:+.2f})."
    )
    header = ["Post-processing", "False tumours a case"]
    return Table("Cysts taken for tumours", header, rows, note)


def _costs(costs: Mapping) -> Table:
    names = {"checkpoint": "two phases", "whole": "phase 2 over the whole CT"}
    rows = [
        [
            names[name],
            tables.number(row["work_tflop"], 2),
            tables.number(row["network_s"], 1),
            tables.number(row["case_s"], 1),
            tables.number(row["peak_gb"], 2),
        ]
        for name, row in costs.items()
    ]
    header = ["A test case", "TFLOP", "Networks, s", "In all, s", "Peak memory, GB"]
    note = (
        "One checkpoint. Medians over the test cases but the first, which compiles; "
        "memory: the most."
    )
    return Table("Computational savings", header, rows, note)


def _durations(facts: Mapping) -> Table:
    rows = []
    for kind, seconds in facts["durations"].items():
        minutes = [s / 60 for s in seconds]
        each = f"{min(minutes):.1f} to {max(minutes):.1f}" if len(minutes) > 1 else ""
        rows.append([kind, str(len(minutes)), f"{sum(minutes):.1f}", each])
    note = (
        "By each job's own clock. Side by side the whole takes less than their sum; a "
        "job that was stopped and went on counts from its last start."
    )
    return Table("What it took", ["Jobs", "Count", "Minutes", "Each"], rows, note)


def _validations(facts: Mapping) -> Table:
    rows = [
        [
            row["training"],
            str(row["step"]),
            str(row["epoch"] + 1),
            *(tables.number(row[score]) for score in SCORES),
            row["boxes"] or "",
        ]
        for row in facts["validations"]
    ]
    header = ["Training", "Steps", "Epochs", *SCORES.values(), "Boxes"]
    note = "Dice on the fold's own validation cases, without post-processing."
    return Table("Validation while they trained", header, rows, note)


def _cells(summary: Mapping | None) -> list[str]:
    return [tables.interval((summary or {}).get(score)) for score in SCORES]


def _paper(stage: str) -> str:
    return ", ".join(f"{value:g}" for value in PAPER[stage])


def _where(facts: Mapping) -> str:
    cases = facts["cases"]
    folds = ", ".join(map(str, cases["folds"]))
    return (
        f"Dice as KiTS19 takes it, mean and 95 % interval (bootstrap) over "
        f"{cases['test']} test cases; folds of {folds} cases. The paper's are of its "
        "own cases and no comparison."
    )
