"""The trunk of the phantom: skin, fat, muscles, the diaphragm, lungs and heart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vnet_jax.data.phantom_field import Space, ellipse, ellipsoid, united
from vnet_jax.data.phantom_layers import Coat, Scene


@dataclass(frozen=True)
class Build:
    """How big and how fat a patient is.

    Attributes:
        size: 1 for a middle-sized skeleton.
        half_width_mm: of the abdominal cavity at the waist.
        front_mm: from the second lumbar vertebra's centre to the cavity's front.
        wall_mm: thickness of the lateral muscles.
        fat_mm: thickness of the subcutaneous fat.
        visceral: 0 lean to 1 much fat between the organs.
        dome_mm: z of the top of the right diaphragm.
    """

    size: float
    half_width_mm: float
    front_mm: float
    wall_mm: float
    fat_mm: float
    visceral: float
    dome_mm: float

    @property
    def width_mm(self) -> float:
        """The body's width at the waist, about."""
        return 2 * (self.half_width_mm + self.wall_mm + 0.95 * self.fat_mm)

    @property
    def back_mm(self) -> float:
        """Y of the skin of the back, about."""
        return 72 * self.size + 0.8 * self.fat_mm

    @property
    def middle_mm(self) -> float:
        """Y of the middle between the front and the back of the body, about."""
        return (self.back_mm - self.front_mm - self.wall_mm - self.fat_mm) / 2

    @property
    def wide(self) -> float:
        """The cavity's half width in units of a common one, 125 mm."""
        return self.half_width_mm / 125

    @property
    def deep(self) -> float:
        """The cavity's depth before the spine in units of a common one, 105 mm."""
        return self.front_mm / 105


def draw_build(rng: np.random.Generator) -> Build:
    """Draws a patient's build."""
    size = float(np.clip(rng.normal(1.0, 0.06), 0.87, 1.15))
    visceral = float(rng.beta(2.0, 2.2))
    fat = float(np.clip(rng.beta(1.8, 2.6) + 0.25 * (visceral - 0.5), 0.02, 1))
    return Build(
        size=size,
        half_width_mm=size * (114 + 22 * visceral),
        front_mm=size * (78 + 52 * visceral),
        wall_mm=float(rng.uniform(8, 15)),
        fat_mm=6 + 36 * fat,
        visceral=visceral,
        dome_mm=float(rng.uniform(-140, -112)),
    )


def spine_y(z: np.ndarray) -> np.ndarray:
    """How far behind its most forward place the spine stands at z, mm (lordosis)."""
    return np.float32(8e-4) * (z - np.float32(15)) ** 2


def _superellipse(y, x, centre_y, half_y, half_x) -> np.ndarray:
    """Distance to |y / half_y|^2.3 + |x / half_x|^2.3 = 1, to first order."""
    a, b = np.abs(y - centre_y) / half_y, np.abs(x) / half_x
    pa, pb = a ** np.float32(1.3), b ** np.float32(1.3)
    gauge = (pa * a + pb * b + np.float32(1e-6)) ** np.float32(1 / 2.3)
    slope = np.sqrt((pa / half_y) ** 2 + (pb / half_x) ** 2)
    slope /= gauge ** np.float32(1.3)
    return (gauge - 1) / (slope + np.float32(1e-4))


