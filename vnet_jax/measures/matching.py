"""Which tumour of one date is which of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Two tumours that do not overlap may be one where their surfaces lie this near: small
#: ones, after a motion of the kidney that is known to a few mm.
NEAR_MM = 10.0
#: A tumour without a partner belongs to another where they share this much of the
#: smaller of the two.
LEAST_SHARE = 0.3


@dataclass(frozen=True)
class Group:
    """What is one tumour, as far as can be told.

    Attributes:
        before: places in the list of the first date.
        after: places in that of the second.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Matched, new, gone, split, merged, or mixed (several became several)."""
        if not self.before:
            return "new"
        if not self.after:
            return "gone"
        if len(self.before) == len(self.after) == 1:
            return "matched"
        if len(self.before) == 1:
            return "split"
        return "merged" if len(self.after) == 1 else "mixed"


def match(
    overlap_ml: np.ndarray, gap_mm: np.ndarray, before_ml, after_ml
) -> list[Group]:
    """Groups the tumours of two dates.

    Each has one partner at most, chosen so that the sum of intersections over unions is
    largest; where nothing overlaps, the nearest. What is then without a partner joins
    those it overlaps: a tumour has split, or two have merged.

    Args:
        overlap_ml: (n, m) volume that each pair shares, once the kidneys are aligned.
        gap_mm: (n, m) distance of their surfaces, 0 where they overlap; inf where they
            cannot be one (of other kidneys).
        before_ml: (n,) volumes.
        after_ml: (m,) volumes.

    Returns:
        The groups, the largest (of either date) first; each tumour is in one of them.
    """
    before_ml, after_ml = np.asarray(before_ml, float), np.asarray(after_ml, float)
    n, m = len(before_ml), len(after_ml)
    overlap = np.asarray(overlap_ml, float).reshape(n, m)
    gap = np.asarray(gap_mm, float).reshape(n, m)
    union = before_ml[:, None] + after_ml[None, :] - overlap
    near = np.clip(1 - gap / NEAR_MM, 0, 1)
    # Near is worth less than the least of overlaps that counts.
    score = np.where(overlap > 0, 0.01 + overlap / np.maximum(union, 1e-9), 0.01 * near)
    linked = np.zeros((n, m), bool)
    for i, j in zip(*linear_sum_assignment(-score), strict=True):
        linked[i, j] = score[i, j] > 0
    smaller = np.minimum(before_ml[:, None], after_ml[None, :])
    shared = overlap >= LEAST_SHARE * np.maximum(smaller, 1e-9)
    alone = ~linked.any(axis=1)[:, None] | ~linked.any(axis=0)[None, :]
    linked |= shared & alone
    groups = _grouped(linked)

    def size(group: Group) -> float:
        return max(
            before_ml[list(group.before)].sum(), after_ml[list(group.after)].sum()
        )

    return sorted(groups, key=size, reverse=True)


def _grouped(linked: np.ndarray) -> list[Group]:
    """The connected parts of who is linked with whom."""
    n, m = linked.shape
    if not n + m:
        return []
    i, j = np.nonzero(linked)
    pairs = coo_array((np.ones(len(i)), (i, j + n)), shape=(n + m, n + m))
    count, part = connected_components(pairs, directed=False)
    return [
        Group(
            tuple(np.flatnonzero(part[:n] == k).tolist()),
            tuple(np.flatnonzero(part[n:] == k).tolist()),
        )
        for k in range(count)
    ]


def balls(
    before_mm: np.ndarray, before_ml, after_mm: np.ndarray, after_ml
) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and gap of tumours of which only centre and volume are known: as balls.

    Args:
        before_mm: (n, 3) centres, already moved with the kidney.
        before_ml: (n,) volumes.
        after_mm: (m, 3) centres.
        after_ml: (m,) volumes.

    Returns:
        (n, m) ml and (n, m) mm.
    """
    r, s = (
        (6000 * np.asarray(ml, float) / np.pi) ** (1 / 3) / 2
        for ml in (before_ml, after_ml)
    )
    r, s = r[:, None], s[None, :]
    d = np.linalg.norm(
        np.reshape(before_mm, (-1, 1, 3)) - np.reshape(after_mm, (1, -1, 3)), axis=2
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        lens = (
            np.pi
            * (r + s - d) ** 2
            * (d**2 + 2 * d * (r + s) - 3 * (r - s) ** 2)
            / (12 * d)
        )
    inner = 4 / 3 * np.pi * np.minimum(r, s) ** 3
    shared = np.where(d >= r + s, 0, np.where(d <= np.abs(r - s), inner, lens))
    return shared / 1000, np.maximum(d - r - s, 0)
