"""Random changes of a training sample that leave its truth true.

Off in the paper's configs; the demo turns them on, since 12 cases are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def augment(
    image: np.ndarray,
    label: np.ndarray,
    rng: np.random.Generator,
    flip: Sequence[float] = (0.0, 0.0, 0.0),
    contrast: float = 0.0,
    brightness: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors a sample and changes its intensities, at random.

    Args:
        image: (d, h, w, 1) float32 in [-1, 1], as a sample function returns it.
        label: (d, h, w) uint8.
        rng: the only source of randomness; five numbers are drawn whatever is on.
        flip: probability of mirroring along z, y and x.
        contrast: 0.2 multiplies the intensities by a factor within 0.8 to 1.2.
        brightness: 0.1 then adds a value within -0.1 to 0.1, 25 HU at the paper's
            window.

    Returns:
        image and label of the same shapes and dtypes; the image stays in [-1, 1].
    """
    mirrored = np.flatnonzero(rng.random(3) < np.asarray(flip))
    gain, offset = rng.uniform(-1, 1, 2)
    image, label = np.flip(image, mirrored), np.flip(label, mirrored)
    if contrast or brightness:
        image = image * np.float32(1 + contrast * gain)
        image = np.clip(image + np.float32(brightness * offset), -1, 1)
    return np.ascontiguousarray(image), np.ascontiguousarray(label)
