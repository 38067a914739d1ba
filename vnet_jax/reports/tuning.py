"""What tuning found, as text: scores by how they were chosen, coverage, the flag."""

from __future__ import annotations

from collections.abc import Mapping

from vnet_jax.reports import tables

ROWS = {
    "none": "no post-processing",
    "paper": "the paper's thresholds",
    "tuned": "tuned",
    "tuned_cross_fitted": "tuned",
}
NOTES = """\
Dice as KiTS19 takes it, means over the cases with 95 % bootstrap intervals. "same
cases": the thresholds were chosen on the very cases that are scored, so the score is
too good; "cross-fitted": each case is scored with what the other folds chose, and that
is the score to report.
"""
CHECKPOINTS = {
    "same cases": "The checkpoints were chosen on these cases too, their validation "
    "folds: every row is a little too good for that. bin/infer.py --newest predicts "
    "with checkpoints that nothing chose.\n",
    "nothing chosen": "The checkpoints are the newest, which no case has chosen.\n",
}
UNWEIGHED = """\
The tumour's weight stayed 1: not every case has its probabilities beside its mask, as
bin/infer.py --save_probability writes them.
"""
VOLUME_NOTES = """\
90 % intervals from out-of-fold residuals. Coverage: each case against the quantile of
the others. A dash: too few cases.
"""


def as_markdown(facts: Mapping) -> str:
    """The report of what `experiments.tuning.tune` returns."""
    header = [
        "Post-processing",
        "Thresholds chosen on",
        "Kidney",
        "Tumour",
        "Mean",
        "Cases",
    ]
    rows = [
        [name, row["chosen_on"]]
        + [tables.interval(row[score]) for score in ("kidney", "tumour", "mean")]
        + [str(row["mean"]["n"])]
        for key, name in ROWS.items()
        for row in [facts["scores"][key]]
    ]
    parts = [f"# Thresholds tuned on {facts['cases']} out-of-fold cases\n", NOTES]
    parts.append(CHECKPOINTS[facts["checkpoints_chosen_on"]])
    if facts["trained_on_synthetic"]:
        parts.append("The models were trained on synthetic CTs.\n")
    parts += [tables.markdown(header, rows), f"Chosen: {_told(facts['postprocess'])}\n"]
    if len(facts["tumour_weights_tried"]) == 1:
        parts.append(UNWEIGHED)
    return "\n".join([*parts, *_calibration(facts["calibration_report"])])


def _told(rules: Mapping) -> str:
    """The steps with the thresholds that they use."""
    units = {
        "components": ("second_share", "second at least {:g} of the first"),
        "hu": ("cyst_hu", "cysts below {:g} HU"),
        "small": ("min_tumour_ml", "tumours from {:g} ml"),
    }
    told = []
    for step in rules["steps"]:
        name, text = units.get(step, ("", ""))
        told.append(f"{step} ({text.format(rules[name])})" if name else step)
    if (weight := rules["tumour_weight"]) != 1:
        told.append(f"the tumour's probability times {weight:g}")
    return ", ".join(told) or "no post-processing"


def _calibration(report: Mapping) -> list[str]:
    if "volumes_ml" not in report:
        return [f"No calibration: {report['note']}.\n"]
    rows = [
        [
            volume,
            str(row["cases"]),
            tables.number(row["coverage_leave_one_out"]),
            tables.number(row["median_width_ml"], 1),
        ]
        for volume, row in report["volumes_ml"].items()
    ]
    header = ["Volume", "Cases", "Coverage", "Median width, ml"]
    review = report["review"]
    caught, correlation = (
        tables.number(review[key])
        for key in ("poor_flagged_leave_one_out", "rank_correlation_with_dice")
    )
    sentence = (
        f"Review: {review['rule']}; {review['poor_cases']} cases have a mean Dice "
        f"below {review['poor_dice']:g}. Each case judged by the others' limit: "
        f"{review['flagged_leave_one_out']:.3f} of all flagged, {caught} of the poor "
        f"ones. Rank correlation of confidence and Dice: {correlation}.\n"
    )
    return [VOLUME_NOTES, tables.markdown(header, rows), sentence]
