"""Vessels, liver, spleen and pancreas of the phantom."""

from __future__ import annotations

import numpy as np

from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import (
    capsule,
    ellipsoid,
    smooth_line,
    stamp_tube,
    united,
)
from vnet_jax.data.phantom_layers import Coat, Scene
from vnet_jax.data.phantom_trunk import Build, diaphragm_z, spine_y

#: Courses in atlas mm (z, y, x); y counts from the spine's line.
AORTA = ((-200, -20, 20), (-90, -22, 15), (-30, -29, 10), (30, -30, 8), (72, -27, 4))
CAVA = ((-125, -38, -27), (-60, -32, -24), (0, -25, -22), (75, -22, -17))
MESENTERIC = ((-34, -38, 9), (-22, -52, 10), (10, -58, 6), (60, -60, -8))
PORTAL = ((60, -60, -18), (10, -58, -8), (-18, -50, -10), (-45, -52, -38))
SPLENIC = ((-18, -50, -8), (-26, -44, 20), (-44, -22, 52), (-62, 2, 82))
PANCREAS = (
    (6, -46, -32),
    (-12, -54, -18),
    (-26, -56, 12),
    (-42, -32, 48),
    (-58, 0, 78),
)


def _behind(points) -> np.ndarray:
    """A smooth course; y counts from the spine's line."""
    line = np.array(points, np.float64)
    line[:, 1] += spine_y(line[:, 0])
    return smooth_line(line)


def paint_vessels(scene: Scene, contrast: Contrast, hila, rng) -> None:
    """Aorta with plaques, vena cava, iliac, renal and mesenteric vessels.

    Args:
        scene: the body so far.
        contrast: HU of arteries and veins.
        hila: (z, y, x) of each kidney's hilum, atlas mm.
        rng: draws the calibres and the plaques.
    """
    part = scene.around((-400, -110, -110), (400, 60, 110))
    space = part.space
    artery, vein, portal = part.blank(), part.blank(), part.blank()
    wide = rng.uniform(8.5, 12.0)
    stamp_tube(space, artery, _behind(AORTA), np.linspace(wide + 1.5, wide - 2, 17))
    stamp_tube(space, vein, _behind(CAVA), 11.0)
    _stamp_iliacs(space, artery, vein)
    for hilum in hila:
        _stamp_renal(space, artery, vein, hilum)
    stamp_tube(space, artery, smooth_line(MESENTERIC), 5.2)
    stamp_tube(space, portal, smooth_line((*PORTAL, (-58, -48, -60))), 7.0)
    stamp_tube(space, portal, smooth_line(SPLENIC), 5.8)
    for name, sd, key in (
        ("artery", artery, "aorta"),
        ("portal vein", portal, "portal"),
        ("vein", vein, "vein"),
    ):
        coats = Coat(0, 45, 4), Coat(1.2, contrast.hu[key], 5)
        part.place(name, sd, *coats, gap_mm=0.4, wall_mm=3.0)
    amount = rng.uniform(1.4, 3.2)  # many patients have none
    plaque = np.maximum(np.abs(artery) - 0.6, (amount - part.bumps(rng, 9, 1)) * 5)
    part.paint("plaque", plaque, Coat(0, 480, 60))


def _stamp_iliacs(space, artery, vein) -> None:
    for side in (-1, 1):
        x = (2 + 3 * side, 28 * side, 52 * side, 70 * side)
        y, z = (-27, -28, -30, -60), (70, 105, 160, 230)
        stamp_tube(space, artery, _behind(list(zip(z, y, x, strict=True))), 5.5)
        x = (-17, 30 * side - 6, 52 * side, 68 * side)
        y, z = (-22, -18, -16, -45), (72, 110, 160, 230)
        stamp_tube(space, vein, _behind(list(zip(z, y, x, strict=True))), 6.5)


def _stamp_renal(space, artery, vein, hilum) -> None:
    """Artery and vein of one kidney; the left vein crosses before the aorta."""
    z, y, x = hilum
    left = x > 0
    root = (z - 12, -24, 20 if left else 4)
    stamp_tube(space, artery, smooth_line([root, (z - 8, -10, x / 2), (z, y, x)]), 4.2)
    start = (z - 8, -36, -16) if left else (z - 4, -24, -22)
    via = (z - 8, -45, 12) if left else (z - 6, -20, x * 0.6)
    line = smooth_line([start, via, (z + 2, y - 6, x * 0.75), (z + 3, y - 2, x)])
    stamp_tube(space, vein, line, 6.0)


