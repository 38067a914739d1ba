"""Are these voxels Hounsfield units? Are these labels?

A CT in HU has air near -1000, fat near -100, soft tissue from 0 to 100, bone above 300.
Whatever body and field of view, some of its voxels are fat and some soft tissue; the
rules below ask for no more than that, so that a small field of view without air passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vnet_jax.errors import InputError

AIR_HU = -1024.0
MOST_HU = 1e6  # beyond: impossible, as NaN is; metal has some 10,000
IMPOSSIBLE = 1e-3  # share of such voxels that is mended
TISSUE_HU = (-300.0, 300.0)  # fat and soft tissue
LEAST_TISSUE = 5e-3  # share of voxels; an infant in a 70 cm field of view has 1.6 %
FAT_HU = (-300.0, -20.0)
LEAST_FAT = 1e-3  # share of voxels, where soft tissue seems shifted
SOFT_SHIFTED_HU = (850.0, 1300.0)  # soft tissue with 1024 added
MOST_DENSE_BONE = 0.05  # share of voxels that bone may have there
LEAST_SPAN_HU = 150.0  # fat to enhanced organs alone have more
CLIPPED = 0.05  # share of voxels at one end of the range: it was clipped
LEAST_AIR_HU = -900.0  # a range that ends lower holds all that matters
SAMPLES = 4_000_000  # voxels that the shares are counted on
EXPORT = "export the scan in Hounsfield units"


def possible(array: np.ndarray, path=None) -> tuple[np.ndarray, list[str]]:
    """The array with its few impossible voxels set to air (a copy if there are any).

    Those are NaN, Inf and what lies a million HU away, which sums of voxels would carry
    to Inf.

    Raises:
        InputError: when more than 0.1 % are impossible.
    """
    if array.dtype.kind != "f":
        return array, []
    with np.errstate(all="ignore"):  # no mask for a healthy volume; NaN is not within
        if -MOST_HU <= array.min() and array.max() <= MOST_HU:
            return array, []
        bad = ~((array >= -MOST_HU) & (array <= MOST_HU))
    count = int(bad.sum())
    what = "NaN, Inf or impossible" if np.isfinite(array[bad]).any() else "NaN or Inf"
    share = f"{count} {what} voxels ({count / array.size:.2%})"
    if count > IMPOSSIBLE * array.size:
        raise InputError(path, share, "export the scan again")
    mended = array.copy()
    mended[bad] = AIR_HU
    return mended, [f"{share} set to {AIR_HU:g} HU"]


def check_hu(hu: np.ndarray, path=None) -> list[str]:
    """Refuse what is no CT in HU; return the doubts about the rest.

    Args:
        hu: (D, H, W), finite.
        path: for the messages.

    Raises:
        InputError: constant, only air, or clearly no HU, with the range found.
    """
    low, high = float(hu.min()), float(hu.max())
    if low == high:
        raise InputError(path, f"every voxel is {low:g}", "give a CT")
    found = f"values from {low:g} to {high:g}"
    voxels = _sample(hu)
    if _share(voxels, TISSUE_HU[0], math.inf) < LEAST_TISSUE:
        raise InputError(path, f"only air, no tissue: {found}", "give a CT in HU")
    reason = _no_hu(voxels, high - low)
    if reason:
        raise InputError(path, f"no Hounsfield units ({reason}): {found}", EXPORT)
    doubts = [f"perhaps clipped: {found}"] if _clipped(voxels, low, high) else []
    dense = _share(voxels, *SOFT_SHIFTED_HU)
    if dense > MOST_DENSE_BONE:
        doubts.append(f"{dense:.0%} of the voxels are as dense as hard bone: {found}")
    return doubts


def _no_hu(voxels: np.ndarray, span: float) -> str:
    """Why these are clearly no HU, or nothing."""
    low, high = (float(v) for v in np.percentile(voxels, (0.1, 99.9)))
    if span <= 10:
        return "scaled to about 0 to 1"
    if (low >= 0 and high <= 255) or (low >= -128 and high <= 127):
        return "256 grey values"
    if high - low < LEAST_SPAN_HU:
        return f"99.8 % lie within {high - low:.0f}"
    shifted = _share(voxels, *SOFT_SHIFTED_HU) > MOST_DENSE_BONE
    if shifted and _share(voxels, *FAT_HU) < LEAST_FAT:
        return "about 1024 too high: soft tissue lies near 1050"
    if low >= 0:
        return "nothing lies below 0"
    if _share(voxels, *TISSUE_HU) < LEAST_TISSUE:
        return "no fat or soft tissue near 0"
    return ""


def _clipped(voxels: np.ndarray, low: float, high: float) -> bool:
    """Whether the range ends short of air or bone, or at a wall of equal values."""
    if low > -200 or high < 200:
        return True
    wall = low > LEAST_AIR_HU and _share(voxels, low, low) > CLIPPED
    return wall or _share(voxels, high, high) > CLIPPED


def _sample(array: np.ndarray) -> np.ndarray:
    """About SAMPLES voxels, evenly over the volume, (n,)."""
    step = max(1, math.ceil((array.size / SAMPLES) ** (1 / 3)))
    return array[::step, ::step, ::step].ravel()


def _share(voxels: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((voxels >= low) & (voxels <= high)))


def as_labels(
    array: np.ndarray, allowed: Sequence[int] | None = None, path=None
) -> np.ndarray:
    """Label values as integers, of the smallest dtype that holds them.

    Args:
        array: (D, H, W), any real dtype.
        allowed: the values that may occur, or None for any integer >= 0.
        path: for the messages.

    Returns:
        uint8, uint16 or int32; the input itself where it has that dtype.

    Raises:
        InputError: for values that are no integers or not allowed, listing them.
    """
    strange: set[float] = set()
    top, clean = 0, _clean_up_to(array.dtype, allowed)
    # Slab by slab: no mask of the whole volume. The last axis is a file's slowest.
    for index in range(array.shape[2]):
        slab = array[:, :, index]
        most = slab.max()
        if clean is None or most > clean:
            strange.update(np.unique(slab[~_fits(slab, allowed)]).tolist())
        if not strange:
            top = max(top, int(most))
    if strange:
        values = ", ".join(f"{v:g}" for v in sorted(strange)[:8])
        more = ", ..." if len(strange) > 8 else ""
        expected = "integers from 0" if allowed is None else f"{sorted(allowed)}"
        wrong = f"label values {values}{more}; expected {expected}"
        raise InputError(path, wrong, "correct the label file, or data.labels")
    return array.astype(
        np.min_scalar_type(top) if top < 65536 else np.int32, copy=False
    )


def _clean_up_to(dtype: np.dtype, allowed: Sequence[int] | None) -> int | None:
    """The value up to which every value is a label, or None: no mask is needed then."""
    if dtype.kind != "u":
        return None
    if allowed is None:
        return 2**31 - 1
    return len(allowed) - 1 if sorted(allowed) == list(range(len(allowed))) else None


def _fits(slab: np.ndarray, allowed: Sequence[int] | None) -> np.ndarray:
    if allowed is None:
        with np.errstate(invalid="ignore"):
            return (slab >= 0) & (slab < 2**31) & (slab == np.floor(slab))
    fits = np.zeros(slab.shape, bool)
    for value in allowed:
        fits |= slab == value
    return fits
