"""Phantoms around given label maps: kidneys and tumours from voxels.

The label map stays as it is. The patient is built around it: spine and midline between
the kidneys, a body of the width of the picture, organs moulded by what is labelled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import bounding_box
from vnet_jax.data import phantom_kidney as organ
from vnet_jax.data.phantom_body import Body
from vnet_jax.data.phantom_contrast import Contrast
from vnet_jax.data.phantom_field import FAR_MM, Space, ellipse, united
from vnet_jax.data.phantom_kidney import Kidney
from vnet_jax.data.phantom_layers import Raster
from vnet_jax.data.phantom_masses import Mass
from vnet_jax.data.phantom_trunk import Build, draw_build

#: Components below this are specks: no kidney, no tumour of their own, ml.
SPECK_ML = 0.3
#: How far the hollow of a kidney is looked for: its outline is closed by 9 mm.
CLOSING_MM = 9.0


def fit(labels: np.ndarray, spacing_mm, rng) -> tuple[Build, list[np.ndarray]]:
    """A patient whose kidneys are where the label map has them.

    Args:
        labels: (D, H, W) 0, 1, 2; the indices grow to the feet, the back, the left.
        spacing_mm: (z, y, x).
        rng: draws what the map leaves open.

    Returns:
        The build, and the places of the voxels in patient mm, three axes.
    """
    places = [np.arange(n) * s for n, s in zip(labels.shape, spacing_mm, strict=True)]
    extent = [float(place[-1]) for place in places]
    origin = np.array([extent[0] / 2, 0.53 * extent[1], extent[2] / 2])
    middles = _kidney_middles(labels, spacing_mm)
    size = float(np.clip(rng.normal(1, 0.05), 0.9, 1.12))
    if len(middles):
        origin[:2] = middles[:, :2].mean(axis=0) - (0, 8)
    if len(middles) == 2 and np.ptp(middles[:, 2]) > 60:
        origin[2] = middles[:, 2].mean()
        size = float(np.clip(0.5 + np.ptp(middles[:, 2]) / 248, 0.88, 1.14))
    origin[1:] += _clear_of_spine(labels, spacing_mm, origin, size)
    build = _build(size, extent, rng)
    return build, [p - o for p, o in zip(places, origin, strict=True)]


def _kidney_middles(labels, spacing_mm) -> np.ndarray:
    """(0 to 2, 3) median places of the largest components' kidney voxels, mm."""
    thin = labels[:, ::2, ::2]
    step = np.array(spacing_mm) * (1, 2, 2)
    parts, count = ndimage.label(thin > 0)
    volumes_ml = np.bincount(parts.ravel(), minlength=count + 1)[1:] * step.prod() / 1e3
    order = np.argsort(-volumes_ml)[:2]
    if not len(order):
        return np.zeros((0, 3))
    keep = order[volumes_ml[order] >= max(0.05 * volumes_ml[order[0]], SPECK_ML)]
    middles = []
    for k in keep:
        inside = parts == k + 1
        kidney = inside & (thin == 1)
        middles.append(np.median(np.argwhere(kidney if kidney.any() else inside), 0))
    return np.array(middles) * step


