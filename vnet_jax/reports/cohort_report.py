"""A folder's page: its cases in a table that sorts and filters, and how they spread."""

from __future__ import annotations

import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from matplotlib import image

from vnet_jax.reports import case_facts, pages, pictures, tables
from vnet_jax.reports.cohort_plots import tumours_plot, volumes_plot
from vnet_jax.reports.viewer import web

THUMBNAIL_PX, QUALITY = 300, 80
#: Heading and whether a click on it sorts by number.
COLUMNS = {
    "Case": False,
    "Status": False,
    "Review": False,
    "Right kidney, ml": True,
    "Left kidney, ml": True,
    "Tumour, ml": True,
    "Tumours": True,
    "Longest, mm": True,
    "Confidence": True,
    "Remarks": False,
}


def cohort_report(path: Path, cases: Sequence[tuple[Mapping, str]]) -> None:
    """Writes the page of many cases, whole or not at all; it needs no network.

    A thumbnail is made of the PNG beside a case's own page, where there is one.

    Args:
        path: of the page, such as `report.html`.
        cases: for each case its summary (docs/summary.md) and its own page's path,
            relative to this one's folder; "" where there is none. A case that failed is
            {"case": its name, "status": "failed", "reason": why}.
    """
    path = Path(path)
    all_facts = [facts for facts, _ in cases]
    found = [facts for facts in all_facts if facts.get("volumes_ml")]
    parts = [f'<p class="small">{html.escape(case_facts.RESEARCH)}</p>']
    if any(facts.get("trained_on_synthetic") for facts in all_facts):
        parts.insert(0, pages.notice(case_facts.SYNTHETIC))
    rows = [_row(facts, link, path.parent) for facts, link in cases]
    pages.write(
        path,
        "Kidneys and tumours: all cases",
        _lead(all_facts),
        *parts,
        pages.section("Cases", _filters(all_facts), _table(rows)),
        pages.section("Distributions", f'<div class="plots">{_plots(found)}</div>'),
        style=web("cohort.css"),
        scripts=f"<script>{web('cohort.js')}</script>",
    )


def _lead(cases: Sequence[Mapping]) -> str:
    known = Counter(_status(facts) for facts in cases)
    told = [f"{count} {status}" for status, count in known.most_common()]
    review = sum(bool(case_facts.reasons(facts)) for facts in cases)
    count = f"{len(cases)} case{'s' * (len(cases) != 1)}"
    return f"{count}: {', '.join(told) or 'none'}. To review: {review}."


def _status(facts: Mapping) -> str:
    status = str(facts.get("status", "unknown"))
    return case_facts.STATUS.get(status, status.replace("_", " "))


def _filters(cases: Sequence[Mapping]) -> str:
    names = sorted({_status(facts) for facts in cases})
    options = "".join(f"<option>{html.escape(name)}</option>" for name in names)
    return f"""<form class="filters" id="filters" hidden>
<label>Search <input type="search" id="text" placeholder="name, remark"></label>
<label>Status <select id="status"><option value="">all</option>{options}
</select></label>
<label><input type="checkbox" id="review"> to review</label>
<label><input type="checkbox" id="warned"> with remarks</label>
<output id="count" aria-live="polite"></output>
</form>"""


def _table(rows: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col"{" data-number" if numeric else ""}>{html.escape(name)}</th>'
        for name, numeric in COLUMNS.items()
    )
    body = "\n".join(rows)
    return (
        f'<div class="table"><table id="cases">\n<thead><tr><td></td>{head}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(facts: Mapping, link: str, folder: Path) -> str:
    name, why = str(facts.get("case", "")), case_facts.reasons(facts)
    volumes = facts.get("volumes_ml") or {}
    longest = max((t["diameter_mm"] for t in facts.get("tumours") or ()), default=None)
    remarks = case_facts.remarks(facts)
    score = (facts.get("confidence") or {}).get("score")
    cells = [
        _text(_status(facts)),
        _text("to review" if why else ""),
        *(_number(volumes.get(f"kidney_{side}"), 0) for side in ("right", "left")),
        _number(volumes.get("tumour"), 1),
        _number(facts.get("tumour_count"), 0),
        _number(longest, 0),
        _number(score, 2),
        _text("; ".join(remarks)),
    ]
    shown = html.escape(name)
    if link:
        shown = f'<a href="{quote(link)}">{shown}</a>'
    status = html.escape(_status(facts))
    marks = f'data-status="{status}"'
    marks += " data-review" if why else ""
    marks += " data-warned" if remarks else ""
    small = _thumbnail(folder, link, name)
    return (
        f'<tr {marks}><td class="thumb">{small}</td>'
        f'<th scope="row">{shown}</th>{"".join(cells)}</tr>'
    )


def _text(text: str) -> str:
    return f'<td class="text">{html.escape(text)}</td>'


def _number(value: float | None, digits: int) -> str:
    sort = "" if value is None else f' data-value="{value:.6g}"'
    return f"<td{sort}>{tables.number(value, digits)}</td>"


def _thumbnail(folder: Path, link: str, name: str) -> str:
    """The three planes without what is written above and below them, small."""
    png = (folder / link).with_suffix(".png") if link else None
    if png is None or not png.is_file():
        return ""
    try:
        whole = image.imread(png)
    except (OSError, SyntaxError, ValueError):  # no PNG, whatever its name
        return ""
    if whole.ndim != 3:
        return ""
    picture = whole[pictures.HEAD_PX : -pictures.FOOT_PX, :, :3]
    step = max(1, picture.shape[1] // THUMBNAIL_PX)
    height, width = (n // step for n in picture.shape[:2])
    if not height or not width:
        return ""
    blocks = picture[: height * step, : width * step]
    small = blocks.reshape(height, step, width, step, 3).mean(axis=(1, 3))
    file = io.BytesIO()
    image.imsave(file, small, format="jpg", pil_kwargs={"quality": QUALITY})
    source = pages.image(file.getvalue(), "jpeg")
    alt = html.escape(f"CT of {name} in three planes")
    return f'<img alt="{alt}" width="{width}" height="{height}" src="{source}">'


def _plots(found: Sequence[Mapping]) -> str:
    if not found:
        return pages.paragraph("No case was measured.")
    return "\n".join(
        [
            pages.figure(
                volumes_plot(found),
                "Volumes of the kidneys and tumours, a dot for each case",
                "Each dot is a case; the line is the median.",
            ),
            pages.figure(
                tumours_plot(found),
                "Number of tumours of each case, and their longest diameters",
            ),
        ]
    )
