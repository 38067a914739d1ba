"""What a training step sees of a case: a patch, or the region of interest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vnet_jax.ct.intensity import scale
from vnet_jax.data.cached_case import CachedCase


def sample_patch(
    cached: CachedCase,
    rng: np.random.Generator,
    shape: Sequence[int],
    foreground: float,
    clip_hu: tuple[float, float],
    pad_value: float,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a random patch, a share of them around foreground (phase 1; section 3.1).

    Args:
        cached: a labelled case.
        rng: the only source of randomness.
        shape: (d, h, w) voxels of the patch.
        foreground: probability of a patch centred on a random foreground voxel; the
            others lie anywhere with equal probability. A case without foreground gives
            only those.
        clip_hu: HU that become -1 and 1.
        pad_value: stands, after scaling, where the volume is smaller than the patch.
        out: image and label to write to; new ones by default.

    Returns:
        image (d, h, w, 1) float32 in [-1, 1], label (d, h, w) uint8. The patch stays
        inside the volume along each axis that is long enough, and holds all of it along
        the others.
    """
    size = np.array(cached.image.shape)
    low, high = _inside(size, shape)
    box = cached.header["foreground_box"]
    if rng.random() < foreground and box:
        start = _foreground_voxel(cached.label, box, rng) - np.array(shape) // 2
    else:
        start = rng.integers(low, high, endpoint=True)
    return _cut(cached, np.clip(start, low, high), shape, clip_hu, pad_value, out)


def sample_roi(
    cached: CachedCase,
    rng: np.random.Generator,
    shape: Sequence[int],
    foreground: float,
    jitter_mm: Sequence[float],
    clip_hu: tuple[float, float],
    pad_value: float,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the region of interest around the true kidneys (phase 2; section 3.3).

    The jitter stands in for phase 1's error: in prediction the box is centred on a
    coarse mask, not on the truth.

    Args:
        cached: a labelled case; without foreground the box is centred on the volume.
        rng: the only source of randomness.
        shape: (d, h, w) voxels of the region.
        foreground: probability of such a region; the others lie anywhere in the CT with
            equal probability, for boxes of phase 1 that reach too far.
        jitter_mm: (z, y, x); the centre moves by at most that either way, uniformly,
            and never so far that foreground leaves the region. Where the foreground is
            longer than the region, the region stays inside the foreground instead.
        clip_hu: HU that become -1 and 1.
        pad_value: stands, after scaling, where the volume is smaller than the region.
        out: image and label to write to; new ones by default.

    Returns:
        image (d, h, w, 1) float32 in [-1, 1], label (d, h, w) uint8.
    """
    size, shape = np.array(cached.image.shape), np.array(shape)
    # The paper's 1 draws no number: its samples stay what they were.
    if foreground < 1 and rng.random() >= foreground:
        start = rng.integers(*_inside(size, shape), endpoint=True)
        return _cut(cached, start, shape, clip_hu, pad_value, out)
    box = cached.header["foreground_box"] or ([0, 0, 0], size)
    first, length = np.array(box[0]), np.array(box[1])
    jitter_vox = rng.uniform(-1, 1, 3) * jitter_mm / cached.grid.spacing_mm
    # A box of 60 voxels from index 20 has its middle at 50: 80 voxels start at 10.
    start = np.rint(first + (length - shape) / 2 + jitter_vox).astype(int)
    # The whole box is inside while the start is in [20 + 60 - 80, 20] = [0, 20].
    ends = (first, first + length - shape)
    start = np.clip(start, np.minimum(*ends), np.maximum(*ends))
    start = np.clip(start, *_inside(size, shape))
    return _cut(cached, start, shape, clip_hu, pad_value, out)


def _inside(size: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest start, per axis, with no more padding than needed.

    100 slices and a patch of 64: 0 to 36. 48 slices and a patch of 64: -16 to 0.
    """
    slack = size - np.array(shape)
    return np.minimum(slack, 0), np.maximum(slack, 0)


def _foreground_voxel(label: np.ndarray, box, rng: np.random.Generator) -> np.ndarray:
    """(3,) index of a foreground voxel, each with equal probability."""
    first, length = np.array(box[0]), np.array(box[1])
    part = label[tuple(slice(a, a + n) for a, n in zip(first, length, strict=True))]
    inside = np.flatnonzero(part)
    picked = inside[rng.integers(inside.size)]
    return first + np.array(np.unravel_index(picked, part.shape))


def _cut(cached: CachedCase, start, shape, clip_hu, pad_value, out):
    """Image and label of a box; padding goes in after scaling, so that it is exact."""
    low = np.maximum(start, 0)
    high = np.minimum(start + np.array(shape), cached.image.shape)
    inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    place = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    image, label = out or (np.empty((*shape, 1), np.float32), np.empty(shape, np.uint8))
    if not np.array_equal(high - low, shape):
        image.fill(pad_value)
        label.fill(0)
    scale(cached.image[inner], clip_hu, out=image[..., 0][place])
    label[place] = cached.label[inner]
    return image, label
