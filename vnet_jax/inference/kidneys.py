"""Where the kidneys are: seen by phase 1, or given as another program's mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.nifti import Scan
from vnet_jax.errors import InputError
from vnet_jax.inference import roi
from vnet_jax.inference.components import find_components
from vnet_jax.inference.predict import Predictor
from vnet_jax.inference.rules import largest


def locate(
    predictor: Predictor, members: Iterable[Mapping], image: Volume
) -> Grid | None:
    """Where phase 1 sees the kidneys: the box around its largest components.

    Args:
        predictor: of phase 1.
        members: {"params", "batch_stats"} of each model to average.
        image: (D, H, W) HU on the predictor's grid.

    Returns:
        The foreground's box, or None where there is no foreground.
    """
    return foreground(*predictor.mean_softmax(members, image)[-1])[0]


def foreground(probabilities: np.ndarray, grid: Grid) -> tuple[Grid | None, np.ndarray]:
    """The box of the components that count, and the (D, H, W) voxels that do not.

    Args:
        probabilities: (D, H, W, classes) phase 1's softmax.
        grid: where it lies.
    """
    inside = probabilities.argmax(axis=-1) > 0  # (D, H, W)
    found = find_components(inside)
    kept = np.zeros_like(inside)
    kept[found.box] = (found.index > 0) & (found.index <= largest(found))
    return roi.foreground_region(kept, grid), inside & ~kept


def given_region(kidneys: Scan, scan: Scan) -> Grid | None:
    """The box around another program's kidneys, by phase 1's rule of components.

    Args:
        kidneys: anything > 0, on any grid of the same patient.
        scan: the CT.

    Raises:
        InputError: they lie outside the CT.
    """
    mask, grid = kidneys.volume.array, kidneys.volume.grid
    found = find_components(mask > 0)
    kept = (found.index > 0) & (found.index <= largest(found))
    region = roi.foreground_region(kept, grid.crop(found.start, kept.shape))
    if region is not None and roi.lay_over(region, scan.volume.grid) is None:
        raise InputError(
            kidneys.path,
            f"its kidneys, around {roi.centre_mm(region).round(1).tolist()} mm, lie "
            "outside the CT",
            "give the mask of this CT",
        )
    return region