def paint_liver(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Liver with vessels, moulded by its neighbours, and the gall bladder."""
    a, f, top = build.wide, build.deep, build.dome_mm
    tip, span = rng.uniform(8, 45), rng.uniform(62, 92) * a
    part = scene.around((top - 5, -140 * f, -150 * a), (tip + 20, 70, 110 * a))
    z, y, x = part.space.at
    half = (tip - top) / 2
    lean = np.float32(0.22) * (z - (top + half))
    centre = (top + half, -14, -66 * a)
    right = ellipsoid((z, y, x + lean), centre, (half, 88 * f, 74 * a))
    left = ellipsoid((z, y, x), (top + 52, -58 * f, 8 * a), (48, 44 * f, span))
    liver = united(right, left, 22.0) + part.bumps(rng, 34.0, 3.0)
    liver = np.maximum(liver, 2 - (z - diaphragm_z(y, x, build)))
    start, end = (top + 30, -100 * f, -8), (tip, -80 * f, -16)
    liver = np.maximum(liver, -capsule(part.space.at, start, end, 2.0, 8.0))
    centre = (tip - 36, -66 * f, -44 * a)
    bladder = ellipsoid(part.space.at, centre, (rng.uniform(20, 32), 15, 13))
    bladder += part.bumps(rng, 20.0, 1.5)
    part.place("gall bladder", bladder, Coat(0, 45), Coat(1.5, 8, 2), wall_mm=6)
    hu = contrast.hu["liver"] * rng.uniform(0.85, 1.0)
    liver = part.place("liver", liver, Coat(0, hu, 4), gap_mm=1.0, wall_mm=1.5)
    rise = {"arterial": 12, "nephrographic": 32, "excretory": 18}[contrast.phase]
    _paint_liver_vessels(part, liver, build, hu + rise, rng)


def _paint_liver_vessels(part: Scene, liver, build: Build, hu, rng) -> None:
    """Branches that spread from the hilum, and the hepatic veins from above."""
    tree, top = part.blank(), build.dome_mm
    hilum, dome = np.array([-58, -48, -55.0]), np.array([top + 12, -32, -26.0])
    for k in range(22):
        root = hilum if k < 14 else dome
        end = rng.uniform((top + 15, -95, -115), (20, 25, 45))
        middle = (root + end) / 2 + rng.normal(0, 9, 3)
        line = smooth_line([root, middle, end])
        radii = np.linspace(rng.uniform(5, 6.5), 3.2, len(line))
        stamp_tube(part.space, tree, line, radii)
    part.paint("liver vessels", np.maximum(tree, liver + 5), Coat(0, hu, 4, 1.5))


def paint_spleen(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """The spleen: a thick crescent under the left ribs."""
    centre = rng.normal((-72, 10, 96 * build.wide), (10, 6, 3))
    part = scene.around(centre - 64, centre + 64)
    z, y, x = part.space.at
    spleen = ellipsoid(part.space.at, centre, (rng.uniform(42, 62), 44, 46))
    spleen += part.bumps(rng, 30.0, 3.0)
    spleen = np.maximum(spleen, -part.cavity - rng.uniform(32, 46))
    spleen = np.maximum(spleen, 2 - (z - diaphragm_z(y, x, build)))
    mottle = 16 if contrast.phase == "arterial" else 4
    part.place("spleen", spleen, Coat(0, contrast.hu["spleen"], mottle), wall_mm=1.5)


def paint_pancreas(scene: Scene, contrast: Contrast, rng) -> None:
    """The pancreas, across the vessels from the duodenum to the spleen."""
    part = scene.around((-90, -80, -60), (30, 30, 110))
    gland, line = part.blank(), smooth_line(PANCREAS)
    stamp_tube(part.space, gland, line, np.linspace(14, 9, len(line)))
    gland += part.bumps(rng, 7.0, 2.2)
    coat = Coat(0, contrast.hu["pancreas"], 10, 1.0, strands_hu=-60)
    part.place("pancreas", gland, coat, wall_mm=8.0)