def surfaces(space: Space, build: Build) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the cavity's wall, to the muscles' outer side and to the skin."""
    z, y, x = space.at
    s = np.float32(build.size)
    back = 40 * s + np.float32(0.7) * spine_y(z)
    half_y = (build.front_mm + back) / 2
    half_x = build.half_width_mm * (1 + np.float32(3.5e-6) * (z - 25) ** 2)
    cavity = _superellipse(y, x, back - half_y, half_y, half_x)
    side = np.minimum((x / half_x) ** 2, 1)
    front = np.clip((back - half_y - y) / half_y, 0, 1)
    wall = build.wall_mm * (np.float32(0.72) + np.float32(0.4) * side)
    erector = ellipse(y - spine_y(z), np.abs(x), (48 * s, 35 * s), (23 * s, 35 * s))
    fat = np.float32(0.8) + np.float32(0.25) * front + np.float32(0.15) * side
    fat *= build.fat_mm * np.clip(1 + (z + 40) * np.float32(0.004), 0.55, 1.25)
    skin = united(cavity - wall, erector, 75.0) - fat
    gaps = np.exp(-((x / 8) ** 2))  # the white line, then the rectus' outer edges
    gaps += np.float32(0.7) * np.exp(-(((np.abs(x) - 0.55 * half_x) / 6) ** 2))
    wall -= (wall - 2) * gaps * np.sqrt(front)
    return cavity, united(cavity - wall, erector, 5.0), skin


def paint_trunk(scene: Scene, outer: np.ndarray, skin: np.ndarray, build, rng) -> None:
    """Skin, fat, the layers of the muscle wall, and the fat of the cavity."""
    _paint_table(scene, build)
    fat, muscle = rng.uniform(-112, -98), rng.uniform(48, 66)
    scene.paint("body", skin, Coat(0, 10), Coat(1.9, fat, 4, strands_hu=30))
    scene.paint("wall", outer, Coat(0, muscle, 8, strands_hu=-45))
    _paint_flank(scene, outer, build, muscle, fat, rng)
    scene.paint("visceral fat", scene.cavity, Coat(0, fat + 6, 7, strands_hu=48))


def _paint_table(scene: Scene, build: Build) -> None:
    """The table under the patient: a hollow shell of carbon fibre around foam."""
    _, y, x = np.meshgrid(*scene.space.axes(), indexing="ij", sparse=True)
    top = np.float32(build.back_mm + 9) - x**2 / 1500
    table = np.maximum(np.maximum(top - y, y - top - 32 + x**2 / 3000), abs(x) - 215)
    table = np.broadcast_to(table, scene.space.shape)
    scene.paint("table", table, Coat(0, -90), Coat(2.2, -950))


def _paint_flank(scene: Scene, outer, build: Build, muscle, fat, rng) -> None:
    """The three muscles of the flank, with thin fat between them."""
    space, middle = scene.space, np.float32(build.front_mm / 2 - 20)
    angle = np.arctan2(np.abs(space.x), space.y + middle)
    flank = np.maximum(outer, (np.abs(angle - 1.5) - 0.62) * 90)
    flank += scene.bumps(rng, 22.0, 0.7)
    line, coats = Coat(0, 0.4 * muscle + 0.6 * fat, 10), []
    for depth in (0.36 * build.wall_mm, 0.72 * build.wall_mm):
        coats += [replace(line, depth_mm=depth - 0.6), Coat(depth + 0.6, muscle, 8)]
    scene.paint("flank", flank, *coats)


def paint_muscles(scene: Scene, size: float, rng) -> None:
    """Psoas and quadratus lumborum on both sides, and the crura of the diaphragm."""
    coat = Coat(0, rng.uniform(50, 66), 7, strands_hu=-30)
    part = scene.around((-60, -60, -110), (400, 75, 110))
    z, y, x = part.space.at
    low = np.clip((z + 35) / 110, 0.05, 1.4)
    side, y = np.abs(x) / np.float32(size), (y - spine_y(z)) / np.float32(size)
    drift = np.clip(z - 20, 0, 200) * np.float32(0.1)
    centre = (6 - drift, 33 + 9 * low + drift)
    psoas = ellipse(y, side, centre, (8 + 13 * low, 6 + 13 * low))
    psoas = np.maximum(psoas, -34 - z)
    quad = ellipse(y - 0.22 * (side - 60), side, (34, 62), (9, 21))
    quad = np.maximum(np.maximum(quad, -50 - z), z - 100)
    for name, sd in (("psoas", psoas), ("quadratus", quad)):
        sd = np.maximum(sd, np.float32(1.2) - part.taken)
        part.paint(name, sd, coat)
        part.claim(sd)
    _paint_crura(scene, coat)
    _paint_gluteals(scene, coat)


def _paint_crura(scene: Scene, coat: Coat) -> None:
    """The diaphragm's legs, left and right of the aorta on the vertebrae."""
    part = scene.around((-400, -45, -45), (16, 25, 45))
    z, y, x = part.space.at
    y = y - spine_y(z)
    thick = np.clip(1.4 - 0.02 * z, 0.6, 3.6)
    ring = np.abs(ellipse(y, x, (-12, 4), (28, 21))) - thick
    crura = np.maximum(np.maximum(ring, y - 4), z - np.where(x > 0, -10, 10))
    part.place("crura", crura, coat, gap_mm=0.0, wall_mm=0.0)


def _paint_gluteals(scene: Scene, coat: Coat) -> None:
    """The muscles in and outside the wings of the pelvis."""
    part = scene.around((100, -80, -240), (500, 110, 240))
    z, y, x = part.space.at
    y, low = y - spine_y(z), np.clip((z - 105) / 70, 0.02, 1.0)
    side = np.abs(x)
    outside = ellipse(y, side, (35, 92), (52 * low, 48 * low))
    part.paint("gluteals", np.maximum(outside, 30 - side), coat)
    inside = ellipse(y + 0.5 * (side - 70), side, (2, 80), (14 * low, 42 * low))
    part.place("iliacus", inside, coat, gap_mm=0.5, wall_mm=0.0)


def diaphragm_z(y: np.ndarray, x: np.ndarray, build: Build) -> np.ndarray:
    """Z of the diaphragm at a place in the axial plane, mm."""
    half = build.half_width_mm
    across = ((np.abs(x) - 0.5 * half) / (0.85 * half)) ** 2
    deep = (y + 28) / build.front_mm
    left = np.where(x > 0, np.float32(9), np.float32(0))
    return build.dome_mm + left + 42 * across + 40 * deep**2 + 30 * np.clip(deep, 0, 1)


def paint_chest(scene: Scene, build: Build, contrast, rng) -> None:
    """The diaphragm, and above it the bases of the lungs and of the heart."""
    part = scene.around((-400, -400, -400), (-45, 400, 400))
    z, y, x = part.space.at
    below = (z - diaphragm_z(y, x, build)).astype(np.float32)
    heart = (build.dome_mm - 38, -0.52 * build.front_mm, 16)
    heart = ellipsoid(part.space.at, heart, (52, 46, 64)) + part.bumps(rng, 30, 2.0)
    heart = np.maximum(heart, below + 3)
    middle = ellipse(y, x, (-5, 3), (34, 30))
    lung = np.maximum(np.maximum(below, -middle), 2 - heart)
    lung = np.maximum(lung, part.cavity - 2)
    muscle = np.maximum(below - 2.5, part.cavity - 1)
    part.paint("diaphragm", muscle, Coat(0, 52, 6))
    part.paint("lung", lung, Coat(0, -845, 25, 1.0, strands_hu=200))
    blood = 0.5 * (contrast.hu["aorta"] + contrast.hu["vein"])
    part.paint(
        "heart", heart, Coat(0, -60, 10), Coat(3.0, 85, 8), Coat(14, blood, 6, 3)
    )
