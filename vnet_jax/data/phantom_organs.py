"""The organs of the upper abdomen, the great vessels and the bowel of the phantom."""

from __future__ import annotations

import numpy as np

from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import (
    FAR_MM,
    capsule,
    ellipsoid,
    rough,
    smooth_line,
    stamp_tube,
    united,
)
from vnet_jax.data.phantom_layers import Coat, Scene
from vnet_jax.data.phantom_trunk import Build, diaphragm_z, spine_y

EVERYWHERE = (slice(None),) * 3


def _behind(points) -> np.ndarray:
    """Points whose y counts from the spine's line, as points of the atlas."""
    p = np.array(points, np.float64)
    p[:, 1] += spine_y(p[:, 0])
    return p


def paint_vessels(scene: Scene, contrast: Contrast, hila, rng) -> None:
    """Aorta, vena cava, iliac and renal vessels, mesenteric trunks.

    Args:
        scene: the body so far.
        contrast: HU of arteries and veins.
        hila: (z, y, x) of each kidney's hilum, atlas mm.
        rng: draws the calibres.
    """
    wide = rng.uniform(8.5, 12.0)
    artery, vein = scene.blank(), scene.blank()
    aorta = [
        (-200, -20, 20),
        (-90, -22, 15),
        (-30, -29, 10),
        (30, -30, 8),
        (72, -27, 4),
    ]
    stamp_tube(
        scene.space,
        artery,
        smooth_line(_behind(aorta)),
        np.linspace(wide + 1.5, wide - 2, 17),
    )
    cava = [(-120, -34, -26), (-60, -32, -24), (0, -25, -22), (75, -22, -17)]
    stamp_tube(scene.space, vein, smooth_line(_behind(cava)), 11.0)
    for side in (-1, 1):
        iliac = [
            (70, -27, 2 + 3 * side),
            (105, -28, 28 * side),
            (160, -30, 52 * side),
            (230, -60, 70 * side),
        ]
        stamp_tube(scene.space, artery, smooth_line(_behind(iliac)), 5.5)
        iliac = [
            (72, -22, -17),
            (110, -18, 30 * side - 6),
            (160, -16, 52 * side),
            (230, -45, 68 * side),
        ]
        stamp_tube(scene.space, vein, smooth_line(_behind(iliac)), 6.5)
    for z, y, x in hila:
        aside = np.sign(x)
        root = (z - 12, -24, 12 + 8 * aside)
        line = [root, (z - 8, -10, x * 0.5), (z, y, x)]
        stamp_tube(scene.space, artery, smooth_line(line), 4.2)
        start = (z - 4, -24, -20 + 2 * aside) if aside < 0 else (z - 8, -36, -16)
        via = (z - 6, -20, x * 0.6) if aside < 0 else (z - 8, -45, 12)
        line = [start, via, (z + 2, y - 6, x * 0.75), (z + 3, y - 2, x)]
        stamp_tube(scene.space, vein, smooth_line(line), 6.0)
    mesenteric = [(-34, -38, 9), (-22, -52, 10), (10, -58, 6), (60, -60, -8)]
    stamp_tube(scene.space, artery, smooth_line(mesenteric), 5.2)
    portal = scene.blank()
    line = [
        (60, -60, -18),
        (10, -58, -8),
        (-18, -50, -10),
        (-45, -52, -38),
        (-58, -48, -60),
    ]
    stamp_tube(scene.space, portal, smooth_line(line), 7.0)
    line = [(-18, -50, -8), (-26, -44, 20), (-44, -22, 52), (-62, 2, 82)]
    stamp_tube(scene.space, portal, smooth_line(line), 5.8)
    plaque = rough(rng, scene.space, 9.0, 1.0).on(*scene.space.axes())
    plaque = np.maximum(np.abs(artery) - 0.6, (rng.uniform(1.4, 3.2) - plaque) * 5)
    for name, sd, hu, gap in (
        ("artery", artery, contrast.hu["aorta"], 0.5),
        ("portal", portal, contrast.hu["portal"], 1.0),
        ("vein", vein, contrast.hu["vein"], 1.0),
    ):
        scene.place(name, sd, EVERYWHERE, [Coat(0, 45, 4), Coat(1.2, hu, 5)], gap, 3.0)
    scene.paint("plaque", plaque, EVERYWHERE, [Coat(0, 480, 60)])


