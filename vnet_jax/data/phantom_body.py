"""The body of a phantom around its kidneys: the order in which organs take places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vnet_jax.data import phantom_bones as bones
from vnet_jax.data import phantom_gut as gut
from vnet_jax.data import phantom_organs as organs
from vnet_jax.data import phantom_trunk as trunk
from vnet_jax.data.phantom_field import FAR_MM, Field, Space, rough
from vnet_jax.data.phantom_kidney import parenchyma_layers
from vnet_jax.data.phantom_layers import Layer, Scene
from vnet_jax.data.phantom_paint import Canvas


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
        scene.claim_field(mass.place)
    for kidney in pair:
        scene.claim_field(kidney.space.field(kidney.outer))
    trunk.paint_trunk(scene, body.outer, body.skin, build, part("wall"))
    trunk.paint_chest(scene, build, contrast, part("chest"))
    bones.paint_ribs(scene, build, part("ribs"))
    scene.layers.extend(body.spine)
    trunk.paint_muscles(scene, build.size, part("muscles"))
    hila = [kidney.hilum_mm for kidney in pair]
    organs.paint_vessels(scene, contrast, hila, part("vessels"))
    fat_mm = 2.0 + 8.0 * build.visceral  # about kidneys and masses, in their fascia
    for kidney in pair:
        scene.claim_field(kidney.space.field(kidney.outer).grown(fat_mm))
    for mass in grown:
        scene.claim_field(mass.place.grown(fat_mm))
    organs.paint_liver(scene, build, contrast, part("liver"))
    organs.paint_spleen(scene, build, contrast, part("spleen"))
    organs.paint_pancreas(scene, contrast, part("pancreas"))
    gut.paint_stomach(scene, build, contrast, part("stomach"))
    gut.paint_colon(scene, build, contrast, part("colon"))
    gut.paint_bladder(scene, contrast, part("bladder"))
    gut.paint_small_bowel(scene, build, contrast, part("bowel"))
    layers = list(scene.layers)
    for kidney in pair:
        layers += parenchyma_layers(kidney, contrast, part(f"{kidney.side} inside"))
    for mass in grown:
        layers += mass.layers
    rng = part("texture")
    textures = [rough(rng, scene.space, wave_mm, 1.0) for wave_mm in (3.0, 7.0)]
    return Canvas(layers, textures, axes)
