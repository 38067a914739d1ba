"""Synthetic abdominal CTs with kidneys, tumours and cysts: the story of one case.

A patient's build and the phase of the contrast are drawn; the trunk and the spine are
set up; kidneys take their places and tumours grow on them, or come from a label map;
the other organs fill what is left, so that nothing overlaps; then the voxels are
painted, slice by slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.data import phantom_labels as given
from vnet_jax.data import phantom_masses as masses
from vnet_jax.data import phantom_trunk as trunk
from vnet_jax.data.phantom_body import empty_body, fill
from vnet_jax.data.phantom_contrast import draw_contrast
from vnet_jax.data.phantom_kidney import SIZES, TumourSizes
from vnet_jax.data.phantom_paint import Canvas, noise_level, paint
from vnet_jax.data.phantom_strata import even_draws

#: In-plane field of view at the spacing asked for, mm: 512 voxels of 0.78.
FIELD_MM = 400.0


def stream(seed: Sequence[int] | int, part: str) -> np.random.Generator:
    """The random numbers of one part of a case: a change in one leaves the others."""
    return np.random.default_rng([*np.atleast_1d(seed), *part.encode()])


def kits_grid(shape, spacing_mm) -> Grid:
    """A grid as KiTS19's files have it: axes I, P, L, origin 0."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = -np.asarray(spacing_mm, np.float64)
    affine[3, 3] = 1
    return Grid(tuple(int(n) for n in shape), affine)


def draw_case(
    seed,
    spacing_mm=(3.0, 0.78162497, 0.78162497),
    extent_mm=None,
    sizes: TumourSizes = SIZES,
):
    """Draws a patient and scans him.

    Args:
        seed: an int or a sequence of ints; the same seed gives the same voxels.
        spacing_mm: (z, y, x). The slice spacing is kept; the in-plane one is the middle
            of the 0.9 to 1.1 times from which the case's own is drawn.
        extent_mm: (z, y, x) size of a field about the kidneys' middle, at exactly
            `spacing_mm`; None draws where the scan starts and ends.
        sizes: how large tumours are.

    Returns:
        ct: (D, H, W) int16 HU; the indices grow to the feet, the back, the left.
        labels: (D, H, W) uint8, 0 background, 1 kidney with its cysts, 2 tumour.
        cysts: (D, H, W) uint8, 1 in cysts.
        grid: the place of the voxels.
        record: what was drawn, for JSON.
    """
    part = partial(stream, seed)
    even = even_draws(seed)
    build = trunk.draw_build(part("build"))
    contrast = draw_contrast(part("contrast"), even["phase"])
    axes, grid = _field_of_view(build, spacing_mm, extent_mm, part("field"))
    body = empty_body(build, axes, part)
    room, step_mm = masses.free_room(body.scene), masses.fine_step_mm(body.scene)
    pair = masses.draw_pair(room, step_mm, body.warp, build.size, part)
    grown = masses.draw_cysts(pair, room, step_mm, part("cysts"))
    grown += masses.draw_tumours(
        pair, contrast, room, step_mm, even, sizes, part("tumours")
    )
    canvas = fill(body, build, contrast, pair, grown, axes, part)
    labels, owner = canvas.labels()
    ct, noise = scan(canvas, build, part("scan"))
    cysts = np.isin(owner, _numbers(grown, "cyst")).astype(np.uint8)
    record = {"seed": _seed(seed), "noise": noise, **_drawn(build, contrast)}
    record |= _seen(grid, pair, grown, ct, labels, owner)
    return ct, labels, cysts, grid, record


def paint_labels(labels: np.ndarray, spacing_mm, seed):
    """Draws a patient around a label map, which stays as it is, and scans him.

    Args:
        labels: (D, H, W) 0, 1 kidney, 2 tumour; the indices grow to the feet, the back,
            the left.
        spacing_mm: (z, y, x).
        seed: an int or a sequence of ints.

    Returns:
        ct: (D, H, W) int16 HU.
        cysts: (D, H, W) uint8, 1 in cysts, which lie within label 1.
        record: what was drawn, for JSON.
    """
    part = partial(stream, seed)
    even = even_draws(seed)
    contrast = draw_contrast(part("contrast"), even["phase"])
    build, axes = given.fit(labels, spacing_mm, part("build"))
    body = given.widened(empty_body(build, axes, part), build, labels, axes)
    room, step_mm = masses.free_room(body.scene), masses.fine_step_mm(body.scene)
    kidneys = given.groups(labels, axes)
    pair = [given.kidney_from(labels, axes, group, step_mm) for group in kidneys]
    grown = masses.draw_cysts(pair, room, step_mm, part("cysts"), inside=True)
    cyst_count, owner = len(grown), np.zeros(labels.shape, np.uint8)
    for group, kidney in zip(kidneys, pair, strict=True):
        first, rng = len(grown) + 1, part(f"{kidney.side} tumours")
        grown += given.tumours_from(
            labels, axes, group, kidney, contrast, owner, first, even["kind"], rng
        )
    canvas = fill(body, build, contrast, pair, grown, axes, part)
    drawn = canvas.labels()[1]
    cysts = (drawn > 0) & (drawn <= cyst_count) & (labels == 1)
    owner[cysts] = drawn[cysts]
    ct, noise = scan(canvas, build, part("scan"))
    grid = kits_grid(labels.shape, spacing_mm)
    record = {"seed": _seed(seed), "noise": noise, **_drawn(build, contrast)}
    record |= _seen(grid, pair, grown, ct, labels, owner)
    return ct, cysts.astype(np.uint8), record


