"""Two rules that clean a mask, and the ledger of what they changed (paper, 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import Grid, bounding_box

BACKGROUND, KIDNEY, TUMOUR = 0, 1, 2

#: The second largest component stays when it has this share of the largest. Measured
#: on KiTS19's 210 label maps: below 1e-4 in the 4 cases with one component, at least
#: 0.105 in all others; a third component is never above 0.9 ml.
SECOND_SHARE = 0.05
#: A tumour component whose mean HU is below this is a cyst (paper, 5.2).
CYST_HU = 10.0
#: Voxels that touch by a face, an edge or a corner are connected.
CONNECTED = np.ones((3, 3, 3), bool)
#: Ledger entries a rule writes one by one; what is smaller is summed up in one more.
LEDGER_ENTRIES = 100


@dataclass(frozen=True, eq=False)
class Components:
    """The 26-connected components of a mask, largest first.

    Attributes:
        index: (d, h, w) int32 over the foreground's box: 0 outside, else the
            component's place in the arrays below plus 1.
        start: (3,) first voxel of that box in the volume.
        voxels: (n,) voxels of each component.
        mean_hu: (n,) mean of the unclipped CT in each.
        centre_vox: (n, 3) float64 centre of each in voxels of the volume.
    """

    index: np.ndarray
    start: np.ndarray
    voxels: np.ndarray
    mean_hu: np.ndarray
    centre_vox: np.ndarray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.voxels)

    def boxes(self) -> list[tuple[slice, ...]]:
        """Where each component lies in `index`; whatever follows is fast on these."""
        return ndimage.find_objects(self.index)

    @property
    def box(self) -> tuple[slice, ...]:
        """Where `index` lies in the volume."""
        return tuple(
            slice(s, s + n) for s, n in zip(self.start, self.index.shape, strict=True)
        )


def find_components(mask: np.ndarray, hu: np.ndarray | None = None) -> Components:
    """Labels the components of a mask, on the box of its foreground only.

    Args:
        mask: (D, H, W) bool.
        hu: (D, H, W) the unclipped CT; without it `mean_hu` is NaN.

    Returns:
        The components, by falling size.
    """
    box = bounding_box(mask)
    if box is None:
        none = np.zeros(0)
        index = np.zeros((1, 1, 1), np.int32)
        return Components(index, np.zeros(3, int), none, none, np.zeros((0, 3)))
    start, shape = np.array(box[0]), box[1]
    part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    index, n = ndimage.label(mask[part], CONNECTED)
    where = np.nonzero(index)
    which = index[where]
    voxels = np.bincount(which, minlength=n + 1)[1:]
    order = np.argsort(-voxels, kind="stable")

    def mean(values) -> np.ndarray:
        return (np.bincount(which, values, n + 1)[1:] / voxels)[order]

    rank = np.zeros(n + 1, np.int32)
    rank[order + 1] = np.arange(1, n + 1)
    centre = np.stack([mean(at) for at in where], axis=1) + start
    mean_hu = np.full(n, np.nan) if hu is None else mean(hu[part][where])
    return Components(rank[index], start, voxels[order], mean_hu, centre)


def largest(components: Components, second_share: float = SECOND_SHARE) -> int:
    """How many of the components are kidneys: 0, 1 or 2.

    Args:
        components: of the labels > 0.
        second_share: the second stays with at least this share of the first.
    """
    if len(components) < 2:
        return len(components)
    return 1 + int(components.voxels[1] >= second_share * components.voxels[0])


def keep_largest(
    mask: np.ndarray,
    hu: np.ndarray | None,
    grid: Grid,
    second_share: float = SECOND_SHARE,
) -> tuple[np.ndarray, list[dict]]:
    """Keeps the one or two largest components of the labels > 0.

    A tumour counts with its kidney: KiTS19 has cases with several tumours, so the rule
    never looks at the tumour alone.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT, for the ledger; None where there is none.
        grid: where the voxels are.
        second_share: the second stays with at least this share of the first.

    Returns:
        A new mask, and the ledger of what was removed.
    """
    found = find_components(mask > 0, hu)
    kept = largest(found, second_share)
    out = mask.copy()
    out[found.box][found.index > kept] = BACKGROUND
    removed = np.arange(kept, len(found))
    part, boxes = mask[found.box], found.boxes()
    labels = [
        np.unique(part[boxes[i]][found.index[boxes[i]] == i + 1]).tolist()
        for i in removed[:LEDGER_ENTRIES]
    ]
    rule = "largest_components"
    return out, _ledger(rule, found, removed, grid, labels, BACKGROUND)


def filter_cysts(
    mask: np.ndarray, hu: np.ndarray, grid: Grid, cyst_hu: float = CYST_HU
) -> tuple[np.ndarray, list[dict]]:
    """Relabels tumour components of the density of water as kidney.

    KiTS labels cysts as kidney, so a cyst taken for a tumour is kidney, not nothing.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        cyst_hu: components with a mean below this are cysts.

    Returns:
        A new mask, and the ledger of what was relabelled.
    """
    found = find_components(mask == TUMOUR, hu)
    cysts = np.flatnonzero(found.mean_hu < cyst_hu)
    out = mask.copy()
    if len(cysts):
        out[found.box][np.isin(found.index, cysts + 1)] = KIDNEY
    labels = [[TUMOUR]] * len(cysts)
    return out, _ledger("hu_filter", found, cysts, grid, labels, KIDNEY)


def clean(
    mask: np.ndarray,
    hu: np.ndarray,
    grid: Grid,
    second_share: float = SECOND_SHARE,
    cyst_hu: float = CYST_HU,
) -> tuple[np.ndarray, list[dict]]:
    """Both rules, components first: see `keep_largest` and `filter_cysts`.

    Args:
        mask: (D, H, W) uint8 labels; not modified.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        second_share: of the first component, for the second to stay.
        cyst_hu: mean HU below which a tumour is a cyst.

    Returns:
        A new mask, and the ledger in the order of the changes.
    """
    kept, removed = keep_largest(mask, hu, grid, second_share)
    cleaned, relabelled = filter_cysts(kept, hu, grid, cyst_hu)
    return cleaned, removed + relabelled


def _ledger(rule, found: Components, which, grid: Grid, labels, to) -> list[dict]:
    """One entry a component, and one for all beyond `LEDGER_ENTRIES`."""
    entries = [
        {
            "rule": rule,
            "components": 1,
            "ml": float(found.voxels[i] * grid.voxel_ml),
            "mean_hu": _number(found.mean_hu[i]),
            "centre_mm": grid.to_mm(found.centre_vox[i]).tolist(),
            "from": from_,
            "to": to,
        }
        for i, from_ in zip(which[:LEDGER_ENTRIES], labels, strict=False)
    ]
    rest = which[LEDGER_ENTRIES:]
    if len(rest):
        voxels = found.voxels[rest]
        entries.append(
            {
                "rule": rule,
                "components": len(rest),
                "ml": float(voxels.sum() * grid.voxel_ml),
                "mean_hu": _number(np.average(found.mean_hu[rest], weights=voxels)),
                "centre_mm": None,
                "from": None,
                "to": to,
            }
        )
    return entries


def _number(value) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)
