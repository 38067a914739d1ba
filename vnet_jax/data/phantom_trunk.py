"""The trunk of the phantom: skin, fat, muscle, bones, lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vnet_jax.data.phantom_field import Space, ellipse, ellipsoid, united
from vnet_jax.data.phantom_layers import Coat, Layer, Scene

#: Height of a lumbar vertebra with its disc, mm.
PITCH_MM = 36.0


@dataclass(frozen=True)
class Build:
    """How big and how fat a patient is.

    Attributes:
        size: 1 for a middle-sized skeleton.
        half_width_mm, front_mm: of the abdominal cavity at the waist, from the spine's
            line to the side and from the vertebra's centre to the front.
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
    def middle_mm(self) -> float:
        """Y of the middle between the front and the back of the body, about."""
        back = 74 * self.size + 0.8 * self.fat_mm
        return (back - self.front_mm - self.wall_mm - self.fat_mm) / 2


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
    n = 2.3
    a, b = np.abs(y - centre_y) / half_y, np.abs(x) / half_x
    pa, pb = a ** np.float32(n - 1), b ** np.float32(n - 1)
    gauge = (pa * a + pb * b + np.float32(1e-6)) ** np.float32(1 / n)
    slope = np.sqrt((pa / half_y) ** 2 + (pb / half_x) ** 2) / gauge ** np.float32(
        n - 1
    )
    return (gauge - 1) / (slope + np.float32(1e-4))


