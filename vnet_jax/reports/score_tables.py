"""The tables of an evaluation: means, surfaces, volumes, detection, comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vnet_jax.reports import tables
from vnet_jax.scores.challenges import CHALLENGES
from vnet_jax.scores.detection import LEAST_IOU, LEAST_ML
from vnet_jax.scores.folder import Report

#: Key in the scores -> what people read.
STAGES = {
    "phase1": "phase 1",
    "stage1": "phase 2, stage 1",
    "phase2": "phase 2, stage 2",
}
SCORES = {
    "kidney": "Kidney",
    "kidney_and_masses": "Kidney and masses",
    "masses": "Masses",
    "tumour": "Tumour",
    "mean": "Mean",
    "kidney_alone": "Kidney alone",
}
MEASURES = {
    "dice": "Dice",
    "surface_dice": "Surface Dice",
    "hd95_mm": "HD95, mm",
    "assd_mm": "ASSD, mm",
    "volume_error_ml": "Volume error, ml",
}

#: Of "Kidney" and "Kidney alone" in words.
REGIONS = {
    "kits19": 'as KiTS19 takes it: "Kidney" is kidney and tumour together, "Kidney '
    'alone" is not',
    "kits21": 'of KiTS21\'s three regions; "Kidney alone" has no masses',
    "kits23": 'of KiTS23\'s three regions; "Kidney alone" has no masses',
}


@dataclass(frozen=True)
class Table:
    """Text in rows under a heading.

    Attributes:
        title: the heading.
        header: (c,) column names.
        rows: (r, c) cells.
        note: what must be known to read it.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        """Heading, table and note."""
        below = f"\n{self.note}\n" if self.note else ""
        return f"## {self.title}\n\n{tables.markdown(self.header, self.rows)}{below}"

    def latex(self) -> str:
        """The table with heading and note as its caption."""
        caption = f"{self.title}. {self.note}" if self.note else f"{self.title}."
        return tables.latex(self.header, self.rows, caption)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "title": self.title,
            "header": self.header,
            "rows": self.rows,
            "note": self.note,
        }


def notes(challenge: str) -> str:
    """What the table of means shows, as a line of text.

    Args:
        challenge: a name in `CHALLENGES`.
    """
    return (
        f"Dice {REGIONS[challenge]}; two empty masks score 1, one empty mask 0. Means "
        "over the cases; in parentheses the 95 % percentile bootstrap interval. Stage "
        "2 is the mask as delivered, after post-processing. Coverage is the share of "
        "the true foreground inside phase 1's box.\n"
    )


def all_tables(report: Report) -> list[Table]:
    """Every table there are scores for, in the order of reading."""
    summary = report.summary
    made = [Table("Means", *means(summary, report.challenge))] if summary else []
    made += _paper(summary) if report.challenge == "kits19" else []
    parts: dict[str, Callable] = {
        "surface": _surfaces,
        "volumes": _volumes,
        "detection": _detection,
    }
    made += [table(report) for key, table in parts.items() if key in summary]
    return made + ([_comparison(report)] if report.comparison else [])


