"""An augmented sample's interpolation beside SciPy's, in turn: `data.warp`.

    python -m benchmarks.warping

Milliseconds, wall and processor time, medians of 9; the program compiled before.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from scipy import ndimage

from vnet_jax.data.warp import warp

SHAPES = (64, 128, 128), (80, 240, 384)  # a patch of phase 1, a region of phase 2
SPACING_MM = 3.0, 0.78162497, 0.78162497
REPEATS = 9


def main() -> None:
    """Prints a line a shape and side."""
    rng = np.random.default_rng(0)
    matrix = np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))
    for shape in SHAPES:
        image = rng.standard_normal((*shape, 1), np.float32)
        label = (image[..., 0] > 1).astype(np.uint8)
        sides = {"ours": warp, "SciPy": _scipy}
        seconds = {side: [] for side in sides}
        for repeat in range(REPEATS + 1):
            for side, function in sides.items():
                wall, work = time.perf_counter(), time.process_time()
                function(image, label, matrix, SPACING_MM)
                took = time.perf_counter() - wall, time.process_time() - work
                seconds[side] += [took] if repeat else []
        for side, took in seconds.items():
            wall, work = (1e3 * statistics.median(x) for x in zip(*took, strict=True))
            print(f"{shape}  {side:5}  {wall:6.1f} ms, {work:6.1f} of processor time")


def _scipy(image, label, matrix, spacing_mm):
    spacing = np.asarray(spacing_mm)
    in_voxels = matrix * spacing / spacing[:, None]
    middle = (np.array(label.shape) - 1) / 2
    place = dict(matrix=in_voxels, offset=middle - in_voxels @ middle, mode="nearest")
    moved = ndimage.affine_transform(image[..., 0], **place, order=1)
    return moved, ndimage.affine_transform(label, **place, order=0)


if __name__ == "__main__":
    main()