def trunk(space: Space, build: Build) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the cavity's wall, to the muscles' outer side and to the skin."""
    z, y, x = space.z, space.y, space.x
    s = np.float32(build.size)
    back = 40 * s + np.float32(0.7) * spine_y(z)
    half_y = (build.front_mm + back) / 2
    half_x = build.half_width_mm * (1 + np.float32(3.5e-6) * (z - 25) ** 2)
    cavity = _superellipse(y, x, back - half_y, half_y, half_x)
    side = np.minimum((x / half_x) ** 2, 1)
    front = np.clip((back - half_y - y) / half_y, 0, 1)
    wall = build.wall_mm * (np.float32(0.72) + np.float32(0.4) * side)
    wall -= (build.wall_mm * 0.72 - 2) * np.exp(-((x / 9) ** 2)) * np.sqrt(front)
    erector = ellipse(y - spine_y(z), np.abs(x), (50 * s, 34 * s), (24 * s, 34 * s))
    outer = cavity - wall
    fat = build.fat_mm * (
        np.float32(0.8) + np.float32(0.25) * front + np.float32(0.15) * side
    )
    fat *= np.clip(1 + (z + 40) * np.float32(0.004), 0.55, 1.25)
    skin = united(outer, erector, 34.0) - fat
    return cavity, united(outer, erector, 5.0), skin


def paint_trunk(scene: Scene, outer: np.ndarray, skin: np.ndarray, build, rng) -> None:
    """Skin, fat, the layers of the muscle wall, and the fat of the cavity."""
    everywhere = (slice(None),) * 3
    fat, muscle = rng.uniform(-112, -98), rng.uniform(48, 66)
    coats = [Coat(0, 10), Coat(1.9, fat, 4)]
    scene.paint("body", skin, everywhere, coats)
    sheet = build.wall_mm * 0.36
    line = 0.45 * muscle + 0.55 * fat
    coats = [Coat(0, muscle, 9)]
    for k in (1, 2):  # thin fat between the three muscles of the flank
        coats += [Coat(k * sheet - 0.6, line, 10), Coat(k * sheet + 0.6, muscle, 9)]
    scene.paint("wall", outer, everywhere, coats)
    scene.paint("visceral fat", scene.cavity, everywhere, [Coat(0, fat + 6, 7)])


def vertebrae(space: Space, size: float) -> dict[str, np.ndarray]:
    """Distances to bone, discs and the canal, on a space around the spine."""
    z, x = space.z, space.x / np.float32(size)
    y = (space.y - spine_y(space.z)) / np.float32(size)
    phase = (z + PITCH_MM / 2) % np.float32(PITCH_MM) - np.float32(PITCH_MM / 2)
    high, side = np.abs(phase), np.abs(x)
    waist = 1 - np.float32(0.09) * np.clip(1 - (high / 13) ** 2, 0, 1)
    column = np.maximum(ellipse(y, x, (0, 0), (17.5 * waist, 24 * waist)), y - 15)
    canal = ellipse(y, x, (24, 0), (8.5, 11))
    bone = -united(-column, np.float32(13.6) - high, 3.0)
    ring = np.maximum(ellipse(y, x, (24.5, 0), (13.5, 16.5)), -canal)
    bone = np.minimum(bone, np.maximum(ring, np.abs(phase - 3) - 11))
    spinous = np.maximum(side - 3.2, np.abs(y - 48) - 14)
    bone = np.minimum(bone, np.maximum(spinous, np.abs(phase - 9) - 9.5))
    along = np.clip((side - 14) / 28, 0, 1)
    bar = np.sqrt((side - 14 - 28 * along) ** 2 + (y - 23 - 6 * along) ** 2 + phase**2)
    bone = np.minimum(bone, bar - 4.2)
    facet = np.sqrt((side - 17) ** 2 + (y - 34) ** 2 + (18 - high) ** 2)
    bone = np.minimum(bone, facet - 6.5)
    wing = np.maximum(ellipse(y, x, (13, 0), (17, 52 - (z - 108) * 0.25)), 112 - z)
    bone = np.minimum(bone, wing)
    return {"bone": bone, "disc": np.maximum(column, 12.5 - high), "canal": canal}


def paint_spine(scene: Scene, fine: Space, size: float, rng) -> None:
    """Vertebrae with cortex and marrow, discs and the dural sac."""
    part = vertebrae(fine, size)
    marrow = rng.uniform(130, 230)
    coats = {
        "disc": [Coat(0, 85, 5)],
        "bone": [Coat(0, rng.uniform(420, 620), 40), Coat(1.5, marrow, 30, 1.0)],
        "canal": [Coat(0, -30, 15), Coat(1.5, 32, 3)],
    }
    for name in ("disc", "bone", "canal"):
        field = fine.field(part[name]).trimmed(4.0)
        if field is not None:
            scene.layers.append(Layer(name, field, tuple(coats[name])))
    whole = np.minimum(np.minimum(part["bone"], part["disc"]), part["canal"])
    scene.claim_field(fine.field(whole))


def paint_ribs(scene: Scene, build: Build, rng) -> None:
    """The lower ribs in the wall, cartilage in front, and the wings of the ilium."""
    space = scene.space
    box = space.box((-400, -400, -400), (60, 400, 400), 0)
    z, y, x = space.at(box)
    deep = scene.cavity[box] - np.float32(0.55 * build.wall_mm)
    middle = np.float32(20 * build.size - build.front_mm / 2)
    angle = np.arctan2(np.abs(x), y - middle)  # 0 behind, pi in front
    turn = np.minimum(angle, np.float32(2.2)) * np.float32(np.pi / 4.4)
    fall = z + 78 - 62 * np.sin(turn) + 22 * np.clip(angle - 2.2, 0, 1)
    number = np.maximum(np.round(-fall / 27), 0)  # 0 is the twelfth
    tall = fall + 27 * number
    tube = (np.sqrt((deep / 3.6) ** 2 + (tall / 6.8) ** 2) - 1) * np.float32(4.6)
    end = np.where(number == 0, 0.95, np.where(number == 1, 1.55, 2.25)) - angle
    bone = np.maximum(tube, -end * 70)
    cost = np.maximum(np.maximum(tube, end * 70), np.where(number > 1, -FAR, FAR))
    cost = np.maximum(cost, (angle - 2.9) * 70)
    scene.paint("cartilage", cost, box, [Coat(0, rng.uniform(80, 130), 15)])
    coats = [Coat(0, 520, 40), Coat(1.5, rng.uniform(120, 200), 30, 1.0)]
    scene.paint("ribs", bone, box, coats)
    _paint_ilium(scene, build, middle, coats)


FAR = np.float32(60.0)


def _paint_ilium(scene: Scene, build: Build, middle, coats) -> None:
    space = scene.space
    box = space.box((80, -400, -400), (400, 400, 400), 0)
    if box[0].stop <= box[0].start:
        return
    z, y, x = space.at(box)
    angle = np.arctan2(np.abs(x), y - middle)
    crest = 92 + 55 * ((angle - 1.1) / 0.55) ** 2
    plate = np.abs(scene.cavity[box] - 2) - (3 + 0.03 * np.clip(z - 92, 0, 100))
    bone = np.maximum(np.maximum(plate, crest - z), np.abs(angle - 1.1) * 80 - 62)
    scene.paint("ilium", bone, box, coats)


def paint_muscles(scene: Scene, size: float, rng) -> None:
    """Psoas and quadratus lumborum on both sides, and the crura of the diaphragm."""
    space = scene.space
    coats = [Coat(0, rng.uniform(52, 66), 7)]
    box = space.box((-60, -60, -110), (400, 75, 110), 0)
    z, y, x = space.at(box)
    low = np.clip((z + 35) / 110, 0.05, 1.4)
    side, y = np.abs(x) / np.float32(size), (y - spine_y(z)) / np.float32(size)
    drift = np.clip(z - 20, 0, 200)
    psoas = ellipse(
        y,
        side,
        (6 - 0.10 * drift, 33 + 9 * low + 0.10 * drift),
        (8 + 13 * low, 6 + 13 * low),
    )
    psoas = np.maximum(psoas, -34 - z)
    quad = ellipse(y - 0.22 * (side - 60), side, (34, 62), (9, 21))
    quad = np.maximum(np.maximum(quad, -50 - z), z - 100)
    for name, sd in (("psoas", psoas), ("quadratus", quad)):
        sd = np.maximum(sd, np.float32(1.2) - scene.taken[box])
        scene.paint(name, sd, box, coats)
        scene.claim(sd, box)
    box = space.box((-400, -45, -45), (12, 25, 45), 0)
    z, y, x = space.at(box)
    y = y - spine_y(z)
    thick = 4.5 - 0.02 * np.clip(z + 60, -40, 80)
    ring = np.abs(ellipse(y, x, (-4, 0), (27, 31))) - thick
    crus = np.maximum(np.maximum(ring, y - 16), z - 4)
    scene.place("crus", crus, box, coats, gap_mm=0.3, wall_mm=0.0)


def diaphragm_z(y: np.ndarray, x: np.ndarray, build: Build) -> np.ndarray:
    """Z of the diaphragm at a place in the axial plane, mm."""
    half = build.half_width_mm
    across = ((np.abs(x) - 0.5 * half) / (0.85 * half)) ** 2
    deep = (y + 28) / build.front_mm
    left = np.where(x > 0, np.float32(9), np.float32(0))
    return build.dome_mm + left + 42 * across + 40 * deep**2 + 30 * np.clip(deep, 0, 1)


def paint_lungs(scene: Scene, build: Build, rng) -> None:
    """The bases of the lungs and of the heart, above the diaphragm."""
    space = scene.space
    box = space.box((-400, -400, -400), (-45, 400, 400), 0)
    if box[0].stop <= box[0].start:
        return
    z, y, x = space.at(box)
    below = (z - diaphragm_z(y, x, build)).astype(np.float32)
    heart = ellipsoid((z, y, x), (-178, -0.5 * build.front_mm, 18), (52, 46, 60))
    heart = np.maximum(heart, below + 3)
    middle = ellipse(y, x, (-5, 3), (34, 30))
    lung = np.maximum(np.maximum(below, -middle), 2 - heart)
    lung = np.maximum(lung, scene.cavity[box] - 2)
    muscle = np.maximum(below - 2.5, scene.cavity[box] - 1)
    scene.paint("diaphragm", muscle, box, [Coat(0, 52, 6)])
    scene.paint("lung", lung, box, [Coat(0, -835, 32, 1.0)])
    scene.paint("heart", heart, box, [Coat(0, 95, 10)])
