"""What a mask says: volumes, diameters, left and right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, bounding_box
from vnet_jax.inference.components import Components, find_components
from vnet_jax.inference.rules import CYST, KIDNEY, TUMOUR
from vnet_jax.measures.diameter import max_diameter_mm
from vnet_jax.measures.kidney import Kidney, look_at
from vnet_jax.measures.tumour import describe

#: Two components whose centres are further apart than this in x are the two kidneys;
#: closer ones may be two pieces of one. Kidneys lie 90 to 180 mm apart.
APART_MM = 60.0
#: A single component with at least this share of itself on either side of the midline
#: is a horseshoe kidney, cut at the midline.
FUSED_SHARE = 0.2
#: Denser than fat and lung: the body without the air around and in it.
BODY_HU = -200.0
#: Tumours listed one by one. No patient has as many; a network with random weights
#: painted 263,742 on one real-size case, whose summary would have had 52 MB.
TUMOURS = 100
#: Voxels per step in the search for the midline; the mean over 1 voxel in 64 is
#: within a fraction of a millimetre of that over all.
STRIDE = 4


def body_midline_mm(ct: Volume) -> float:
    """World x of the body's middle: the mean over all that is denser than fat.

    Args:
        ct: HU, any orientation.

    Returns:
        mm, RAS+; the volume's own middle where nothing is that dense.
    """
    body = np.argwhere(ct.array[::STRIDE, ::STRIDE, ::STRIDE] > BODY_HU)
    middle = (np.asarray(ct.grid.shape) - 1) / 2
    at = body.mean(axis=0) * STRIDE if len(body) else middle
    return float(ct.grid.to_mm(at)[0])


def split_sides(kidneys: Components, grid: Grid, midline_mm: float) -> list[np.ndarray]:
    """Which voxels belong to the left and to the right kidney.

    In RAS+ the patient's right has the larger x. Two components far apart are left and
    right of each other, wherever the picture is cut; else the midline decides.

    Args:
        kidneys: components of the labels > 0.
        grid: where the voxels are.
        midline_mm: world x of the body's middle.

    Returns:
        Two (d, h, w) bool arrays over the components' box: left, right.
    """
    x_mm = np.array([grid.to_mm(c)[0] for c in kidneys.centre_vox])
    if len(x_mm) > 1 and abs(x_mm[0] - x_mm[1]) > APART_MM:
        midline_mm = (x_mm[0] + x_mm[1]) / 2
    index = kidneys.index
    right = np.isin(index, np.flatnonzero(x_mm > midline_mm) + 1)
    if len(x_mm) == 1:
        right = _cut_if_fused(kidneys, grid, midline_mm, right)
    return [(index > 0) & ~right, right]


def _cut_if_fused(kidneys, grid, midline_mm, right) -> np.ndarray:
    voxels = np.argwhere(kidneys.index > 0)
    beyond = grid.to_mm(voxels + kidneys.start)[:, 0] > midline_mm
    if FUSED_SHARE <= beyond.mean() <= 1 - FUSED_SHARE:
        right[tuple(voxels.T)] = beyond
    return right


def volumes_ml(
    mask: np.ndarray, kidneys: Components, sides: list[np.ndarray], grid: Grid
) -> dict:
    """Volume of each kidney, without and with its tumours.

    Args:
        mask: (D, H, W) uint8 labels.
        kidneys: components of the labels > 0.
        sides: from `split_sides`.
        grid: where the voxels are.

    Returns:
        {"kidney_left", "kidney_right", "kidney_left_with_tumour",
        "kidney_right_with_tumour", "tumour"}: ml; None for a kidney that is not there.
        "with_tumour" is with cysts, too, where they are a class of their own, and then
        "cyst" is told beside them.
    """
    part = mask[kidneys.box]
    out = {}
    for name, side in zip(("left", "right"), sides, strict=True):
        there = bool(side.any())
        tissue = np.count_nonzero(part[side] == KIDNEY) * grid.voxel_ml
        whole = np.count_nonzero(side) * grid.voxel_ml
        out[f"kidney_{name}"] = float(tissue) if there else None
        out[f"kidney_{name}_with_tumour"] = float(whole) if there else None
    out["tumour"] = float(np.count_nonzero(part == TUMOUR) * grid.voxel_ml)
    if cysts := np.count_nonzero(part == CYST):
        out["cyst"] = float(cysts * grid.voxel_ml)
    return out


def look_at_kidneys(
    mask: np.ndarray, hu: np.ndarray, grid: Grid, kidneys: Components, sides
) -> dict[str, Kidney | None]:
    """The parts of each kidney that its tumours are measured against.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        kidneys: components of the labels > 0.
        sides: from `split_sides`.

    Returns:
        {"left", "right"}; None for one without parenchyma.
    """
    found = {}
    for name, side in zip(("left", "right"), sides, strict=True):
        box = bounding_box(side)
        if box is None:
            found[name] = None
            continue
        part = tuple(slice(s, s + n) for s, n in zip(*box, strict=True))
        start = kidneys.start + box[0]
        whole = tuple(slice(s, s + n) for s, n in zip(start, box[1], strict=True))
        found[name] = look_at(mask[whole] * side[part], hu[whole], start, grid)
    return found


def tumours(
    mask: np.ndarray,
    hu: np.ndarray,
    grid: Grid,
    kidneys: Components,
    sides,
    seen: Mapping[str, Kidney | None],
) -> tuple[int, list[dict]]:
    """The tumours, the largest first.

    Args:
        mask: (D, H, W) uint8 labels.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        kidneys: components of the labels > 0.
        sides: from `split_sides`.
        seen: from `look_at_kidneys`.

    Returns:
        How many there are, and of the 100 largest {"side", "ml", "diameter_mm",
        "mean_hu", "centre_mm"} and what `measures.tumour.describe` tells.
    """
    found = find_components(mask == TUMOUR, hu)
    right = np.zeros(mask.shape, bool)
    right[kidneys.box] = sides[1]
    on_right = np.bincount(found.index.ravel(), right[found.box].ravel())[1:]
    boxes, listed = found.boxes(), []
    for i in range(min(len(found), TUMOURS)):
        side = "right" if on_right[i] > found.voxels[i] / 2 else "left"
        tumour = found.index[boxes[i]] == i + 1
        start = found.start + [part.start for part in boxes[i]]
        listed.append(
            {
                "side": side,
                "ml": float(found.voxels[i] * grid.voxel_ml),
                "diameter_mm": max_diameter_mm(tumour, grid),
                "mean_hu": float(found.mean_hu[i]),
                "centre_mm": grid.to_mm(found.centre_vox[i]).tolist(),
                **describe(tumour, start, mask, seen[side], grid),
            }
        )
    return len(found), listed


def touches_border(mask: np.ndarray) -> bool:
    """Whether the foreground reaches a face of the volume: it may go on beyond.

    Args:
        mask: (D, H, W) labels.
    """
    return any(
        bool(np.take(mask, end, axis=axis).any())
        for axis in range(3)
        for end in (0, -1)
    )


def all_volumes_ml(mask: np.ndarray, ct: Volume) -> dict:
    """`volumes_ml` of one case; see `measure`."""
    kidneys = find_components(mask > 0)
    sides = split_sides(kidneys, ct.grid, body_midline_mm(ct))
    return volumes_ml(mask, kidneys, sides, ct.grid)


def measure(mask: np.ndarray, ct: Volume) -> dict:
    """All of the above for one case.

    Args:
        mask: (D, H, W) uint8 labels on the CT's grid.
        ct: the unclipped CT.

    Returns:
        {"volumes_ml", "kidneys", "tumour_count", "tumours", "kidney_median_hu"}; the
        last is None without kidney.
    """
    kidneys = find_components(mask > 0)
    midline = body_midline_mm(ct)
    sides = split_sides(kidneys, ct.grid, midline)
    tissue = ct.array[mask == KIDNEY]
    seen = look_at_kidneys(mask, ct.array, ct.grid, kidneys, sides)
    count, listed = tumours(mask, ct.array, ct.grid, kidneys, sides, seen)
    return {
        "volumes_ml": volumes_ml(mask, kidneys, sides, ct.grid),
        "kidneys": {side: one and one.as_dict() for side, one in seen.items()},
        "tumour_count": count,
        "tumours": listed,
        "kidney_median_hu": float(np.median(tissue)) if tissue.size else None,
    }
