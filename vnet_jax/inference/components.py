"""Connected components of a mask, and the holes in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vnet_jax.ct.geometry import bounding_box

#: Voxels that touch by a face, an edge or a corner are connected.
CONNECTED = np.ones((3, 3, 3), bool)
#: What is outside such a component is connected by faces alone.
FACES = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a mask, largest first.

    Attributes:
        index: (d, h, w) int32 over the foreground's box: 0 outside, else the
            component's place in the arrays below plus 1.
        start: (3,) first voxel of that box in the volume.
        voxels: (n,) voxels of each component.
        mean_hu: (n,) mean of the unclipped CT in each.
        centre_vox: (n, 3) float64 centre of each in voxels of the volume.
    """

    index: np.ndarray
    start: np.ndarray
    voxels: np.ndarray
    mean_hu: np.ndarray
    centre_vox: np.ndarray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.voxels)

    def boxes(self) -> list[tuple[slice, ...]]:
        """Where each component lies in `index`; whatever follows is fast on these."""
        return ndimage.find_objects(self.index)

    @property
    def box(self) -> tuple[slice, ...]:
        """Where `index` lies in the volume."""
        return tuple(
            slice(s, s + n) for s, n in zip(self.start, self.index.shape, strict=True)
        )


def find_components(
    mask: np.ndarray, hu: np.ndarray | None = None, touching: np.ndarray = CONNECTED
) -> Components:
    """Labels the components of a mask, on the box of its foreground only.

    Args:
        mask: (D, H, W) bool.
        hu: (D, H, W) the unclipped CT; without it `mean_hu` is NaN.
        touching: (3, 3, 3) bool, which neighbours of a voxel are connected with it.

    Returns:
        The components, by falling size.
    """
    box = bounding_box(mask)
    if box is None:
        none = np.zeros(0)
        index = np.zeros((1, 1, 1), np.int32)
        return Components(index, np.zeros(3, int), none, none, np.zeros((0, 3)))
    start, shape = np.array(box[0]), box[1]
    part = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    index, n = ndimage.label(mask[part], touching)
    where = np.nonzero(index)
    which = index[where]
    voxels = np.bincount(which, minlength=n + 1)[1:]
    order = np.argsort(-voxels, kind="stable")

    def mean(values) -> np.ndarray:
        return (np.bincount(which, values, n + 1)[1:] / voxels)[order]

    rank = np.zeros(n + 1, np.int32)
    rank[order + 1] = np.arange(1, n + 1)
    centre = np.stack([mean(at) for at in where], axis=1) + start
    mean_hu = np.full(n, np.nan) if hu is None else mean(hu[part][where])
    return Components(rank[index], start, voxels[order], mean_hu, centre)


def find_holes(mask: np.ndarray, hu: np.ndarray | None = None) -> Components:
    """The holes of a mask: background that no path of faces joins to the outside.

    A hollow that is open at a face of the volume is none.

    Args:
        mask: (D, H, W) bool.
        hu: (D, H, W) the unclipped CT; without it `mean_hu` is NaN.

    Returns:
        The holes as components, by falling size.
    """
    closed = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is not None:
        part = tuple(slice(s, s + n) for s, n in zip(*box, strict=True))
        index, _ = ndimage.label(~np.pad(mask[part], 1), FACES)
        inner = index[1:-1, 1:-1, 1:-1]
        closed[part] = (inner > 0) & (inner != index[0, 0, 0])
    return find_components(closed, hu, FACES)


def bordering(holes: Components, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What lies around holes: the value behind each face of theirs.

    Args:
        holes: from `find_holes`.
        values: (D, H, W) integers.

    Returns:
        (m,) the hole's place among the holes and (m,) the value behind the face, one
        entry for each face between a hole and what is not of it.
    """
    inside = np.argwhere(holes.index > 0)  # (n, 3); no hole touches the volume's faces
    own = holes.index[tuple(inside.T)]
    padded = np.pad(holes.index, 1)
    which, behind = [], []
    for axis in range(3):
        for step in (-1, 1):
            shift = np.eye(3, dtype=int)[axis] * step
            outside = padded[tuple((inside + 1 + shift).T)] == 0
            which.append(own[outside] - 1)
            behind.append(values[tuple((inside[outside] + holes.start + shift).T)])
    return np.concatenate(which), np.concatenate(behind)
