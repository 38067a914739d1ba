"""The label audit's page: the cases that disagree most, with pictures of the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from vnet_jax.data.cases import Case
from vnet_jax.data.files import write_json
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.reports import comparison, pages, tables
from vnet_jax.scores.audit import largest_region

#: Version of audit.json.
VERSION = 1
LEAD = (
    "Each case was predicted by models that were not trained on it. Where prediction "
    "and label disagree most, either the model is wrong or the label is: look at these "
    "first."
)
RANKING = (
    "Ranked by 1 - the mean Dice of kidney (tumour included) and tumour, as KiTS19 "
    "takes them: 0 is agreement, 1 nothing in common. The pictures go through the "
    "largest place where the two differ, contours that are a voxel apart left aside."
)


def write(
    folder: str | PathLike,
    ranked: Sequence[Mapping],
    cases: Sequence[Case],
    predictions: str | PathLike,
    *,
    pictures: int = 20,
    notices: Mapping[str, str] | None = None,
    shown: bool = False,
) -> Path:
    """Writes audit.json (every case), audit.html and `<rank>_<id>.png` of the worst.

    Args:
        folder: made when missing.
        ranked: from `scores.audit.ranked`, with "fold".
        cases: where the CTs and labels are.
        predictions: folder of `<id>.nii.gz`.
        pictures: of how many of the worst cases to draw one.
        notices: case -> what must be said with its picture.
        shown: whether to show on stderr how far it is.

    Returns:
        The page.
    """
    folder, notices = Path(folder), notices or {}
    write_json(
        folder / "audit.json",
        {"version": VERSION, "ranking": RANKING, "cases": list(ranked)},
    )
    for old in folder.glob("*.png"):  # of another ranking
        old.unlink()
    known = {case.id: case for case in cases}
    figures, worst = [], list(ranked[:pictures])
    with Progress("audit pictures", len(worst), unit="case", shown=shown) as bar:
        for case in worst:
            notice = notices.get(case["id"], "")
            figures.append(
                _figure(folder, case, known[case["id"]], Path(predictions), notice)
            )
            bar.advance(note=case["id"])
    page = folder / "audit.html"
    pages.write(page, "Label audit", LEAD, *_sections(ranked, figures, notices))
    return page


def _sections(ranked, figures, notices) -> list[str]:
    said = [pages.notice(line) for line in sorted(set(notices.values())) if line]
    header = ["Case", "Fold", "Disagreement", "Kidney", "Tumour", "Tumour, ml"]
    header += ["Labelled, ml", "Difference, ml", "What stands out"]
    table = tables.as_html(header, [_row(case) for case in ranked], "Every case")
    return [
        *said,
        pages.section("The cases that disagree most", *figures),
        pages.section("All cases", pages.paragraph(RANKING), table),
    ]


def _row(case: Mapping) -> list[str]:
    region = case["region"]
    return [
        f"{case['rank']}. {case['id']}",
        str(case["fold"]),
        tables.number(case["disagreement"]),
        tables.number(case["dice"]["kidney"]),
        tables.number(case["dice"]["tumour"]),
        tables.number(case["prediction_ml"]["tumour"], 1),
        tables.number(case["label_ml"]["tumour"], 1),
        tables.number(region and region["ml"], 1),
        "; ".join(case["reasons"]) or tables.NOTHING,
    ]


def _figure(
    folder: Path, case: Mapping, source: Case, predictions: Path, notice
) -> str:
    """The picture of one case; a case that cannot be drawn says why instead."""
    name, dice = case["id"], case["dice"]
    png = folder / f"{case['rank']:03d}_{name}.png"
    text = f"disagreement {case['disagreement']:.3f}, Dice: kidney "
    text += f"{dice['kidney']:.3f}, tumour {dice['tumour']:.3f}"
    try:
        mask = predictions / f"{name}.nii.gz"
        comparison.draw_case(png, source, mask, text, notice, largest_region)
    except InputError as error:
        return pages.paragraph(f"{name} cannot be drawn: {error}")
    caption = f"{case['rank']}. {name} (fold {case['fold']}), {text}. "
    caption += "; ".join(case["reasons"])
    caption += ". Solid: predicted out of fold; dashed: the label."
    alt = f"CT of {name} in three planes with the contours of prediction and label"
    return pages.figure(png, alt, caption, "picture")
