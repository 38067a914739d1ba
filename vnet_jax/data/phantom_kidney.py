"""Kidneys of the phantom, with their tumours and cysts, as smooth shapes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import Field, Space, ellipsoid, rough, united
from vnet_jax.data.phantom_layers import Coat, Layer, Raster

#: Least, largest and median volume of a ball drawn for a tumour. KiTS19 has 0.82 to
#: 1464 ml, median 30; bone and wall cut some off here, which leaves a median near 30.
TUMOUR_ML = (1.5, 270.0, 46.0)


@dataclass
class Kidney:
    """One kidney under construction.

    Attributes:
        side: "left" or "right", the patient's.
        space: nodes around it.
        centre_mm: of the organ, without tumours.
        outer: (D, H, W) distance to the organ's convex outline, sinus inside.
        sinus: distance to the sinus, the hollow in its middle.
        organ: distance to the parenchyma: outline without sinus.
        lateral: (D, H, W) place along the axis from the hilum to the flank, mm.
        hilum_mm: where its vessels enter, mm.
        shape: what decides its label: the organ on nodes, or a label's voxels.
    """

    side: str
    space: Space
    centre_mm: np.ndarray
    outer: np.ndarray
    sinus: np.ndarray
    organ: np.ndarray
    lateral: np.ndarray
    hilum_mm: np.ndarray
    shape: Field | Raster


def axes_of(side: str, rng: np.random.Generator) -> np.ndarray:
    """The kidney's own axes as rows (long, deep, lateral), unit vectors (z, y, x).

    The upper pole leans to the spine and back, the lower one away from the psoas; the
    hilum looks to the middle and 30 degrees to the front.
    """
    out = 1.0 if side == "left" else -1.0
    tilt, lean, turn = rng.normal((0.28, -0.22, 0.5), (0.07, 0.06, 0.12))
    long = np.array([1.0, lean, out * tilt])
    long /= np.linalg.norm(long)
    lateral = np.array([0.0, np.sin(turn), out * np.cos(turn)])
    lateral -= (lateral @ long) * long
    lateral /= np.linalg.norm(lateral)
    return np.stack([long, np.cross(long, lateral), lateral])


def draw_kidney(
    side: str, size: float, warp, room: Field, step_mm: float, rng
) -> Kidney:
    """Draws a bean of about 110 x 50 x 55 mm at its place beside the spine.

    Args:
        side: "left" or "right".
        size: of the skeleton, 1 in the middle.
        warp: the patient's deformation, three fields in mm.
        room: distance to bone and wall, which press it flat, mm.
        step_mm: distance of the nodes.
        rng: draws place, size and tilt.
    """
    out = 1.0 if side == "left" else -1.0
    mean = (-9.0 if side == "left" else 9.0, 5.0, out * 62.0)
    centre = size * rng.normal(mean, (9.0, 4.0, 3.0))
    half = np.array([54.0, 25.0, 28.0]) * size * rng.normal(1.0, 0.07, 3).clip(0.8, 1.2)
    reach = np.array([82.0, 56.0, 60.0]) * size
    shape = np.ceil(2 * reach / step_mm).astype(int) + 1
    space = Space(centre - reach, step_mm, shape, warp)
    axes = axes_of(side, rng).astype(np.float32)
    rel = [a - np.float32(c) for a, c in zip(space.at, centre, strict=True)]
    u, v, w = (sum(r * e for r, e in zip(rel, row, strict=True)) for row in axes)
    bumps = rough(rng, space, 18.0, 1.1).on(*space.axes())
    bend = np.float32(rng.uniform(6, 14) / half[0] ** 2)
    outer = ellipsoid((u, v, w + bend * (u * u - 300)), (0, 0, 0), half) + bumps
    outer = np.maximum(outer, -room.on(*space.axes()))
    hollow = half * (rng.uniform(0.42, 0.55), rng.uniform(0.24, 0.36), 0.72)
    shift = -half[2] * rng.uniform(0.42, 0.55)
    ragged = rough(rng, space, 9.0, 1.8).on(*space.axes())
    sinus = ellipsoid((u, v, w), (0, 0, shift), hollow) + ragged
    organ = -united(-outer, sinus, 4.0)
    hilum = centre + size * np.array([0, -7, -15 * out])
    shape = space.field(organ)
    return Kidney(side, space, centre, outer, sinus, organ, w, hilum, shape)


@dataclass(frozen=True)
class TumourSizes:
    """How large tumours are: log-normal, cut off at both ends.

    Attributes:
        median_ml: of the volumes.
        spread: standard deviation of their natural logarithm.
        low_ml: none is smaller.
        high_ml: none is larger.
    """

    median_ml: float = TUMOUR_ML[2]
    spread: float = 1.1
    low_ml: float = TUMOUR_ML[0]
    high_ml: float = TUMOUR_ML[1]

    def volume_ml(self, at: float) -> float:
        """The volume at a quantile, 0 to 1."""
        normal = NormalDist(np.log(self.median_ml), self.spread)
        drawn = normal.inv_cdf(min(max(at, 1e-6), 1 - 1e-6))
        return float(np.clip(np.exp(drawn), self.low_ml, self.high_ml))


SIZES = TumourSizes()


def pick_spot(kidney: Kidney, radius_mm, out, blocked: Field, rng) -> np.ndarray:
    """A mass's centre: `out` radii outside the surface, where there is most room.

    Args:
        kidney: where it grows.
        radius_mm: of the mass.
        out: -0.8 deep inside to 0.8 on a stalk.
        blocked: distance to bone and the trunk's wall, mm.
        rng: draws 12 places, of which the roomiest three stay in the choice.
    """
    near = (np.abs(kidney.outer) < 2.0) & (kidney.lateral > -6)
    spots = np.argwhere(near)
    spots = spots[rng.choice(len(spots), 12)]
    place = np.array(kidney.space.start_mm) + kidney.space.step_mm * spots
    normal = place - kidney.centre_mm
    normal[:, 0] *= 0.3  # a long organ: its surface faces sideways
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    centres = place + normal * radius_mm * out
    room = [float(blocked.on(*c[:, None]).squeeze()) - radius_mm for c in centres]
    best = np.argsort(room)[::-1][:3]
    return centres[rng.choice(best)]


def ball(space: Space, centre, radius_mm, knobby, rng) -> np.ndarray:
    """Distance to an irregular ball; knobby 0.1: bumps of a tenth of its radius."""
    radii = radius_mm * rng.normal(1.0, 0.09, 3).clip(0.8, 1.25)
    sd = ellipsoid(space.at, centre, radii)
    if knobby:
        wave = max(0.75 * radius_mm, 5.0)
        sd = sd + rough(rng, space, wave, knobby * radius_mm).on(*space.axes())
    return sd


def around(centre, radius_mm: float, step_mm: float) -> Space:
    """A space around a ball, without the warp: masses keep their volume."""
    reach = 1.5 * radius_mm + 6
    count = int(np.ceil(2 * reach / step_mm)) + 1
    return Space(np.asarray(centre) - reach, step_mm, (count,) * 3)


def tumour_layers(
    space: Space, sd, shape: Field, radius_mm, contrast: Contrast, at: float, rng
) -> tuple[list[Layer], dict]:
    """A tumour's layers: tissue, lively and dead parts; and what they are.

    Args:
        space: nodes around it.
        sd: (D, H, W) distance to its surface on them, mm.
        shape: the same as what decides its label, on nodes or on voxels.
        radius_mm: of a ball of its volume.
        contrast: HU of kinds in the patient's phase.
        at: 0 to 1, decides the kind.
        rng: draws HU and inner structure.
    """
    kind, hu, texture_hu = contrast.tumour(rng, at)
    volume_ml = 4 / 3 * np.pi * radius_mm**3 / 1000
    necrotic = kind != "chromophobe" and rng.random() < min(0.12 + volume_ml / 90, 0.75)
    layers = [Layer("tumour", shape, (Coat(0, hu, texture_hu, 0.6),), "tumour")]
    wave = max(0.55 * radius_mm, 5.0)
    blobs = rough(rng, space, wave, 1.0).on(*space.axes()) * np.float32(wave / 2)
    if kind == "clear cell":  # patches that take up more contrast
        lively = space.field(np.maximum(0.35 * wave - blobs, sd + 1.5))
        layers.append(Layer("lively", lively, (Coat(0, hu + 28, 12, 3.0),)))
    if necrotic:
        edge, share = rng.uniform(0.16, 0.32) * radius_mm, rng.uniform(-0.45, 0.05)
        dead = space.field(np.maximum(sd + edge, blobs + share * wave))
        coat = Coat(0, rng.uniform(14, 32), 5, 3.0)
        layers.append(Layer("necrosis", dead, (coat,)))
    return layers, {"kind": kind, "necrotic": bool(necrotic)}


def parenchyma_layers(kidney: Kidney, contrast: Contrast, rng) -> list[Layer]:
    """Cortex, pyramids, renal pelvis and calyces of a kidney."""
    hu, space = contrast.hu, kidney.space
    cortex = Coat(0, hu["cortex"], 7)
    sinus = space.field(np.maximum(kidney.sinus, kidney.outer + 2))
    layers = [
        Layer("sinus fat", sinus, (Coat(0, -82, 14),)),
        pelvis_layer(kidney, contrast, rng),
        Layer(f"{kidney.side} kidney", kidney.shape, (cortex,), "kidney"),
    ]
    deep = np.maximum(kidney.outer + rng.uniform(5.0, 7.5), kidney.organ + 1.2)
    spots = spread(kidney, 16, rng)
    pyramids = np.maximum(deep, np.float32(2.0) - between(space, spots))
    soft = 2.5 if contrast.phase == "arterial" else 5.0
    coat = Coat(0, hu["medulla"], 8, soft)
    return [*layers, Layer("medulla", space.field(pyramids), (coat,))]


def pelvis_layer(kidney: Kidney, contrast: Contrast, rng) -> Layer:
    """Urine in the sinus: a pelvis in its middle and calyces towards the pyramids."""
    blobs = rough(rng, kidney.space, 8.0, 2.6).on(*kidney.space.axes())
    urine = np.maximum(kidney.sinus + rng.uniform(3.0, 5.5) + blobs, 1.0 - kidney.organ)
    coat = Coat(0, contrast.hu["pelvis"], 4, 1.0)
    return Layer("urine", kidney.space.field(urine), (coat,))


def spread(kidney: Kidney, count: int, rng) -> np.ndarray:
    """(count, 3) places well apart in the inner parenchyma, mm, for the pyramids."""
    inside = np.argwhere((kidney.organ < -2) & (kidney.outer < -8))
    if not len(inside):
        return np.zeros((0, 3))
    inside = inside[rng.choice(len(inside), min(300, len(inside)), replace=False)]
    chosen = [inside[0]]
    apart = np.full(len(inside), np.inf)
    for _ in range(count - 1):
        apart = np.minimum(apart, ((inside - chosen[-1]) ** 2).sum(axis=1))
        chosen.append(inside[int(apart.argmax())])
    return np.array(kidney.space.start_mm) + kidney.space.step_mm * np.array(chosen)


def between(space: Space, spots: np.ndarray) -> np.ndarray:
    """Distance of each node to the border between the cells of the spots, mm."""
    first = np.full(space.shape, np.float32(1e3))
    second = first.copy()
    z, y, x = space.axes()
    for spot in spots:
        c = spot.astype(np.float32)
        far = np.sqrt(
            ((z - c[0]) ** 2)[:, None, None]
            + ((y - c[1]) ** 2)[None, :, None]
            + ((x - c[2]) ** 2)[None, None, :]
        )
        np.minimum(second, np.maximum(first, far), out=second)
        np.minimum(first, far, out=first)
    return (second - first) / 2
