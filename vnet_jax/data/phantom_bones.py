"""The bones of the phantom: vertebrae, ribs and pelvis."""

from __future__ import annotations

import numpy as np

from vnet_jax.data.phantom_field import FAR_MM, Space, ellipse, ellipsoid, united
from vnet_jax.data.phantom_layers import Coat, Layer, Scene
from vnet_jax.data.phantom_trunk import Build, spine_y

#: Height of a lumbar vertebra with its disc, mm.
PITCH_MM = 36.0
#: From a rib to the next, along the spine, mm.
RIB_MM = 27.0


def vertebrae(space: Space, size: float) -> dict[str, np.ndarray]:
    """Distances to bone, discs and the canal, on a space around the spine."""
    z, x = space.z, space.x / np.float32(size)
    y = (space.y - spine_y(space.z)) / np.float32(size)
    half = np.float32(PITCH_MM / 2)
    phase = (z + half) % np.float32(PITCH_MM) - half  # 0 in a body's middle
    high, side = np.abs(phase), np.abs(x)
    waist = 1 - np.float32(0.09) * np.clip(1 - (high / 13) ** 2, 0, 1)
    column = np.maximum(ellipse(y, x, (0, 0), (17.5 * waist, 24 * waist)), y - 15)
    canal = ellipse(y, x, (24, 0), (8.5, 11))
    body = -united(-column, np.float32(13.6) - high, 3.0)
    ring = np.maximum(ellipse(y, x, (24.5, 0), (13.5, 16.5)), -canal)
    arch = np.maximum(ring, np.abs(phase - 3) - 11)
    sacrum = ellipse(y, x, (13, 0), (17, 52 - (z - 108) * 0.25))
    sacrum = np.maximum(np.maximum(sacrum, 112 - z), -canal)
    bone = np.minimum(np.minimum(body, arch), sacrum)
    bone = np.minimum(bone, _processes(phase, y, side))
    return {"disc": np.maximum(column, 12.5 - high), "bone": bone, "canal": canal}


def _processes(phase, y, side) -> np.ndarray:
    """Distance to the spinous and transverse processes and the small joints."""
    spinous = np.maximum(side - 3.2, np.abs(y - 48) - 14)
    spinous = np.maximum(spinous, np.abs(phase - 9) - 9.5)
    along = np.clip((side - 14) / 26, 0, 1)
    bar = np.sqrt((side - 14 - 26 * along) ** 2 + (y - 23 - 6 * along) ** 2 + phase**2)
    joint = (side - 17) ** 2 + (y - 34) ** 2 + (PITCH_MM / 2 - np.abs(phase)) ** 2
    return np.minimum(np.minimum(spinous, bar - 4.2), np.sqrt(joint) - 6.5)


def paint_spine(scene: Scene, fine: Space, size: float, rng) -> list[Layer]:
    """Claims the spine's place; its layers: discs, bone with marrow, the dural sac."""
    part = vertebrae(fine, size)
    cortex, marrow = rng.uniform(520, 820), rng.uniform(130, 230)
    coats = {
        "disc": (Coat(0, 85, 5),),
        "bone": (Coat(0, cortex, 40), Coat(1.5, marrow, 30, 1.0, strands_hu=40)),
        "canal": (Coat(0, -30, 15), Coat(1.5, 32, 3)),
    }
    whole = np.minimum(np.minimum(part["bone"], part["disc"]), part["canal"])
    scene.claim_field(fine.field(whole))
    fields = {name: fine.field(sd).trimmed(4.0) for name, sd in part.items()}
    return [Layer(name, f, coats[name]) for name, f in fields.items() if f is not None]


def paint_ribs(scene: Scene, build: Build, rng) -> None:
    """The lower ribs in the wall with their cartilage, and the wings of the ilium."""
    part = scene.around((-400, -400, -400), (60, 400, 400), 0)
    z, y, x = part.space.at
    angle = _angle(y, x, build)
    turn = np.minimum(angle, np.float32(2.2)) * np.float32(np.pi / 4.4)
    fall = z + 78 - 88 * np.sin(turn) + 30 * np.clip(angle - 2.2, 0, 1)
    number = np.maximum(np.round(-fall / RIB_MM), 0)  # 0 is the twelfth
    deep = part.cavity - np.float32(0.55 * build.wall_mm)
    tall = fall + RIB_MM * number
    tube = (np.sqrt((deep / 3.6) ** 2 + (tall / 6.8) ** 2) - 1) * np.float32(4.6)
    end = np.where(number == 0, 0.95, np.where(number == 1, 1.55, 2.25))
    beyond = ((angle - end) * 70).astype(np.float32)  # mm along the rib
    cartilage = np.maximum(np.maximum(tube, -beyond), (angle - 2.9) * 70)
    cartilage = np.where(number > 1, cartilage, np.float32(FAR_MM))
    part.paint("cartilage", cartilage, Coat(0, rng.uniform(80, 130), 15))
    coats = Coat(0, 640, 40), Coat(1.5, rng.uniform(120, 200), 30, 1.0)
    part.paint("ribs", np.maximum(tube, beyond), *coats)
    _paint_ilium(scene, build, coats)


def _angle(y, x, build: Build) -> np.ndarray:
    """Angle about the cavity's middle: 0 behind, pi in front, both sides alike."""
    return np.arctan2(np.abs(x), y - np.float32(20 * build.size - build.front_mm / 2))


def _paint_ilium(scene: Scene, build: Build, coats) -> None:
    part = scene.around((80, -400, -400), (400, 400, 400), 0)
    z, y, x = part.space.at
    angle = _angle(y, x, build)
    crest = 92 + 55 * ((angle - 1.1) / 0.55) ** 2
    plate = np.abs(part.cavity - 2) - (3 + 0.03 * np.clip(z - 92, 0, 100))
    bone = np.maximum(np.maximum(plate, crest - z), np.abs(angle - 1.1) * 80 - 62)
    part.paint("ilium", bone, *coats)
    z, y, x = part.space.at
    centre = (250.0, 12.0, 88.0 * build.size)
    head = ellipsoid((z, y - spine_y(z) / 2, np.abs(x)), centre, (25, 25, 25))
    socket = np.maximum(np.abs(head - 7) - 5, np.abs(x) - centre[2] - 8)
    part.paint("hips", np.minimum(head, socket), *coats)