def _seed(seed) -> list[int]:
    return [int(s) for s in np.atleast_1d(seed)]


def _field_of_view(build, spacing_mm, extent_mm, rng):
    """Places of the voxels in patient mm, three axes, and their grid."""
    spacing = np.array(spacing_mm, np.float64)
    start, end = rng.uniform(-160, -85), rng.uniform(105, 185)
    if rng.random() < 0.06:  # a scan whose first slice cuts the kidneys
        start = rng.uniform(-50, -30)
    off = rng.normal(0, 6, 2)
    if extent_mm is None:
        flat = max(round(FIELD_MM / spacing[1] / 16) * 16, 16)
        wide = build.width_mm * rng.uniform(1.03, 1.15) / (flat * spacing[1])
        spacing[1:] *= np.clip(wide, 0.9, 1.1)
        shape = np.array([round((end - start) / spacing[0]), flat, flat])
        centre = ((start + end) / 2, build.middle_mm + off[0], off[1])
    else:
        shape = np.maximum(np.rint(np.divide(extent_mm, spacing)), 2).astype(int)
        centre = (0.0, build.middle_mm, 0.0)
    axes = [
        c + s * (np.arange(n) - (n - 1) / 2)
        for c, s, n in zip(centre, spacing, shape, strict=True)
    ]
    return axes, kits_grid(shape, spacing)


def scan(canvas: Canvas, build, rng) -> tuple[np.ndarray, dict]:
    """Paints the CT with the noise of a scan of this body; says how noisy it is."""
    sigma_hu = float(rng.uniform(8, 16) * (build.width_mm / 330) ** 1.5)
    half = (0.36 * build.width_mm, 0.5 * build.width_mm)
    level = noise_level(canvas.y_mm, canvas.x_mm, sigma_hu, build.middle_mm, half)
    circle = bool(rng.random() < 0.7)
    ct = paint(canvas, level, circle, rng)
    return ct, {"sigma_hu": round(sigma_hu, 2), "circle": circle}


def _numbers(grown, role: str) -> list[int]:
    """The numbers, from 1, of the masses of a role."""
    return [k for k, m in enumerate(grown, 1) if m.layers[0].role == role]


def _drawn(build, contrast) -> dict:
    """What was drawn, for `case.json`."""
    return {
        "synthetic": True,
        "contrast_phase": contrast.phase,
        "organs_hu": _rounded(contrast.hu),
        "build": _rounded(vars(build) | {"width_mm": build.width_mm}),
    }


def _seen(grid, pair, grown, ct, labels, owner) -> dict:
    """What of the kidneys and masses is in the picture, for `case.json`.

    `owner` (D, H, W) has the number of the mass at each voxel, from 1 in the order of
    `grown`, 0 elsewhere.
    """
    masses_at = np.flatnonzero(owner)
    numbers = owner.ravel()[masses_at]
    voxels = np.bincount(numbers, minlength=len(grown) + 1)
    sums = np.bincount(numbers, ct.ravel()[masses_at], minlength=len(grown) + 1)

    def those(role):
        return [
            {
                "volume_ml": round(float(voxels[k]) * grid.voxel_ml, 3),
                "mean_hu": round(float(sums[k] / voxels[k]), 1),
                **_rounded(grown[k - 1].facts),
            }
            for k in _numbers(grown, role)
            if voxels[k]
        ]

    kidney_ml = float((labels == 1).sum()) * grid.voxel_ml
    return {
        "spacing_mm": list(grid.spacing_mm),
        "shape": list(grid.shape),
        "kidneys": [kidney.side for kidney in pair],
        "kidney_ml": round(kidney_ml, 2),
        "tumours": those("tumour"),
        "cysts": those("cyst"),
    }


def _rounded(facts: dict) -> dict:
    def short(value):
        if isinstance(value, list):
            return [round(v, 1) for v in value]
        return round(value, 2) if isinstance(value, float) else value

    return {name: short(value) for name, value in facts.items()}
