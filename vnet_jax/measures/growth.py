"""How a volume and a diameter change from one date to another."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

from vnet_jax.errors import InputError

DAYS_A_YEAR = 365.25
#: Readers of one CT differ by this much on a small renal mass (Punnen et al., J Urol
#: 2006: 3.1 mm between readers).
READERS_MM = 3.1
#: Both intervals hold together at least this often, each holding in 90 %.
JOINT_LEVEL = 0.8


def days_between(before: str, after: str) -> int:
    """Days from one date to another, given as 2024-01-05.

    Raises:
        InputError: no dates, or not in their order.
    """
    try:
        first, second = (
            datetime.date.fromisoformat(d.strip()) for d in (before, after)
        )
    except ValueError as error:
        raise InputError(
            None, f"--dates: {error}", "write them as 2024-01-05,2025-02-01"
        ) from None
    days = (second - first).days
    if days <= 0:
        raise InputError(
            None,
            f"--dates: {after} is not after {before}",
            "give the date of BEFORE first",
        )
    return days


def change(before: float | None, after: float | None, days: int | None) -> dict:
    """What became of a number.

    Args:
        before: on the first date, None where there is none.
        after: on the second.
        days: between them, None where that is not known.

    Returns:
        {"before", "after", "change", "percent", "a_year"}; None where not defined.
    """
    both = before is not None and after is not None
    difference = after - before if both else None
    return {
        "before": before,
        "after": after,
        "change": difference,
        "percent": 100 * difference / before if both and before > 0 else None,
        "a_year": difference * DAYS_A_YEAR / days if both and days else None,
    }


def doubling_days(
    before_ml: float | None, after_ml: float | None, days: int | None
) -> float | None:
    """Time in which a volume doubles, had it grown exponentially in between.

    Returns:
        days * ln 2 / ln(after / before); None where it has not grown, or is new.
    """
    if not days or not before_ml or not after_ml or after_ml <= before_ml:
        return None
    return days * math.log(2) / math.log(after_ml / before_ml)


def within_error(change_mm: float | None, slices_mm: float) -> bool | None:
    """Whether a diameter has changed no more than two readings of one CT may differ.

    Args:
        change_mm: of the diameter.
        slices_mm: the larger distance of slices of the two CTs; no change below it can
            be told along the body.
    """
    if change_mm is None:
        return None
    return abs(change_mm) <= max(READERS_MM, slices_mm)


def interval_of_change(
    before: Mapping | None, after: Mapping | None, volume: str
) -> dict | None:
    """The interval of a change, where both summaries have one of the volume.

    Args:
        before: `intervals_ml` of the first summary.
        after: that of the second.
        volume: such as "tumour".

    Returns:
        {"low_ml", "high_ml", "level", "grown", "shrunk"}, the widest that both
        intervals allow; None where one is missing.
    """
    ends = [(facts or {}).get(volume) for facts in (before, after)]
    if None in ends:
        return None
    low, high = ends[1][0] - ends[0][1], ends[1][1] - ends[0][0]
    return {
        "low_ml": low,
        "high_ml": high,
        "level": JOINT_LEVEL,
        "grown": low > 0,
        "shrunk": high < 0,
    }