def _clear_of_spine(labels, spacing_mm, origin, size: float) -> np.ndarray:
    """(y, x) shift in mm of the spine that keeps it best out of the labelled voxels."""
    spots = np.argwhere(labels[:, ::4, ::4])[:, 1:] * (np.array(spacing_mm[1:]) * 4)
    if not len(spots):
        return np.zeros(2)
    spots = spots[:: max(len(spots) // 3000, 1)]
    best, shift = np.inf, np.zeros(2)
    for dy in range(-28, 29, 4):
        for dx in range(-24, 25, 4):
            y, x = (spots - origin[1:] - (dy, dx)).T / size
            hit = ellipse(y, x, (12, 0), (34, 31)) < 0  # a vertebra with its canal
            behind = np.abs(x) < 75
            behind = np.where(behind, y - 38, y - 46) > 0  # out of the cavity
            cost = hit.mean() + behind.mean() + 4e-4 * np.hypot(dy, dx)
            if cost < best:
                best, shift = cost, np.array([dy, dx], np.float64)
    return shift


def _build(size: float, extent_mm, rng) -> Build:
    """A body that fills the picture as scanners' operators choose it: 82 to 96 %."""
    drawn = draw_build(rng)
    width = extent_mm[2] * rng.uniform(0.82, 0.96)
    rest = width - 2 * (drawn.wall_mm + 0.95 * drawn.fat_mm)
    half = float(np.clip(rest / 2, 108 * size, 150 * size))
    visceral = float(np.clip((half / size - 112) / 26, 0.05, 0.95))
    front = size * (78 + 52 * visceral)
    return replace(
        drawn, size=size, half_width_mm=half, front_mm=front, visceral=visceral
    )


def on_nodes(mask: np.ndarray, axes, space: Space) -> np.ndarray:
    """Distance to a mask's surface on a space's nodes, mm, negative inside.

    Args:
        mask: (D, H, W) bool, voxels.
        axes: their places, mm.
        space: nodes; its places are used unwarped.
    """
    spacing = [float(a[1] - a[0]) if len(a) > 1 else space.step_mm for a in axes]
    share = np.ascontiguousarray(mask, np.float32)
    for axis, step in enumerate(spacing):  # the mean over a node's cell
        width = round(space.step_mm / step)
        if width > 1:
            share = ndimage.uniform_filter1d(share, width, axis, mode="nearest")
    for axis, at_mm in enumerate(space.axes()):
        share = _linear(share, (at_mm - axes[axis][0]) / spacing[axis], axis)
    inside = share > 0.5
    if not inside.any():
        return np.full(space.shape, np.float32(FAR_MM))
    out = ndimage.distance_transform_edt(~inside)
    out -= ndimage.distance_transform_edt(inside)
    # From node to node: the surface lies half a step before the nearest one.
    return ((out - 0.5 * np.sign(out)) * space.step_mm).astype(np.float32)


def _linear(values, index, axis: int) -> np.ndarray:
    """Values between voxels along an axis; 0 beyond its ends."""
    count = values.shape[axis]
    low = np.floor(index).astype(int)
    weight = (index - low).astype(np.float32)
    shape = [-1 if a == axis else 1 for a in range(3)]
    out = 0
    for k, w in ((low, 1 - weight), (low + 1, weight)):
        w = np.where((k >= 0) & (k < count), w, 0).reshape(shape)
        out = out + np.take(values, np.clip(k, 0, count - 1), axis) * w
    return out


def groups(labels: np.ndarray, axes) -> list[tuple[str, tuple[slice, ...], np.ndarray]]:
    """The kidneys of a label map: (side, box of voxels, mask in it).

    Components belong to the side where their middle is; a component that crosses the
    midline, a horseshoe kidney, is one kidney.
    """
    found = bounding_box(labels)
    if found is None:
        return []
    start, shape = (np.array(v) for v in found)
    parts, _ = ndimage.label(labels[_slices(start, start + shape)])
    boxes = ndimage.find_objects(parts)
    sides: dict[str, list[int]] = {"left": [], "right": []}
    for k, box in enumerate(boxes):
        columns = (parts[box] == k + 1).sum(axis=(0, 1))
        middle = np.average(axes[2][start[2] :][box[2]], weights=columns)
        sides["left" if middle > 0 else "right"].append(k)
    out = []
    for side, numbers in sides.items():
        if numbers:
            edges = np.array([[(b.start, b.stop) for b in boxes[k]] for k in numbers])
            low, high = edges[:, :, 0].min(axis=0), edges[:, :, 1].max(axis=0)
            mask = np.isin(parts[_slices(low, high)], np.array(numbers) + 1)
            out.append((side, _slices(start + low, start + high), mask))
    return out


def _slices(low, high) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def kidney_from(labels, axes, group, step_mm: float) -> Kidney:
    """A kidney whose label stays as given; its inside is derived from distances."""
    side, box, mask = group
    space, places = _space(axes, box, step_mm)
    whole = on_nodes(mask, places, space)
    wide = ndimage.distance_transform_edt(whole < CLOSING_MM) * step_mm
    outer = np.minimum(whole, np.float32(CLOSING_MM + 0.5 * step_mm) - wide)
    outer = outer.astype(np.float32)
    sinus = np.maximum(outer + 3, 0.5 - whole)
    own = mask & (labels[box] == 1)
    kidney = on_nodes(own if own.any() else mask, places, space)
    inside = np.argwhere(kidney < 0) if (kidney < 0).any() else np.argwhere(whole < 4)
    centre = np.array(space.start_mm) + step_mm * np.median(inside, axis=0)
    out = 1.0 if side == "left" else -1.0
    lateral = np.broadcast_to(out * (space.x - centre[2]), space.shape)
    hollow = np.argwhere(sinus < -1)
    hilum = centre + np.array([0, -4, -14 * out])
    if len(hollow) > 20:
        hilum = np.array(space.start_mm) + step_mm * np.median(hollow, axis=0)
    shape = raster(mask, box, axes)
    return Kidney(side, space, centre, outer, sinus, kidney, lateral, hilum, shape)


def _space(axes, box, step_mm: float) -> tuple[Space, list[np.ndarray]]:
    """Nodes around a box of voxels, and the places of its voxels."""
    places = [a[b] for a, b in zip(axes, box, strict=True)]
    low = [p[0] - CLOSING_MM - 8 for p in places]
    high = [p[-1] + CLOSING_MM + 8 for p in places]
    count = [int((b - a) / step_mm) + 2 for a, b in zip(low, high, strict=True)]
    return Space(low, step_mm, count), places


def raster(mask: np.ndarray, box: tuple[slice, ...], axes) -> Raster:
    """A mask as a shape on its voxels, its steps smoothed a little.

    Half a voxel in-plane either side of the mask's edge is a mixture of both tissues.
    """
    pad = [
        (min(b.start, 3), min(len(a) - b.stop, 3))
        for a, b in zip(axes, box, strict=True)
    ]
    soft = np.pad(mask, pad).astype(np.float32)
    soft = ndimage.gaussian_filter(soft, (0.4, 0.8, 0.8))
    start = tuple(b.start - low for b, (low, _) in zip(box, pad, strict=True))
    wide = 2.3 * float(axes[2][1] - axes[2][0]) + 2.2  # mm that fill a canvas's edge
    return Raster((0.5 - soft) * np.float32(wide), start, axes[0])


def tumours_from(
    labels, axes, group, kidney, contrast: Contrast, owner, first: int, kind_at, rng
) -> list[Mass]:
    """The tumours of a kidney's label, specks with the largest of them.

    Args:
        labels: (D, H, W) 0, 1, 2.
        axes: places of the voxels, mm.
        group: of `groups`.
        kidney: of `kidney_from`.
        contrast: HU of kinds in the patient's phase.
        owner: (D, H, W) uint8; their voxels get their numbers, from `first` (in place).
        first: number of the first of them.
        kind_at: 0 to 1, decides the kind of the largest.
        rng: draws the others' kinds and all insides.
    """
    side, box, mask = group
    tumour = mask & (labels[box] == 2)
    parts, count = ndimage.label(tumour)
    if not count:
        return []
    voxel_ml = np.prod([float(a[1] - a[0]) for a in axes]) / 1000
    sizes_ml = np.bincount(parts.ravel(), minlength=count + 1)[1:] * voxel_ml
    order = [k for k in np.argsort(-sizes_ml) if sizes_ml[k] >= SPECK_ML]
    order = order[:8] or [int(sizes_ml.argmax())]
    number = np.full(count + 1, 1)  # specks go with the first
    number[[k + 1 for k in order]] = 1 + np.arange(len(order))
    parts = np.where(tumour, number[parts], 0)
    owner[box][tumour] = parts[tumour] + (first - 1)
    places = [a[b] for a, b in zip(axes, box, strict=True)]
    out = []
    for k, ml in enumerate(sizes_ml[order], 1):
        sd = on_nodes(parts == k, places, kidney.space)
        radius_mm = (3000 * max(float(ml), 0.1) / (4 * np.pi)) ** (1 / 3)
        shape = raster(parts == k, box, axes)
        layers, facts = organ.tumour_layers(
            kidney.space, sd, shape, radius_mm, contrast, kind_at, rng
        )
        out.append(Mass(layers, {"side": side, **facts}, kidney.space.field(sd)))
        kind_at = rng.random()
    return out


def widened(body: Body, build: Build, labels, axes) -> Body:
    """A trunk whose cavity holds what is labelled, with fat and wall around it."""
    found = bounding_box(labels)
    if found is None:
        return body
    box = _slices(found[0], np.add(*found))
    places = [a[b] for a, b in zip(axes, box, strict=True)]
    sd = on_nodes(labels[box] > 0, places, body.scene.space)
    cavity = united(body.scene.cavity, sd - 5, 10.0)
    outer = united(body.outer, sd - 6 - np.float32(0.6 * build.wall_mm), 14.0)
    thick = 10 + build.wall_mm + 0.4 * build.fat_mm
    skin = united(body.skin, sd - np.float32(thick), 40.0)
    return replace(
        body, scene=replace(body.scene, cavity=cavity), outer=outer, skin=skin
    )
