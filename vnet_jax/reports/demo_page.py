"""The demo's page: scores, curves, pictures of good and bad cases, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

from vnet_jax.data.progress import duration
from vnet_jax.reports import pages, score_tables, tables

NOTICE = (
    "These models were trained on synthetic CTs alone and have never seen a patient. "
    "This is no medical device, and nothing on this page says how well they would do "
    "on real CTs."
)


def write(
    path: str | PathLike,
    scores: Mapping,
    curves: Mapping[str, str | PathLike],
    pictures: Mapping[str, str | PathLike],
    *,
    timings_s: Mapping[str, float],
    hardware: Mapping[str, str],
    versions: Mapping[str, str],
    distribution: str | PathLike | None = None,
    settings: Mapping[str, str] | None = None,
    all_cases: str = "",
) -> None:
    """Writes the page, whole or not at all; it needs no other file afterwards.

    Args:
        path: `report.html`.
        scores: the content of an evaluation's scores.json (`Report.as_dict()`).
        curves: phase -> PNG of its training curves.
        pictures: case id -> PNG; the best case and the worst are shown, the others
            fold out.
        timings_s: step -> seconds, in order; their sum is shown too.
        hardware: what it ran on.
        versions: of the software.
        distribution: PNG of the Dice of each case.
        settings: anything else that a reader should know, such as numbers of cases.
        all_cases: link to the page on which each case can be looked through.
    """
    cases = sorted(scores["cases"], key=_mean, reverse=True)
    count = len(cases)
    lead = (
        "A two-phase V-Net finds kidneys and kidney tumours in CT: phase 1 looks at "
        "the whole volume and places a box, phase 2 segments inside it. Trained just "
        f"now, on synthetic CTs, and scored on {count} that it never saw."
    )
    pages.write(
        path,
        "vnet_jax: the demo",
        lead,
        pages.notice(NOTICE),
        _headline(scores["summary"]),
        _scores(scores["summary"], cases, distribution),
        _pictures(cases, pictures, all_cases),
        _training(curves),
        _making(timings_s, {**(settings or {}), **hardware}, versions),
    )


def headline(summary: Mapping) -> dict[str, dict[str, float]]:
    """The means that sum up the demo, as `demo/scores.json` holds them.

    Args:
        summary: `Report.summary` of an evaluation of masks with their stages.

    Returns:
        {"phase1": {"kidney", "tumour", "coverage"}, "phase2": {"kidney", "tumour"}}.

    Raises:
        KeyError: when a stage was not scored.
    """
    wanted = {
        "phase1": ("kidney", "tumour", "coverage"),
        "phase2": ("kidney", "tumour"),
    }
    return {
        phase: {key: summary[phase][key]["mean"] for key in keys}
        for phase, keys in wanted.items()
    }


def _headline(summary: Mapping) -> str:
    tiles = {}
    for phase, keys in (("phase2", ("kidney", "tumour")), ("phase1", ("coverage",))):
        for key in keys:
            value = summary.get(phase, {}).get(key)
            if value is None:
                continue
            name = "Coverage of phase 1's box" if key == "coverage" else f"{key} Dice"
            note = f"{value['low']:.3f} to {value['high']:.3f}"
            if key != "coverage" and key in summary.get("phase1", {}):
                note = f"phase 1: {summary['phase1'][key]['mean']:.3f}"
            tiles[name[0].upper() + name[1:]] = (tables.number(value["mean"]), note)
    return pages.numbers(tiles)


def _scores(summary: Mapping, cases: Sequence[Mapping], distribution) -> str:
    parts = [
        tables.as_html(*score_tables.means(summary), "Means over the held-out cases"),
        pages.paragraph(score_tables.notes("kits19")),
    ]
    if distribution is not None:
        alt = "Dice of each held-out case for kidney and tumour, stage by stage"
        parts.append(pages.figure(distribution, alt, "Each dot is a case."))
    header = ["Case", "Kidney", "Tumour", "Mean", "Tumour, ml", "True, ml", "Coverage"]
    parts.append(tables.as_html(header, [_row(case) for case in cases], "Each case"))
    return pages.section("Scores", *parts)


def _row(case: Mapping) -> list[str]:
    dice, volumes = case["phase2"], case["volumes_ml"]
    return [
        case["id"],
        *(tables.number(dice[key]) for key in ("kidney", "tumour", "mean")),
        *(tables.number(volumes[key], 1) for key in ("tumour", "true_tumour")),
        tables.number(case.get("coverage")),
    ]


def _pictures(cases: Sequence[Mapping], pictures: Mapping, all_cases: str) -> str:
    """The best case, the worst, and the rest in between; `cases` from best to worst."""
    shown = [case for case in cases if case["id"] in pictures]
    figures = [_picture(case, pictures[case["id"]]) for case in shown]
    if len(figures) > 1:
        figures[0] = _picture(shown[0], pictures[shown[0]["id"]], "The best: ")
        figures[-1] = _picture(shown[-1], pictures[shown[-1]["id"]], "The worst: ")
    between = figures[1:-1]
    parts = figures[:1] + figures[-1:] if between else figures
    if between:
        parts.append(pages.folded(f"{len(between)} cases in between", *between))
    if not parts:
        parts = [pages.paragraph("No case could be drawn.")]
    if all_cases:
        parts.insert(0, pages.link(all_cases, "Look through the cases, slice by slice"))
    return pages.section("Good and bad cases", *parts)


def _picture(case: Mapping, png, before: str = "") -> str:
    dice = case["phase2"]
    said = f"kidney {dice['kidney']:.3f}, tumour {dice['tumour']:.3f}"
    caption = f"{before}{case['id']}, Dice {said}. Solid: predicted; dashed: the truth."
    alt = f"CT of {case['id']} in three planes with contours of kidney and tumour"
    return pages.figure(png, alt, caption, "picture")


def _training(curves: Mapping) -> str:
    figures = [
        pages.figure(
            png, f"{name}: training loss, learning rate, validation Dice", name
        )
        for name, png in curves.items()
    ]
    return pages.section("Training", *figures)


def _making(timings_s: Mapping, machine: Mapping, versions: Mapping) -> str:
    times = {name: duration(seconds) for name, seconds in timings_s.items()}
    times["All together"] = duration(sum(timings_s.values()))
    return pages.section(
        "How it was made",
        "<h3>Time</h3>",
        pages.facts(times),
        "<h3>Machine and data</h3>",
        pages.facts(machine),
        "<h3>Versions</h3>",
        pages.facts(versions),
    )


def _mean(case: Mapping) -> float:
    return case["phase2"]["mean"]