def means(
    summary: dict, challenge: str = "kits19"
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of means, one row a stage.

    Args:
        summary: `Report.summary`.
        challenge: a name in `CHALLENGES`.
    """
    keys = CHALLENGES[challenge].overlaps
    header = ["Stage", *(SCORES[key] for key in keys), "Coverage", "Cases"]
    rows = []
    for stage, name in STAGES.items():
        if scores := summary.get(stage):
            count = str(next(iter(scores.values()))["n"])
            cells = (tables.interval(scores.get(k)) for k in (*keys, "coverage"))
            rows.append([name, *cells, count])
    return header, rows


def _paper(summary: dict) -> list[Table]:
    """Tables 1 and 2 as the paper prints them, as far as there are scores for them."""
    header = ["Kidney", "Tumor", "Mean"]
    made = []
    if "kidney" in summary.get("phase1", {}):
        title = "Table 1. Dice of kidney and kidney tumor in the first phase"
        row = ["Dice", *_digits(summary["phase1"])]
        made.append(Table(title, ["Organ", *header], [row]))
    stages = [("stage 1", "stage1"), ("stage 2", "phase2")]
    rows = [[name, *_digits(summary[key])] for name, key in stages if key in summary]
    if rows:
        title = "Table 2. Dice of kidney and kidney tumor in the second phase"
        made.append(Table(title, ["Stage \\ Organ", *header], rows))
    return made


def _digits(scores: dict) -> list[str]:
    keys = ("kidney", "tumour", "mean")
    return [tables.number(scores[key]["mean"]) for key in keys]


def _surfaces(report: Report) -> Table:
    tolerances = CHALLENGES[report.challenge].tolerances_mm
    rows = [
        [
            SCORES[name],
            tables.number(tolerances[name], 4),
            tables.interval(measures["surface_dice"]),
            *(tables.interval(measures[key], 2) for key in ("hd95_mm", "assd_mm")),
            str((measures["hd95_mm"] or {"n": 0})["n"]),
        ]
        for name, measures in report.summary["surface"].items()
    ]
    return Table(
        "Surface distances",
        [
            "Region",
            "Tolerance, mm",
            "Surface Dice",
            "HD95, mm",
            "ASSD, mm",
            "Distances",
        ],
        rows,
        "By surface element, weighed with its area (Nikolov et al., 2018). Beside one "
        "empty mask surface Dice is 0 and no distance is defined: the last column "
        f"counts the cases with distances, of {len(report.cases)}. Two empty masks "
        "score 1, 0 mm and 0 mm.",
    )


def _volumes(report: Report) -> Table:
    rows = [
        [
            SCORES[name],
            tables.interval(found["bias_ml"], 1),
            tables.span(found["limits_ml"], 1),
            tables.interval(found["absolute_ml"], 1),
            tables.interval(found["absolute_percent"], 1),
            str(found["bias_ml"]["n"]),
        ]
        for name, found in report.summary["volumes"].items()
    ]
    return Table(
        "Volumes",
        ["Region", "Bias, ml", "Limits, ml", "Error, ml", "Error, %", "Cases"],
        rows,
        "Bias: predicted less true. Limits of agreement: bias -+ 1.96 standard "
        "deviations (Bland and Altman, 1986). Error: the difference without its sign, "
        "in % over the cases that have the region.",
    )


def _detection(report: Report) -> Table:
    rows = [
        [
            size,
            str(found["lesions"]),
            str(found["found"]),
            tables.interval(found["sensitivity"]),
            str(found["false_positives"]),
            tables.interval(found["false_positives_per_case"]),
        ]
        for size, found in report.summary["detection"].items()
    ]
    return Table(
        "Tumours found",
        ["Diameter", "Tumours", "Found", "Sensitivity", "False", "False a case"],
        rows,
        f"26-connected components from {LEAST_ML} ml on, paired one to one where their "
        f"intersection over union is at least {LEAST_IOU}. Diameter of a ball of the "
        "tumour's volume. Intervals: bootstrap over cases.",
    )


def _comparison(report: Report) -> Table:
    rows = []
    for score, test in report.comparison["tests"].items():
        measure, region = score.split(" ")
        name = f"{MEASURES[measure]}, {SCORES[region].lower()}"
        digits = 2 if measure.endswith(("_mm", "_ml")) else 3
        rows.append(
            [
                name,
                tables.number(test["first"], digits),
                tables.number(test["second"], digits),
                tables.interval(test["difference"], digits),
                f"{test['higher']} / {test['equal']} / {test['lower']}",
                tables.p_value(test["p"]),
                tables.p_value(test["p_holm"]),
                str(test["n"]),
            ]
        )
    return Table(
        f"Compared with {report.comparison['with']}",
        [
            *("Score", "This", "Other", "Difference", "Higher / equal / lower"),
            *("p", "p, Holm", "Cases"),
        ],
        rows,
        "Difference: this less the other, on the cases both have; interval: paired "
        "bootstrap. p: two-sided sign-flip permutation test of the mean difference, "
        "also adjusted for all the tests of this table (Holm, 1979). Of distances and "
        "errors less is better.",
    )
