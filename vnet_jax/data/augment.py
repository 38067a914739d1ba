"""Random changes of a training sample that leave its truth true.

Off in the paper's configs; `configs/phase2_strong.py` turns all of them on, the demo
some. `docs/augmentation.md` shows each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from vnet_jax.data import bspline
from vnet_jax.data.resolution import blurred, coarsened
from vnet_jax.data.warp import Bend, warp

#: What has a probability of its own (`chance`), in the order in which it is drawn.
KINDS = (
    "rotation",
    "stretch",
    "scaling",
    "elastic",
    "blur",
    "low_resolution",
    "gamma",
    "contrast",
    "brightness",
    "noise",
)

#: Fields that are a number from 0 on, 0 being off.
AMOUNTS = ("rotation", "blur_mm", "gamma", "contrast", "brightness", "noise")

#: Least distance of control points: a volume has 85 of them along 40 cm then.
LEAST_GRID_MM = 5.0

#: Each draws from a stream of its own, so that nothing moves another's numbers. A new
#: one goes to the end.
STREAMS = ("chance", "scaling", "elastic", "blur", "low_resolution", "gamma")


def augment(
    image: np.ndarray,
    label: np.ndarray,
    rng: np.random.Generator,
    spacing_mm: Sequence[float],
    *,
    flip: Sequence[float] = (0.0, 0.0, 0.0),
    swap: Sequence[tuple[int, int]] = (),
    rotation: float = 0.0,
    stretch: float = 0.0,
    scaling: float = 0.0,
    elastic_mm: float = 0.0,
    elastic_grid_mm: float = 40.0,
    blur_mm: float = 0.0,
    low_resolution: Sequence[float] = (1.0, 1.0, 1.0),
    gamma: float = 0.0,
    contrast: float = 0.0,
    brightness: float = 0.0,
    noise: float = 0.0,
    chance: Mapping[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Changes where a sample lies, how sharp it is and its intensities, at random.

    In a scanner's order: the patient (mirrored, turned, bent: read once), the
    resolution, the grey values, and the noise on top.

    Args:
        image: (d, h, w, 1) float32 in [-1, 1], as a sample function returns it.
        label: (d, h, w) uint8.
        rng: the only source of randomness; what is off draws nothing in the others.
        spacing_mm: (z, y, x) of the sample's voxels.
        flip: probability of mirroring along z, y and x.
        swap: pairs of classes that name a side; they change places where x is mirrored.
        rotation: 15 turns by up to 15 degrees about each axis.
        stretch: 0.2 stretches each axis by a factor within 0.8 to 1.2.
        scaling: 0.2 does so with one factor for all three.
        elastic_mm: control points move by up to this along each axis.
        elastic_grid_mm: between two control points.
        blur_mm: largest standard deviation of a Gaussian.
        low_resolution: (z, y, x), the most times larger that a voxel becomes; y and x
            grow together. 1 is off.
        gamma: 0.5 raises the intensities, seen as 0 to 1, to a power within 1 / 1.5 to
            1.5, evenly in its logarithm.
        contrast: 0.2 multiplies the intensities by a factor within 0.8 to 1.2.
        brightness: 0.1 then adds a value within -0.1 to 0.1, 25 HU at the paper's
            window.
        noise: 0.05 then adds white noise with a standard deviation of up to 0.05.
        chance: probability of each of `KINDS`; 1 where it is not named.

    Returns:
        image and label of the same shapes and dtypes; the image stays in [-1, 1].
    """
    mirrored = np.flatnonzero(rng.random(3) < np.asarray(flip))
    gain, offset = rng.uniform(-1, 1, 2)
    turn_rad, stretches, level = (
        rng.uniform(-1, 1, 3),
        rng.uniform(-1, 1, 3),
        rng.random(),
    )
    own = dict(zip(STREAMS, rng.spawn(len(STREAMS)), strict=True))
    happens = _happening(own["chance"], chance or {})

    if mirrored.size:
        image, label = np.flip(image, mirrored), np.flip(label, mirrored)
    if swap and 2 in mirrored:
        label = _swapped(label, swap)
    matrix = np.eye(3)
    if rotation and happens["rotation"]:
        matrix = Rotation.from_rotvec(np.deg2rad(rotation * turn_rad)).as_matrix()
    if stretch and happens["stretch"]:
        matrix = matrix @ np.diag(1 + stretch * stretches)
    if scaling and happens["scaling"]:
        matrix = matrix * (1 + scaling * own["scaling"].uniform(-1, 1))
    bend = None
    if elastic_mm and happens["elastic"]:
        bend = _bend(own["elastic"], elastic_mm, elastic_grid_mm, label, spacing_mm)
    if bend or not np.array_equal(matrix, np.eye(3)):
        image, label = warp(image, label, matrix, spacing_mm, bend)

    if blur_mm and happens["blur"]:
        image = blurred(image, blur_mm * own["blur"].random(), spacing_mm)
    if max(low_resolution) > 1 and happens["low_resolution"]:
        through, within = own["low_resolution"].random(2)
        larger = (np.asarray(low_resolution) - 1) * (through, within, within)
        image = coarsened(image, 1 + larger)

    if gamma and happens["gamma"]:
        power = np.float32((1 + gamma) ** own["gamma"].uniform(-1, 1))
        image = 2 * np.maximum((image + 1) / 2, 0) ** power - 1
    contrast *= happens["contrast"]
    brightness *= happens["brightness"]
    noise *= happens["noise"]
    if contrast or brightness or noise:
        image = image * np.float32(1 + contrast * gain) + np.float32(
            brightness * offset
        )
        if noise:
            grain = rng.standard_normal(image.shape, np.float32)
            image = image + np.float32(noise * level) * grain
        image = np.clip(image, -1, 1)
    return np.ascontiguousarray(image), np.ascontiguousarray(label)


