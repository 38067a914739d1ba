"""The kidneys of a phantom, and where tumours and cysts grow on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vnet_jax.data import phantom_kidney as organ
from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import Field
from vnet_jax.data.phantom_kidney import Kidney, TumourSizes
from vnet_jax.data.phantom_layers import Coat, Layer, Scene

#: KiTS19 has a tumour in every case; here a few have none, to show that too.
NO_TUMOUR = 0.05
ONE_KIDNEY = 0.04


@dataclass(frozen=True, eq=False)
class Mass:
    """A tumour or a cyst.

    Attributes:
        layers: its shape, with the role "tumour" or "cyst", then what is inside it.
        facts: what was drawn: side, centre, kind, necrotic, exophytic.
        place: distance to its surface, for the others to keep off.
    """

    layers: list[Layer]
    facts: dict
    place: Field


def draw_pair(room: Field, step_mm: float, warp, size: float, stream) -> list[Kidney]:
    """Two kidneys, sometimes one.

    Args:
        room: where bone and wall leave room.
        step_mm: distance of the nodes.
        warp: the patient's own deformation.
        size: of the skeleton.
        stream: name of a part -> its random numbers.
    """
    rng = stream("kidneys")
    sides = ["left", "right"]
    if rng.random() < ONE_KIDNEY:
        sides.remove(str(rng.choice(sides)))
    return [organ.draw_kidney(s, size, warp, room, step_mm, stream(s)) for s in sides]


def fine_step_mm(scene: Scene) -> float:
    """Distance of the nodes for what is smaller than an organ: 2 mm or more."""
    return max(2.0, 0.66 * scene.space.step_mm)


def free_room(scene: Scene) -> Field:
    """Distance to bone and to the trunk's wall, less 4 mm of fat; positive is free."""
    return scene.space.field(np.minimum(scene.taken, -scene.cavity) - 4)


def draw_tumours(
    pair, contrast: Contrast, room: Field, step_mm, even, sizes: TumourSizes, rng
):
    """One tumour, seldom two or three or none, as a list of Mass.

    Args:
        pair: the kidneys.
        contrast: HU of kinds in the patient's phase.
        room: where bone and wall leave room.
        step_mm: distance of the nodes.
        even: of `phantom_strata.even_draws`, for the first tumour.
        sizes: how large the first is.
        rng: draws the rest.
    """
    none = rng.random() < NO_TUMOUR
    count = 0 if none else int(rng.choice((1, 2, 3), p=(0.86, 0.10, 0.04)))
    even = [even[name] for name in ("kind", "volume", "depth")]
    drawn = [rng.random(3) if k else even for k in range(count)]
    shares = [0.25 if k else 1.0 for k in range(count)]  # the others are small
    rest = (step_mm, rng)
    return [
        _tumour(pair, (kind, sizes.volume_ml(at) * share, out), contrast, room, *rest)
        for (kind, at, out), share in zip(drawn, shares, strict=True)
    ]


def _tumour(pair, drawn, contrast: Contrast, room: Field, step_mm, rng) -> Mass:
    kind_at, volume_ml, depth_at = drawn
    kidney = pair[int(rng.integers(len(pair)))]
    volume_ml = max(volume_ml, 1.0)
    radius_mm = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    out = -0.6 + 1.35 * float(depth_at)
    centre = organ.pick_spot(kidney, radius_mm, out, room, rng)
    space = organ.around(centre, radius_mm, step_mm)
    sd = organ.ball(space, centre, radius_mm, 0.10, rng)
    sd = np.maximum(sd, -room.on(*space.axes()))
    shape = space.field(sd)
    layers, facts = organ.tumour_layers(
        space, sd, shape, radius_mm, contrast, kind_at, rng
    )
    place = {"side": kidney.side, "exophytic": out > 0, "centre_mm": centre.tolist()}
    return Mass(layers, place | facts, shape)


def draw_cysts(pair, room: Field, step_mm: float, rng, inside=False) -> list[Mass]:
    """No cyst on most kidneys, up to three on some.

    Args:
        pair: the kidneys.
        room: where bone and wall leave room.
        step_mm: distance of the nodes.
        rng: draws number, place, size and HU.
        inside: keep them within the parenchyma, for a given label map.
    """
    counts = [int(rng.choice((0, 1, 2, 3), p=(0.6, 0.25, 0.1, 0.05))) for _ in pair]
    kidneys = [k for k, n in zip(pair, counts, strict=True) for _ in range(n)]
    return [_cyst(kidney, room, step_mm, rng, inside) for kidney in kidneys]


def _cyst(kidney: Kidney, room: Field, step_mm: float, rng, inside: bool) -> Mass:
    small = rng.random() < 0.75
    radius_mm = float(rng.uniform(4, 12) if small else rng.uniform(12, 26))
    radius_mm = min(radius_mm, 12.0) if inside else radius_mm
    out = float(rng.uniform(-0.9, -0.3) if inside else rng.uniform(-0.5, 0.7))
    centre = organ.pick_spot(kidney, radius_mm, out, room, rng)
    space = organ.around(centre, radius_mm, step_mm)
    sd = organ.ball(space, centre, radius_mm, 0.03, rng)
    sd = np.maximum(sd, -room.on(*space.axes()))
    if inside:
        sd = np.maximum(sd, kidney.space.field(kidney.organ).on(*space.axes()))
    coat = Coat(0, float(rng.uniform(-8, 11)), 1.5)
    facts = {"side": kidney.side, "centre_mm": centre.tolist()}
    shape = space.field(sd)
    return Mass([Layer("cyst", shape, (coat,), "cyst")], facts, shape)
