"""How much of the truth phase 1's box lets through to phase 2."""

from __future__ import annotations

import numpy as np

from vnet_jax.ct.geometry import Grid, bounding_box

#: Voxels of the box by which a centre may lie beyond its faces: rounding, no more.
SLACK_VOX = 1e-3


def coverage(foreground: np.ndarray, grid: Grid, box: Grid | None) -> float:
    """Share of the true foreground whose voxel centres lie inside a box.

    What is outside is lost for good: phase 2 never sees it. The box need not share
    the foreground's axes or spacing; it may be larger than the volume.

    Args:
        foreground: (D, H, W) the truth; non-zero means inside.
        grid: where its voxels are.
        box: the box's own grid, or None where phase 1 found nothing.

    Returns:
        A number in [0, 1]; 1 where there is no foreground to lose.
    """
    inside = np.asarray(foreground) > 0
    found = bounding_box(inside)
    if found is None:
        return 1.0
    if box is None:
        return 0.0
    start, shape = found  # its voxels are listed from this part: quicker by far
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    indices = np.argwhere(inside[part]) + start
    at = box.to_index(grid.to_mm(indices))  # (n, 3) in voxels of the box
    # Voxel 0 of a box reaches from -0.5 to 0.5, the last one of 80 to 79.5.
    low, high = -0.5 - SLACK_VOX, np.asarray(box.shape) - 0.5 + SLACK_VOX
    return float(np.mean(np.all((at >= low) & (at <= high), axis=1)))