def check(
    *,
    flip: Sequence[float] = (0.0, 0.0, 0.0),
    swap: Sequence[tuple[int, int]] = (),
    stretch: float = 0.0,
    scaling: float = 0.0,
    elastic_mm: float = 0.0,
    elastic_grid_mm: float = 40.0,
    low_resolution: Sequence[float] = (1.0, 1.0, 1.0),
    chance: Mapping[str, float] | None = None,
    **amounts: float,
) -> None:
    """Refuses settings that `augment` cannot follow.

    Args:
        flip: as in `augment`, and so are the others.
        swap: pairs.
        stretch: below 1.
        scaling: below 1.
        elastic_mm: at most `bspline.MOST` of `elastic_grid_mm`: more may fold.
        elastic_grid_mm: at least `LEAST_GRID_MM`.
        low_resolution: three numbers from 1 on.
        chance: of `KINDS`.
        amounts: of `AMOUNTS`, from 0 on.

    Raises:
        ValueError: names the field and its value.
    """
    wrong = [f"{name}, which is no field" for name in amounts.keys() - set(AMOUNTS)]
    wrong += [
        f"{name} {value}, not from 0 on"
        for name, value in amounts.items()
        if not 0 <= value < np.inf
    ]
    wrong += [
        f"{name} {value}, not from 0 to below 1"
        for name, value in {"stretch": stretch, "scaling": scaling}.items()
        if not 0 <= value < 1
    ]
    chances = dict(chance or {})
    shares = [*flip, *chances.values()]
    if len(flip) != 3 or not all(0 <= share <= 1 for share in shares):
        wrong.append(
            f"flip {tuple(flip)}, chance {chances}: probabilities, flip of z y x"
        )
    if unknown := sorted(chances.keys() - set(KINDS)):
        wrong.append(f"chance.{unknown[0]}, not one of {', '.join(KINDS)}")
    if any(np.shape(pair) != (2,) for pair in swap):
        wrong.append(f"swap {tuple(swap)}, not pairs of classes such as ((1, 2),)")
    if len(low_resolution) != 3 or min(low_resolution) < 1:
        wrong.append(f"low_resolution {tuple(low_resolution)}, not z y x from 1 on")
    if not LEAST_GRID_MM <= elastic_grid_mm < np.inf:
        wrong.append(f"elastic_grid_mm {elastic_grid_mm}, not from {LEAST_GRID_MM} on")
    if not 0 <= elastic_mm <= bspline.MOST * elastic_grid_mm:
        wrong.append(
            f"elastic_mm {elastic_mm}, not from 0 to {bspline.MOST} of elastic_grid_mm "
            f"{elastic_grid_mm}: tissue could fold"
        )
    if wrong:
        raise ValueError("; ".join(wrong))


def _happening(rng: np.random.Generator, chance: Mapping[str, float]) -> dict:
    drawn = zip(KINDS, rng.random(len(KINDS)), strict=True)
    return {kind: bool(u < chance.get(kind, 1.0)) for kind, u in drawn}


def _swapped(label: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    table = np.arange(256, dtype=np.uint8)
    for a, b in pairs:
        table[[a, b]] = b, a
    return table[label]


def _bend(rng, most_mm: float, distance_mm: float, label, spacing_mm) -> Bend:
    points = bspline.grid_shape(label.shape, spacing_mm, distance_mm)
    return Bend(most_mm * rng.uniform(-1, 1, (3, *points)), distance_mm)
