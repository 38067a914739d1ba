"""Two dates of a patient: which tumour is which, and how each has grown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from vnet_jax.inference.visit import SIDES, Visit, kidney_surfaces
from vnet_jax.measures.alignment import Motion, centred, rigid
from vnet_jax.measures.growth import (
    READERS_MM,
    change,
    doubling_days,
    interval_of_change,
    within_error,
)
from vnet_jax.measures.kidney import surface_mm
from vnet_jax.measures.matching import Group, balls, match

FORMAT = 1
#: Below this many days a rate a year says little.
SHORT_DAYS = 90


def align(before: Visit, after: Visit) -> dict[str, Motion | None]:
    """The motion of each kidney; None for one that is missing on a date."""
    surfaces = [kidney_surfaces(visit) for visit in (before, after)]
    motions: dict[str, Motion | None] = {}
    for side in SIDES:
        kidneys = [visit.facts["kidneys"][side] for visit in (before, after)]
        if None in kidneys:
            motions[side] = None
            continue
        start = centred(*(kidney["centre_mm"] for kidney in kidneys))
        if all(side in found for found in surfaces):
            start = rigid(*(found[side] for found in surfaces), start)
        motions[side] = start
    return motions


def groups(
    before: Visit, after: Visit, motions: Mapping[str, Motion | None]
) -> list[Group]:
    """Which tumour is which, by side, by overlap, by distance."""
    first, second = before.facts["tumours"], after.facts["tumours"]
    shape = (len(first), len(second))
    overlap, gap = np.zeros(shape), np.full(shape, np.inf)
    for side, motion in motions.items():
        rows = [i for i, one in enumerate(first) if one["side"] == side]
        columns = [j for j, one in enumerate(second) if one["side"] == side]
        if motion is None or not rows or not columns:
            continue
        pair = _by_voxels if before.tumours and after.tumours else _as_balls
        places = np.ix_(rows, columns)
        overlap[places], gap[places] = pair(before, after, rows, columns, motion)
    return match(overlap, gap, *([t["ml"] for t in f] for f in (first, second)))


def _as_balls(before: Visit, after: Visit, rows, columns, motion: Motion):
    first = [before.facts["tumours"][i] for i in rows]
    second = [after.facts["tumours"][j] for j in columns]
    return balls(
        motion(np.array([one["centre_mm"] for one in first])),
        [one["ml"] for one in first],
        np.array([one["centre_mm"] for one in second]),
        [one["ml"] for one in second],
    )


def _by_voxels(before: Visit, after: Visit, rows, columns, motion: Motion):
    """Voxels of the first date that fall into a tumour of the second."""
    grid = after.mask.grid
    number = np.zeros(grid.shape, np.int16)
    for place, j in enumerate(columns):
        number[tuple(after.tumours[j].T)] = place + 1
    trees = [cKDTree(_surface(after, j)) for j in columns]
    overlap, gap = (
        np.zeros((len(rows), len(columns))),
        np.zeros((len(rows), len(columns))),
    )
    for row, i in enumerate(rows):
        moved = motion(before.mask.grid.to_mm(before.tumours[i]))
        at = np.rint(grid.to_index(moved)).astype(int)
        at = at[((at >= 0) & (at < grid.shape)).all(axis=1)]
        hits = np.bincount(number[tuple(at.T)], minlength=len(columns) + 1)[1:]
        overlap[row] = hits * before.mask.grid.voxel_ml
        surface = motion(_surface(before, i))
        for column, tree in enumerate(trees):
            if not hits[column]:
                gap[row, column] = tree.query(surface)[0].min()
    return overlap, gap


def _surface(visit: Visit, i: int) -> np.ndarray:
    """(n, 3) mm, the surface of a tumour."""
    voxels = visit.tumours[i]
    start = voxels.min(axis=0)
    mask = np.zeros(np.ptp(voxels, axis=0) + 1, bool)
    mask[tuple((voxels - start).T)] = True
    return surface_mm(mask, start, visit.mask.grid)


def compare(
    before: Visit, after: Visit, days: int | None
) -> tuple[dict, list[Group], dict[str, Motion | None]]:
    """What has changed from one date to the other.

    Args:
        before: the first date.
        after: the second.
        days: between them, or None.

    Returns:
        The facts, ready for JSON (`docs/measures.md` states them); the groups of
        tumours in the same order as their facts; the motion of each kidney.
    """
    motions = align(before, after)
    found = groups(before, after, motions)
    slices_mm = max(before.slices_mm, after.slices_mm)
    rows = [_tumour(g, before, after, days, slices_mm) for g in found]
    facts = {
        "format": FORMAT,
        "before": _identity(before),
        "after": _identity(after),
        "days": days,
        "notice": before.facts.get("notice") or after.facts.get("notice") or "",
        "alignment": {side: _motion(m) for side, m in motions.items()},
        "kidneys": {side: _kidney(side, before, after, days) for side in SIDES},
        "total": _total(before, after, days),
        "tumours": rows,
        "unlisted": _unlisted(before) + _unlisted(after),
        "uncertainty": _uncertainty(before, after, slices_mm),
        "warnings": [
            *before.warnings,
            *after.warnings,
            *_doubts(before, after, motions, days),
        ],
    }
    return facts, found, motions


def _identity(visit: Visit) -> dict:
    return {
        "case": visit.facts["case"],
        "path": str(visit.path),
        "status": visit.facts.get("status"),
        "input_sha256": visit.facts["input"].get("sha256"),
        "spacing_mm": visit.facts["input"]["spacing_mm"],
    }


def _motion(motion: Motion | None) -> dict | None:
    return motion and {
        "method": motion.method,
        "turn": motion.turn.tolist(),
        "shift_mm": motion.shift.tolist(),
        "degrees": motion.degrees,
        "residual_mm": motion.residual_mm,
    }


def _kidney(side: str, before: Visit, after: Visit, days: int | None) -> dict:
    """Volume of the parenchyma, and length."""
    facts = [visit.facts for visit in (before, after)]
    lengths = [f["kidneys"][side] and f["kidneys"][side]["length_mm"] for f in facts]
    return {
        "ml": change(*(f["volumes_ml"][f"kidney_{side}"] for f in facts), days),
        "length_mm": change(*lengths, days),
    }


def _total(before: Visit, after: Visit, days: int | None) -> dict:
    """All tumours together."""
    volumes = [visit.facts["volumes_ml"]["tumour"] for visit in (before, after)]
    return {
        "ml": change(*volumes, days),
        "doubling_days": doubling_days(*volumes, days),
        "count": change(*(v.facts["tumour_count"] for v in (before, after)), None),
    }


def _tumour(group: Group, before: Visit, after: Visit, days, slices_mm: float) -> dict:
    parts = [
        [visit.facts["tumours"][i] for i in places]
        for visit, places in ((before, group.before), (after, group.after))
    ]

    def sizes(name: str) -> list[float | None]:
        """A diameter of several pieces is that of none of them."""
        return [part[0][name] if len(part) == 1 else None for part in parts]

    volumes = [sum(one["ml"] for one in part) if part else None for part in parts]
    diameters = change(*sizes("diameter_mm"), days)
    axials = change(*sizes("axial_diameter_mm"), days)
    return {
        "kind": group.kind,
        "side": (parts[1] or parts[0])[0]["side"],
        "before": list(group.before),
        "after": list(group.after),
        "ml": change(*volumes, days),
        "doubling_days": doubling_days(*volumes, days),
        "diameter_mm": diameters,
        "axial_diameter_mm": axials,
        "diameter_within_error": within_error(diameters["change"], slices_mm),
        "axial_within_error": within_error(axials["change"], slices_mm),
    }


def _unlisted(visit: Visit) -> int:
    """Tumours beyond the hundred that a summary lists: they are not compared."""
    return visit.facts["tumour_count"] - len(visit.facts["tumours"])


def _uncertainty(before: Visit, after: Visit, slices_mm: float) -> dict:
    facts = [visit.facts.get("intervals_ml") for visit in (before, after)]
    names = ("kidney_left", "kidney_right", "tumour")
    found = {name: interval_of_change(*facts, name) for name in names}
    return {
        "readers_mm": READERS_MM,
        "slices_mm": slices_mm,
        "intervals_ml": found if any(found.values()) else None,
        "note": "intervals of both summaries"
        if any(found.values())
        else "no intervals: the error of the volumes is not known",
    }


def _doubts(before: Visit, after: Visit, motions, days) -> list[str]:
    doubts = []
    for visit, when in ((before, "before"), (after, "after")):
        if visit.facts.get("status") == "incomplete":
            doubts.append(
                f"{when}: the picture cuts the kidney, so sizes are too small"
            )
    if days is not None and days < SHORT_DAYS:
        doubts.append(f"{days} days: what is said a year is stretched from them")
    spacing = [visit.slices_mm for visit in (before, after)]
    if max(spacing) > 1.5 * min(spacing):
        told = " and ".join(f"{s:.1f}" for s in spacing)
        doubts.append(f"slices of {told} mm: part of a change may be theirs")
    for side, motion in motions.items():
        there = [visit.facts["kidneys"][side] for visit in (before, after)]
        if motion is None and any(there):
            told = "before" if there[1] is None else "after"
            doubts.append(f"kidney {side}: only {told}, its tumours are not matched")
        elif motion is not None and motion.method == "centres":
            doubts.append(f"kidney {side}: aligned by its centre alone")
    return doubts


def places(
    visit: Visit, other: Visit, group: Group, second: bool, motion: Motion | None
) -> np.ndarray | None:
    """Where to look for a group on one date: at it, or where it would be.

    Args:
        visit: the date to look at.
        other: the other one.
        group: of tumours.
        second: whether `visit` is the second date.
        motion: of the kidney.

    Returns:
        (3,) mm; None where nobody knows.
    """
    own, theirs = (group.after, group.before) if second else (group.before, group.after)
    if own:
        return _centre(visit, own)
    if motion is None:
        return None
    return (motion if second else motion.back)(_centre(other, theirs))


def _centre(visit: Visit, which: Sequence[int]) -> np.ndarray:
    parts = [visit.facts["tumours"][i] for i in which]
    return np.average(
        [one["centre_mm"] for one in parts],
        axis=0,
        weights=[one["ml"] for one in parts],
    )
