"""A case's page: the CT with its mask to look through, and everything known of it."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.reports import case_facts, pages, tables
from vnet_jax.reports.ledger_pictures import ledger_pictures
from vnet_jax.reports.pictures import case_picture
from vnet_jax.reports.viewer import viewer, web

#: Changes shown with a picture, the largest; the others stand in a table.
PICTURED = 12
FOUND = "Kidneys and kidney tumours in a CT, found by two V-Nets and measured."
MEASURED = "Kidneys and kidney tumours in a CT: a mask that was given, measured."


def case_report(
    path: Path,
    volume: Volume,
    mask: np.ndarray,
    facts: Mapping,
    *,
    raw: np.ndarray | None = None,
    picture: str | PathLike | None = None,
    back: str = "",
) -> None:
    """Writes a case's page, whole or not at all; it needs no other file and no network.

    Nothing of the patient is in it but the CT around the mask and the case's name.

    Args:
        path: of the page, such as `x.html`.
        volume: (D, H, W) HU, any axis order and spacing.
        mask: (D, H, W) uint8 on its grid; 1 kidney, 2 tumour, 3 cyst.
        facts: the summary (docs/summary.md); whatever it has not is not shown.
        raw: (D, H, W) the mask before post-processing, with which the ledger gets
            pictures.
        picture: the PNG of `pictures.case_picture`; drawn where it is not given.
        back: a link to the page of all cases, relative to this one.

    Raises:
        ValueError: when a mask has not the CT's shape.
    """
    title = str(facts.get("case", path.stem))
    tumours, ledger = facts.get("tumours") or [], facts.get("ledger") or []
    order = sorted(ledger, key=lambda entry: entry["ml"], reverse=True)
    targets = {
        "tumours": [one.get("centre_mm") for one in tumours],
        "changes": [entry.get("centre_mm") for entry in order],
    }
    stage, scripts = viewer(volume, mask, targets)
    if picture is None:
        picture = _drawn(volume, mask, title, str(facts.get("notice", "")))
    pages.write(
        path,
        title,
        FOUND if any((facts.get("models") or {}).values()) else MEASURED,
        pages.link(back, "All cases") if back else "",
        *_heed(facts),
        pages.numbers(case_facts.totals(facts)),
        pages.section("Look", stage, _still(picture, title)),
        _measured(facts, tumours),
        _changes(order, volume, mask, raw),
        _trust(facts),
        _making(facts, bool(scripts)),
        style=web("case.css"),
        scripts=scripts,
    )


def _heed(facts: Mapping) -> list[str]:
    """What must be read before the numbers."""
    parts = []
    if why := case_facts.reasons(facts):
        parts.append(pages.notice(f"Please review this case: {'; '.join(why)}."))
    if facts.get("trained_on_synthetic"):
        parts.append(pages.notice(case_facts.SYNTHETIC))
    if said := case_facts.warnings(facts):
        parts += ["<h2>Warnings</h2>", pages.bullets(said)]
    return [*parts, f'<p class="small">{html.escape(case_facts.RESEARCH)}</p>']


def _drawn(volume: Volume, mask: np.ndarray, title: str, notice: str) -> bytes:
    file = io.BytesIO()
    case_picture(file, volume, mask, title=title, notice=notice)
    return file.getvalue()


def _still(picture, title: str) -> str:
    alt = f"CT of {title} in three planes with the contours of kidney and tumour"
    return f'<div class="still">{pages.figure(picture, alt, "", "picture")}</div>'


def _measured(facts: Mapping, tumours: Sequence[Mapping]) -> str:
    parts = [tables.as_html(*case_facts.volume_rows(facts), "Volumes")]
    if tumours:
        table = tables.as_html(*case_facts.tumour_rows(tumours), "Tumours")
        parts.append(f'<div id="tumours">{table}</div>')
    else:
        parts.append(pages.paragraph("No tumour was found."))
    if (rest := facts.get("tumour_count", 0) - len(tumours)) > 0:
        parts.append(pages.paragraph(f"{rest} smaller tumours are not listed."))
    if facts.get("kidney_median_hu") is not None:
        median = f"The median of the kidney is {facts['kidney_median_hu']:.0f} HU."
        parts.append(pages.paragraph(median))
    return pages.section("Measures", *parts)


def _changes(entries: Sequence[Mapping], volume, mask, raw) -> str:
    """The ledger, the largest change first."""
    if not entries:
        return ""
    pictured = entries[:PICTURED]
    images = [None] * len(pictured)
    if raw is not None:
        images = ledger_pictures(volume, mask, raw, pictured)
    cards = "".join(map(_change, pictured, images))
    parts = [
        pages.paragraph(
            "Rules that know no network changed the networks' mask here, in amber "
            "where a picture shows it."
        ),
        f'<ul class="changes" id="changes">{cards}</ul>',
    ]
    if rest := entries[PICTURED:]:
        header = ["Why", "ml", "Mean HU", "Change"]
        table = tables.as_html(header, [case_facts.ledger_row(e) for e in rest])
        parts.append(pages.folded(f"{len(rest)} smaller changes", table))
    return pages.section("What was mended", *parts)


def _change(entry: Mapping, png: bytes | None) -> str:
    why, ml, hu, change = map(html.escape, case_facts.ledger_row(entry))
    alt = f"Axial CT with the change in amber: {why}"
    shown = f'<img alt="{alt}" src="{pages.image(png)}">' if png else ""
    said = f"<b data-jump>{change}</b>{why}<br>{ml} ml, mean {hu} HU"
    return f"<li>{shown}<div>{said}</div></li>"


def _trust(facts: Mapping) -> str:
    """How sure the networks are, and whether a person should look."""
    known = case_facts.confidence(facts)
    if not known and not facts.get("review"):
        return ""
    why = case_facts.reasons(facts)
    verdict = f"To review: {'; '.join(why)}." if why else "Nothing asks for a review."
    if not (facts.get("confidence") or {}).get("calibrated"):
        verdict += " Nothing is calibrated, so there are no intervals and no limit."
    parts = [pages.paragraph(verdict)]
    if known:
        said = (
            "Confidence is how good the networks expect their own mask to be, 0 to 1. "
            "It says how sure they are, not how right."
        )
        parts += [pages.paragraph(said), pages.facts(known)]
    return pages.section("How sure", *parts)


def _making(facts: Mapping, with_viewer: bool) -> str:
    parts = case_facts.technical(facts)
    if with_viewer:
        licence = pages.preformatted(web("niivue_licence.txt"))
        parts.append(pages.folded("The viewer is NiiVue; its licence", licence))
    return pages.section("How it was made", *parts) if parts else ""
