"""A folder's page: all of its cases in a table that sorts and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vnet_jax.reports import case_facts, pages, tables


def cohort_report(path: Path, cases: Sequence[tuple[Mapping, str]]) -> None:
    """Writes the page of many cases, whole or not at all.

    Args:
        path: of the page, such as `report.html`.
        cases: for each case its summary (docs/summary.md) and the link to its own page,
            relative to this one; "" where there is none. A case that failed is
            {"case": its name, "status": "failed", "reason": why}.
    """
    rows = [
        [str(facts.get("case", "")), case_facts.STATUS.get(facts.get("status"), "")]
        for facts, _ in cases
    ]
    table = tables.as_html(["Case", "Status"], rows)
    pages.write(path, "Cases", f"{len(cases)} cases.", table)
