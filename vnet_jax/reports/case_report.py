"""A case's page: the CT with its mask to look through, and everything known of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.reports import case_facts, pages, tables


def case_report(path: Path, volume: Volume, mask: np.ndarray, facts: Mapping) -> None:
    """Writes a case's page, whole or not at all; it needs no other file and no network.

    Args:
        path: of the page, such as `x.html`.
        volume: (D, H, W) HU, any axis order and spacing.
        mask: (D, H, W) uint8 on its grid; 1 kidney, 2 tumour, 3 cyst.
        facts: the summary (docs/summary.md); whatever it has not is not shown.

    Raises:
        ValueError: when the mask has not the CT's shape.
    """
    title = str(facts.get("case", path.stem))
    pages.write(
        path,
        title,
        "Kidneys and kidney tumours found in a CT.",
        pages.notice(case_facts.RESEARCH),
        pages.numbers(case_facts.totals(facts)),
        tables.as_html(*case_facts.volume_rows(facts)),
        tables.as_html(*case_facts.tumour_rows(facts.get("tumours") or [])),
        *case_facts.technical(facts),
    )
