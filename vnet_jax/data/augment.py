"""Random changes of a training sample that leave its truth true.

Off in the paper's configs; the demo turns them on, since 12 cases are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from vnet_jax.data.warp import warp


def augment(
    image: np.ndarray,
    label: np.ndarray,
    rng: np.random.Generator,
    spacing_mm: Sequence[float],
    *,
    flip: Sequence[float] = (0.0, 0.0, 0.0),
    rotation: float = 0.0,
    stretch: float = 0.0,
    contrast: float = 0.0,
    brightness: float = 0.0,
    noise: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors, turns and stretches a sample and changes its intensities, at random.

    Args:
        image: (d, h, w, 1) float32 in [-1, 1], as a sample function returns it.
        label: (d, h, w) uint8.
        rng: the only source of randomness; what is off draws nothing in the others.
        spacing_mm: (z, y, x) of the sample's voxels.
        flip: probability of mirroring along z, y and x.
        rotation: 15 turns by up to 15 degrees about each axis.
        stretch: 0.2 stretches each axis by a factor within 0.8 to 1.2.
        contrast: 0.2 multiplies the intensities by a factor within 0.8 to 1.2.
        brightness: 0.1 then adds a value within -0.1 to 0.1, 25 HU at the paper's
            window.
        noise: 0.05 then adds white noise with a standard deviation of up to 0.05.

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
    if mirrored.size:
        image, label = np.flip(image, mirrored), np.flip(label, mirrored)
    if rotation or stretch:
        turn = Rotation.from_rotvec(np.deg2rad(rotation * turn_rad)).as_matrix()
        matrix = turn @ np.diag(1 + stretch * stretches)
        image, label = warp(image, label, matrix, spacing_mm)
    if contrast or brightness or noise:
        image = image * np.float32(1 + contrast * gain) + np.float32(
            brightness * offset
        )
        if noise:
            grain = rng.standard_normal(image.shape, np.float32)
            image = image + np.float32(noise * level) * grain
        image = np.clip(image, -1, 1)
    return np.ascontiguousarray(image), np.ascontiguousarray(label)