def paint_liver(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Liver with vessels, moulded by its neighbours, and the gall bladder."""
    space, a, f = scene.space, build.half_width_mm / 125, build.front_mm / 105
    box = space.box((build.dome_mm - 5, -140 * f, -150 * a), (75, 60, 110 * a))
    if any(b.stop <= b.start for b in box):
        return
    at = space.at(box)
    z, y, x = at
    tip = rng.uniform(8, 45)
    top = build.dome_mm
    half = (tip - top) / 2
    lean = np.float32(0.22) * (z - (top + half))
    right = ellipsoid(
        (z, y, x + lean), (top + half, -14, -66 * a), (half, 88 * f, 74 * a)
    )
    left = ellipsoid(
        (z, y, x), (top + 52, -58 * f, 8 * a), (48, 44 * f, rng.uniform(62, 92) * a)
    )
    liver = (
        united(right, left, 22.0) + rough(rng, space, 34.0, 3.0).on(*space.axes())[box]
    )
    liver = np.maximum(liver, 2 - (z - diaphragm_z(y, x, build)))
    gap = 2.5 + 7 * build.visceral
    cleft = capsule(at, (top + 30, -100 * f, -8), (tip, -80 * f, -16), 2.0, 8.0)
    liver = np.maximum(liver, -cleft)
    bladder = ellipsoid(at, (tip - 36, -66 * f, -44 * a), (rng.uniform(20, 32), 15, 13))
    bladder = np.maximum(bladder, scene.cavity[box] + 5)
    scene.place("gall bladder", bladder, box, [Coat(0, 45), Coat(1.5, 8, 2)], 2, 6)
    tissue = Coat(0, contrast.hu["liver"] * rng.uniform(0.85, 1.0), 4)
    liver = scene.place("liver", liver, box, [tissue], gap, 1.5)
    _paint_liver_vessels(scene, liver, box, build, contrast, rng)


def _paint_liver_vessels(scene, liver, box, build, contrast, rng) -> None:
    """Branches that spread from the hilum, 2 to 5 mm thick."""
    tree = scene.blank()
    hilum = np.array([-58, -48, -55.0])
    top = build.dome_mm
    low = (top + 15, -95, -115)
    high = (20, 25, 45)
    for _ in range(16):
        end = rng.uniform(low, high)
        mid = (hilum + end) / 2 + rng.normal(0, 9, 3)
        line = smooth_line([hilum, mid, end])
        stamp_tube(
            scene.space, tree, line, np.linspace(rng.uniform(5, 6.5), 3.2, len(line))
        )
    tree = np.maximum(tree[box], liver + 5)
    rise = 30 if contrast.phase == "nephrographic" else 14
    scene.paint(
        "liver vessels", tree, box, [Coat(0, contrast.hu["liver"] + rise, 4, 1.5)]
    )


def paint_spleen_stomach_pancreas(scene, build: Build, contrast, rng) -> None:
    """Spleen, pancreas, duodenum and stomach."""
    space, a, f = scene.space, build.half_width_mm / 125, build.front_mm / 105
    hu, gap = contrast.hu, 2.5 + 5 * build.visceral
    box = space.box((-150, -70, 20), (25, 80, 170))
    z, y, x = space.at(box)
    centre = rng.normal((-72, 10, 96 * a), (10, 6, 3))
    spleen = ellipsoid((z, y, x), centre, (rng.uniform(42, 62), 44, 46))
    spleen += rough(rng, space, 30.0, 3.0).on(*space.axes())[box]
    spleen = np.maximum(spleen, -scene.cavity[box] - rng.uniform(32, 46))
    spleen = np.maximum(spleen, 2 - (z - diaphragm_z(y, x, build)))
    mottle = 16 if contrast.phase == "arterial" else 4
    scene.place("spleen", spleen, box, [Coat(0, hu["spleen"], mottle)], gap, 1.5)
    _paint_pancreas(scene, f, hu, rng)
    box = space.box((-150, -140 * f, -50), (0, 20, 110 * a))
    at = space.at(box)
    stomach = ellipsoid(at, (-92, -42 * f, 56 * a), (46, 36, 36))
    antrum = smooth_line(
        [
            (-80, -62 * f, 56 * a),
            (-58, -80 * f, 25),
            (-46, -74 * f, -8),
            (-40, -62 * f, -28),
        ]
    )
    tube = np.full(space.shape, FAR_MM, np.float32)
    stamp_tube(space, tube, antrum, np.linspace(26, 13, len(antrum)))
    stomach = united(stomach, tube[box], 10.0)
    stomach += rough(rng, space, 20.0, 2.0).on(*space.axes())[box]
    stomach = np.maximum(stomach, 3 - (at[0] - diaphragm_z(at[1], at[2], build)))
    wall = [Coat(0, hu["bowel"], 6), Coat(4.0, rng.uniform(10, 45), 10)]
    stomach = scene.place("stomach", stomach, box, wall, 2.5, 5.0)
    gas = np.maximum(stomach + 4.5, at[1] - np.float32(rng.uniform(-85, -55) * f))
    scene.paint("stomach gas", gas, box, [Coat(0, -960)])


def _paint_pancreas(scene, f, hu, rng) -> None:
    space = scene.space
    line = smooth_line(
        [(6, -46, -32), (-12, -54, -18), (-26, -56, 12), (-42, -32, 48), (-58, -2, 78)]
    )
    gland = scene.blank()
    stamp_tube(space, gland, line, np.linspace(14, 9, len(line)))
    gland += rough(rng, space, 7.0, 2.2).on(*space.axes())
    scene.place("pancreas", gland, EVERYWHERE, [Coat(0, hu["pancreas"], 10, 1.0)], 2, 8)
    gut = scene.blank()
    line = smooth_line(
        [
            (-38, -60, -34),
            (-15, -46, -50),
            (20, -32, -50),
            (42, -32, -34),
            (46, -40, 0),
            (28, -50, 28),
        ]
    )
    stamp_tube(space, gut, line, 12.5)
    gut += rough(rng, space, 9.0, 1.5).on(*space.axes())
    scene.place(
        "duodenum", gut, EVERYWHERE, [Coat(0, hu["bowel"], 8), Coat(3, 25, 12)], 2, 8
    )


def paint_colon(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Ascending, transverse and descending colon with stool and gas."""
    space, a, f = scene.space, build.half_width_mm / 125, build.front_mm / 105
    sag = rng.uniform(15, 70)
    frame = [
        ((130, -25, -84 * a), (70, -8, -92 * a), (24, -18, -88 * a)),
        (
            (24, -30, -88 * a),
            (10, -72 * f, -66 * a),
            (sag, -84 * f, -15),
            (sag - 8, -84 * f, 30 * a),
            (-25, -55 * f, 84 * a),
            (-62, -18, 94 * a),
        ),
        ((-62, -12, 98 * a), (-10, 4, 104 * a), (60, 4, 100 * a), (130, -10, 88 * a)),
    ]
    calibre = (rng.uniform(19, 26), rng.uniform(14, 23), rng.uniform(10, 17))
    for points, radius in zip(frame, calibre, strict=True):
        line = smooth_line(np.array(points) + rng.normal(0, 5, (len(points), 3)), 6)
        haustra = 1 + 0.16 * np.sin(np.arange(len(line)) * 2.3 + rng.uniform(0, 6))
        _paint_gut(
            scene,
            line,
            radius * haustra,
            contrast,
            rng,
            gas=rng.random() < 0.85,
            stool=rng.random() < 0.6,
        )


def _paint_gut(scene, line, radii, contrast, rng, gas, stool) -> None:
    space = scene.space
    reach = float(np.max(radii)) + 9
    box = space.box(line.min(axis=0) - reach, line.max(axis=0) + reach)
    if any(b.stop <= b.start for b in box):
        return
    sd = scene.blank()
    stamp_tube(space, sd, line, radii)
    sd = sd[box] + rough(rng, space, 11.0, 1.6).on(*space.axes())[box]
    content = Coat(2.6, rng.uniform(-20, 60), 55) if stool else Coat(2.6, 18, 10)
    sd = scene.place(
        "gut", sd, box, [Coat(0, contrast.hu["bowel"], 8), content], 2.2, 3.0
    )
    if gas:  # it rises to the front: patients lie on their back
        ripple = rough(rng, space, 12.0, 5.0 if stool else 0.0).on(*space.axes())[box]
        middle = (
            np.interp(space.x[box], *_by_x(line))
            if np.ptp(line[:, 2]) > 90
            else np.interp(space.z[box], *_by_z(line))
        )
        level = (
            space.y[box] - middle.astype(np.float32) - np.float32(rng.uniform(-6, 6))
        )
        scene.paint("gas", np.maximum(sd + 3, level + ripple), box, [Coat(0, -965)])


def _by_x(line):
    order = np.argsort(line[:, 2])
    return line[order, 2], line[order, 1]


def _by_z(line):
    order = np.argsort(line[:, 0])
    return line[order, 0], line[order, 1]


def paint_small_bowel(scene: Scene, build: Build, contrast: Contrast, rng) -> None:
    """Loops that fill the front of the cavity, and the mesentery's vessels between."""
    space, a, f = scene.space, build.half_width_mm / 125, build.front_mm / 105
    low = np.array([-25, -112 * f, -88 * a])
    high = np.array([190, -34, 88 * a])
    box = space.box(low, high, 4.0)
    if any(b.stop <= b.start for b in box):
        return
    first = np.full(space.z[box].shape, FAR_MM, np.float32)
    second = first.copy()
    loops = int(np.clip(rng.normal(26 - 8 * build.visceral, 3), 12, 34))
    lines = [_loop(low, high, rng) for _ in range(loops)]
    for line in lines:
        sd = scene.blank()
        stamp_tube(space, sd, line, rng.uniform(10, 15))
        sd = sd[box]
        np.minimum(second, np.maximum(first, sd), out=second)
        np.minimum(first, sd, out=first)
    apart = np.maximum(first, (first - second) / 2 + 1.0)
    apart += rough(rng, space, 9.0, 1.3).on(*space.axes())[box]
    wall = [Coat(0, contrast.hu["bowel"], 10), Coat(2.8, rng.uniform(12, 45), 14)]
    loops_sd = scene.place("small bowel", apart, box, wall, 2.5, 6.0)
    bubbles = rough(rng, space, 16.0, 1.0).on(*space.axes())[box]
    bubbles = np.maximum(loops_sd + 3.5, (1.15 - bubbles) * 8)
    scene.paint("bubbles", bubbles, box, [Coat(0, -930)])
    _paint_mesentery(scene, build, lines, contrast, rng)


def _loop(low, high, rng) -> np.ndarray:
    start = rng.uniform(low, high)
    heading = rng.normal(0, 1, 3) * (0.5, 0.5, 1.0)
    points = [start]
    for _ in range(4):
        heading = heading + rng.normal(0, 0.8, 3)
        step = heading / np.linalg.norm(heading) * 24
        points.append(np.clip(points[-1] + step, low, high))
    return smooth_line(points, 2)


def _paint_mesentery(scene, build, lines, contrast, rng) -> None:
    tree = scene.blank()
    root = np.array([0, -60, 0.0])
    for line in lines:
        end = line[len(line) // 2]
        start = root + (rng.uniform(0, 50), 0, -10)
        mid = (start + end) / 2 + rng.normal(0, 8, 3)
        stamp_tube(
            scene.space, tree, smooth_line([start, mid, end], 3), rng.uniform(2.6, 3.6)
        )
    scene.place(
        "mesentery",
        tree,
        EVERYWHERE,
        [Coat(0, contrast.hu["portal"], 8, 0.8)],
        0.5,
        5.0,
    )
