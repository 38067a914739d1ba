"""Synthetic abdominal CTs with kidneys, tumours and cysts: the story of one case.

A patient's build and the phase of the contrast are drawn; the trunk and the spine are
set up; kidneys take their places and tumours grow on them; the other organs fill what
is left, so that nothing overlaps; then the voxels are painted, slice by slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.data import phantom_bones as bones
from vnet_jax.data import phantom_gut as gut
from vnet_jax.data import phantom_masses as masses_
from vnet_jax.data import phantom_organs as organs
from vnet_jax.data import phantom_trunk as trunk
from vnet_jax.data.phantom_contrast import draw_contrast
from vnet_jax.data.phantom_field import FAR_MM, Field, Space, rough
from vnet_jax.data.phantom_kidney import parenchyma_layers
from vnet_jax.data.phantom_layers import Layer, Scene
from vnet_jax.data.phantom_paint import Canvas, noise_level, paint

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


def draw_case(seed, spacing_mm=(3.0, 0.78162497, 0.78162497), extent_mm=None):
    """Draws a patient and scans him.

    Args:
        seed: an int or a sequence of ints; the same seed gives the same voxels.
        spacing_mm: (z, y, x). The slice spacing is kept; the in-plane one is the middle
            of the 0.9 to 1.1 times from which the case's own is drawn.
        extent_mm: (z, y, x) size of a field about the kidneys' middle, at exactly
            `spacing_mm`; None draws where the scan starts and ends.

    Returns:
        ct: (D, H, W) int16 HU; the indices grow to the feet, the back, the left.
        labels: (D, H, W) uint8, 0 background, 1 kidney with its cysts, 2 tumour.
        cysts: (D, H, W) uint8, 1 in cysts.
        grid: the place of the voxels.
        record: what was drawn, for JSON.
    """
    part = partial(stream, seed)
    build, contrast = trunk.draw_build(part("build")), draw_contrast(part("contrast"))
    axes, grid = _field_of_view(build, spacing_mm, extent_mm, part("field"))
    body = empty_body(build, axes, part)
    room, step_mm = masses_.free_room(body.scene), masses_.fine_step_mm(body.scene)
    pair = masses_.draw_pair(step_mm, body.warp, build.size, part)
    grown = masses_.draw_cysts(pair, room, step_mm, part("cysts"))
    grown += masses_.draw_tumours(pair, contrast, room, step_mm, part("tumours"))
    canvas = fill(body, build, contrast, pair, grown, axes, part)
    labels, owner = canvas.labels()
    ct, noise = scan(canvas, build, part("scan"))
    cysts = np.isin(owner, _numbers(grown, "cyst")).astype(np.uint8)
    facts = {"seed": [int(s) for s in np.atleast_1d(seed)], "noise": noise}
    facts |= describe(build, contrast, grid, pair, grown, ct, labels, owner)
    return ct, labels, cysts, grid, facts


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


@dataclass(frozen=True, eq=False)
class Body:
    """A trunk before its organs.

    Attributes:
        scene: where they will take their places.
        warp: the patient's own deformation, three fields in mm.
        outer: (D, H, W) distance to the outer side of the muscles, mm.
        skin: distance to the skin.
        spine: its layers.
    """

    scene: Scene
    warp: list[Field]
    outer: np.ndarray
    skin: np.ndarray
    spine: list[Layer]


def empty_body(build, axes, part) -> Body:
    """The trunk with its spine: a scene to place organs in.

    Args:
        build: the patient's.
        axes: places of the voxels, mm.
        part: name -> random numbers.

    """
    step = float(np.clip(2 * (axes[2][1] - axes[2][0]), 3.0, 5.0))
    start = [a[0] - 2 * step for a in axes]
    shape = [int(np.ceil((a[-1] - a[0]) / step)) + 5 for a in axes]
    bare = Space(start, step, shape)
    rng = part("warp")
    warp = [rough(rng, bare, 45.0, size_mm) for size_mm in (3.5, 3.5, 4.0)]
    space = Space(start, step, shape, warp)
    cavity, outer, skin = trunk.surfaces(space, build)
    scene = Scene(space, cavity, np.full(space.shape, FAR_MM, np.float32))
    low = np.array([start[0], -30 * build.size, -62 * build.size])
    high = np.array([start[0] + step * shape[0], 95 * build.size, 62 * build.size])
    fine = max(2.0, 0.66 * step)
    count = np.ceil((high - low) / fine).astype(int)
    around_spine = Space(low, fine, count, warp)
    spine = bones.paint_spine(scene, around_spine, build.size, part("spine"))
    return Body(scene, warp, outer, skin, spine)


def fill(body: Body, build, contrast, pair, grown, axes, part) -> Canvas:
    """Places all other organs around kidneys and masses; the canvas to paint on."""
    scene = body.scene
    for mass in grown:
        scene.claim_field(mass.layers[0].field)
    for kidney in pair:
        scene.claim_field(kidney.space.field(kidney.outer))
    trunk.paint_trunk(scene, body.outer, body.skin, build, part("wall"))
    trunk.paint_chest(scene, build, contrast, part("chest"))
    bones.paint_ribs(scene, build, part("ribs"))
    scene.layers.extend(body.spine)
    trunk.paint_muscles(scene, build.size, part("muscles"))
    hila = [kidney.hilum_mm for kidney in pair]
    organs.paint_vessels(scene, contrast, hila, part("vessels"))
    fat_mm = 1.0 + 7.0 * build.visceral  # about the kidneys, held by their fascia
    for kidney in pair:
        scene.claim_field(kidney.space.field(kidney.outer - fat_mm))
    organs.paint_liver(scene, build, contrast, part("liver"))
    organs.paint_spleen(scene, build, contrast, part("spleen"))
    organs.paint_pancreas(scene, contrast, part("pancreas"))
    gut.paint_stomach(scene, build, contrast, part("stomach"))
    gut.paint_colon(scene, build, contrast, part("colon"))
    gut.paint_small_bowel(scene, build, contrast, part("bowel"))
    layers = list(scene.layers)
    for kidney in pair:
        layers += parenchyma_layers(kidney, contrast, part(f"{kidney.side} inside"))
    for mass in grown:
        layers += mass.layers
    rng = part("texture")
    textures = [rough(rng, scene.space, wave_mm, 1.0) for wave_mm in (3.0, 7.0)]
    return Canvas(layers, textures, axes)


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


def describe(build, contrast, grid, pair, grown, ct, labels, owner) -> dict:
    """What was drawn and what of it is in the picture, for `case.json`.

    Args:
        build, contrast, grid, pair, grown: what was drawn.
        ct: (D, H, W) int16 HU.
        labels: (D, H, W) 0, 1, 2.
        owner: (D, H, W) number of the mass at each voxel, from 1 in the order of
            `grown`; 0 elsewhere.
    """
    voxels = np.bincount(owner.ravel(), minlength=len(grown) + 1)
    sums = np.bincount(owner.ravel(), ct.ravel(), minlength=len(grown) + 1)

    def seen(role):
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
        "synthetic": True,
        "spacing_mm": list(grid.spacing_mm),
        "shape": list(grid.shape),
        "contrast_phase": contrast.phase,
        "organs_hu": _rounded(contrast.hu),
        "build": _rounded(vars(build) | {"width_mm": build.width_mm}),
        "kidneys": [kidney.side for kidney in pair],
        "kidney_ml": round(kidney_ml, 2),
        "tumours": seen("tumour"),
        "cysts": seen("cyst"),
    }


def _rounded(facts: dict) -> dict:
    def short(value):
        if isinstance(value, list):
            return [round(v, 1) for v in value]
        return round(value, 2) if isinstance(value, float) else value

    return {name: short(value) for name, value in facts.items()}
