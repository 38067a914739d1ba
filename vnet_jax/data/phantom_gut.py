"""Stomach, bowel with gas and stool, mesentery and bladder of the phantom."""

from __future__ import annotations

import numpy as np

from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import ellipsoid, smooth_line, stamp_tube, united
from vnet_jax.data.phantom_layers import Coat, Scene
from vnet_jax.data.phantom_trunk import Build, diaphragm_z

GAS = Coat(0, -965)
DUODENUM = (
    ((-38, -60, -34), (-15, -46, -50), (20, -32, -50), (42, -32, -34)),
    ((42, -32, -34), (46, -40, 0), (28, -50, 28)),
)


def paint_stomach(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """The stomach with fluid and gas, and the duodenum."""
    a, f = build.wide, build.deep
    part = scene.around((-150, -140 * f, -60), (0, 20, 115 * a))
    z, y, x = part.space.at
    body = ellipsoid((z, y, x), (-92, -42 * f, 56 * a), (46, 36, 36))
    antrum = [(-80, -62 * f, 56 * a), (-58, -80 * f, 25), (-46, -74 * f, -8)]
    line = smooth_line([*antrum, (-40, -62 * f, -28)])
    tube = part.blank()
    stamp_tube(part.space, tube, line, np.linspace(26, 13, len(line)))
    stomach = united(body, tube, 10.0) + part.bumps(rng, 20.0, 2.0)
    stomach = np.maximum(stomach, 3 - (z - diaphragm_z(y, x, build)))
    wall = Coat(0, contrast.hu["bowel"], 6), Coat(4.0, rng.uniform(10, 45), 14)
    stomach = part.place("stomach", stomach, *wall, gap_mm=2.0, wall_mm=5.0)
    level = y - np.float32(rng.uniform(-85, -55) * f)
    part.paint("stomach gas", np.maximum(stomach + 4.5, level), GAS)
    part = scene.around((-60, -80, -75), (75, -5, 50))
    gut = part.blank()
    for points in DUODENUM:
        stamp_tube(part.space, gut, smooth_line(points), 12.5)
    gut += part.bumps(rng, 9.0, 1.5)
    wall = Coat(0, contrast.hu["bowel"], 8), Coat(3.0, 25, 12)
    part.place("duodenum", gut, *wall, wall_mm=8.0)


def paint_colon(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Ascending, transverse and descending colon."""
    a, f, sag = build.wide, build.deep, rng.uniform(15, 70)
    ascending = ((150, -35, -78 * a), (70, -8, -92 * a), (24, -18, -88 * a))
    transverse = (
        *((24, -30, -88 * a), (10, -72 * f, -66 * a), (sag, -84 * f, -15)),
        *((sag - 8, -84 * f, 30 * a), (-25, -55 * f, 84 * a), (-62, -18, 94 * a)),
    )
    descending = (
        *((-62, -12, 98 * a), (-10, 4, 104 * a), (60, 4, 100 * a)),
        *((130, -10, 88 * a), (175, -35, 60 * a)),
    )
    for points, thin, thick in (
        (ascending, 20, 27),
        (transverse, 15, 23),
        (descending, 11, 17),
    ):
        points = np.array(points) + rng.normal(0, 5, (len(points), 3))
        line = smooth_line(points, 6)
        haustra = 1 + 0.16 * np.sin(np.arange(len(line)) * 2.3 + rng.uniform(0, 6))
        radii = rng.uniform(thin, thick) * haustra
        _paint_gut(scene, line, radii, contrast.hu["bowel"], rng)


def _paint_gut(scene: Scene, line, radii, wall_hu: float, rng) -> None:
    """A piece of colon; its content is fluid or stool, and gas in front of it."""
    reach = float(np.max(radii)) + 4
    part = scene.around(line.min(axis=0) - reach, line.max(axis=0) + reach)
    stool, ripple = rng.random() < 0.6, part.bumps(rng, 12.0, 5.0)
    sd = part.blank()
    stamp_tube(part.space, sd, line, radii)
    sd += part.bumps(rng, 11.0, 1.6)
    content = Coat(2.6, rng.uniform(-60, 30), 75) if stool else Coat(2.6, 18, 10)
    sd = part.place("colon", sd, Coat(0, wall_hu, 8), content, gap_mm=2.0, wall_mm=3.0)
    if rng.random() < 0.85:  # patients lie on their back: gas rises to the front
        axis = 2 if np.ptp(line[:, 2]) > 90 else 0
        order = np.argsort(line[:, axis])
        where = part.space.at[axis]
        middle = np.interp(where, line[order, axis], line[order, 1])
        level = part.space.y - (middle + rng.uniform(-6, 6)).astype(np.float32)
        part.paint("gas", np.maximum(sd + 3, level + ripple * stool), GAS)


def paint_bladder(scene: Scene, contrast: Contrast, rng) -> None:
    """The urinary bladder, for scans that reach the pelvis."""
    centre = rng.normal((238, -12, 0), (6, 4, 4))
    radii = rng.uniform((26, 28, 32), (44, 42, 50))
    part = scene.around(centre - radii, centre + radii)
    bladder = ellipsoid(part.space.at, centre, radii) + part.bumps(rng, 25.0, 2.0)
    urine = Coat(3.0, min(contrast.hu["pelvis"], 250.0), 3)
    part.place("bladder", bladder, Coat(0, 48, 6), urine, wall_mm=3.0)


def paint_small_bowel(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Loops that fill the front of the cavity, and the mesentery between them."""
    low = np.array([-22, -100 * build.deep, -84 * build.wide])
    high = np.array([200, -38, 84 * build.wide])
    part = scene.around(low - 10, high + 10)
    first, second = part.blank(), part.blank()
    count = int(np.clip(rng.normal(58 - 20 * build.visceral, 5), 26, 70))
    lines = [_loop(low, high, rng) for _ in range(count)]
    for line in lines:
        sd = part.blank()
        stamp_tube(part.space, sd, line, rng.uniform(10, 16))
        np.minimum(second, np.maximum(first, sd), out=second)
        np.minimum(first, sd, out=first)
    apart = np.maximum(first, (first - second) / 2 + 0.8)  # loops touch, never merge
    apart += part.bumps(rng, 9.0, 1.3)
    hu = contrast.hu["bowel"]
    content = Coat(2.8, rng.uniform(15, 55), 16)
    apart = part.place("loops", apart, Coat(0, hu, 10), content, wall_mm=6.0)
    bubbles = np.maximum(apart + 3.5, (1.25 - part.bumps(rng, 16.0, 1.0)) * 8)
    part.paint("bubbles", bubbles, Coat(0, -930))
    _paint_mesentery(part, lines, contrast.hu["portal"], rng)


def _loop(low, high, rng) -> np.ndarray:
    """A course of about 100 mm that wanders within a box."""
    points = [rng.uniform(low, high)]
    heading = rng.normal(0, 1, 3) * (0.5, 0.5, 1.0)
    for _ in range(4):
        heading = heading + rng.normal(0, 0.8, 3)
        step = heading / np.linalg.norm(heading) * 24
        points.append(np.clip(points[-1] + step, low, high))
    return smooth_line(points, 2)


def _paint_mesentery(part: Scene, lines, hu: float, rng) -> None:
    """Vessels from the root of the mesentery to the loops."""
    tree, root = part.blank(), np.array([0, -60, 0.0])
    for line in lines:
        start, end = root + (rng.uniform(0, 50), 0, -10), line[len(line) // 2]  # noqa: RUF005
        middle = (start + end) / 2 + rng.normal(0, 8, 3)
        course = smooth_line([start, middle, end], 3)
        stamp_tube(part.space, tree, course, rng.uniform(2.6, 3.6))
    part.place("mesentery", tree, Coat(0, hu, 8, 0.8), gap_mm=0.5, wall_mm=5.0)
