"""A CT and its mask small enough to stand inside a page, as NIfTI files in base64."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from isal import isal_zlib

from vnet_jax.ct.geometry import Grid, Volume, bounding_box, to_canonical

#: Shown around the mask: enough to see the spine and the flank.
MARGIN_MM = 25.0
#: Voxels in a page at most; a finer CT is shown coarser. About 1 byte each.
VOXELS = 12_000_000
#: Slices nearer than this are left out before pixels are.
THIN_MM = 2.0
SOFT_TISSUE = (-160, 240)
#: What twelve bits of a scanner hold.
LOW_HU, HIGH_HU = -1024, 3071


@dataclass(frozen=True, eq=False)
class Embedded:
    """What the viewer of a page shows.

    Attributes:
        ct: a gzipped NIfTI in base64, int16 HU, axes R, A, S.
        mask: the same of the classes, uint8.
        grid: where they are, axes S, A, R: the index of x runs fastest in memory.
        classes: the mask on that grid.
        said: which part of the CT it is, and how fine, in a sentence.
    """

    ct: str
    mask: str
    grid: Grid
    classes: np.ndarray
    said: str


def embed(volume: Volume, mask: np.ndarray) -> Embedded:
    """Cuts the box around the mask, or takes the whole CT where the mask is empty.

    Args:
        volume: (D, H, W) HU, any axis order and spacing.
        mask: (D, H, W) classes on its grid.

    Raises:
        ValueError: when the mask has not the CT's shape.
    """
    ct, classes = _upright(volume), _upright(Volume(mask, volume.grid))
    start, stop, around = _box(classes)
    factor = _coarser(stop - start, ct.grid.spacing_mm)
    box = tuple(slice(a, b, f) for a, b, f in zip(start, stop, factor, strict=True))
    grid = ct.grid.crop(start, stop - start)
    if max(factor) > 1:
        shape = [len(range(part.start, part.stop, part.step)) for part in box]
        # Every f-th voxel as it is: a mean would smooth the noise that HU are read in.
        affine = grid.affine @ np.diag([*factor, 1.0])
        grid = Grid(shape, affine)
    hu, part = np.clip(ct.array[box], LOW_HU, HIGH_HU), classes.array[box]
    return Embedded(
        ct=_nifti(np.rint(hu), grid, np.int16, SOFT_TISSUE),
        mask=_nifti(part, grid, np.uint8, (0, 3), intent="label"),
        grid=grid,
        classes=part,
        said=_said(around, grid, max(factor) > 1),
    )


def _upright(volume: Volume) -> Volume:
    """Axes S, A, R: a view of the canonical I, P, L from its other corner."""
    canonical = to_canonical(volume)
    last = np.array(canonical.grid.shape) - 1
    affine = canonical.grid.affine @ np.diag([-1.0, -1.0, -1.0, 1.0])
    affine[:3, 3] = canonical.grid.to_mm(last)
    array = canonical.array[::-1, ::-1, ::-1]
    return Volume(array, Grid(array.shape, affine))


def _box(classes: Volume) -> tuple[np.ndarray, np.ndarray, bool]:
    """First voxel, the one after the last, and whether that is around something."""
    found = bounding_box(classes.array)
    shape = np.array(classes.grid.shape)
    if found is None:
        return np.zeros(3, int), shape, False
    margin = np.ceil(MARGIN_MM / np.array(classes.grid.spacing_mm)).astype(int)
    start, length = np.array(found)
    return (
        np.maximum(start - margin, 0),
        np.minimum(start + length + margin, shape),
        True,
    )


def _coarser(shape: np.ndarray, spacing_mm) -> tuple[int, int, int]:
    """Steps along z, y, x that bring a box under `VOXELS`.

    300 x 400 x 500 voxels of 1 x 0.7 x 0.7 mm are 60 million: with every second slice
    30, of which every second pixel in each direction makes 7.5.
    """
    factor = np.ones(3, int)
    while np.prod(np.ceil(shape / factor)) > VOXELS:
        thin = spacing_mm[0] * factor[0] < THIN_MM and factor[0] < shape[0]
        factor[slice(0, 1) if thin else slice(1, 3)] += 1
    return tuple(int(f) for f in factor)


def _said(around: bool, grid: Grid, coarser: bool) -> str:
    z, y, x = grid.spacing_mm
    part = (
        f"the kidneys and {MARGIN_MM:.0f} mm around them" if around else "the whole CT"
    )
    fine = "every few voxels" if coarser else "every voxel"
    return f"Shown: {part}, {fine} ({x:.2g} x {y:.2g} x {z:.2g} mm)."


def _nifti(array, grid: Grid, dtype: type, shown, intent: str = "none") -> str:
    """(S, A, R) voxels as a NIfTI with the axes R, A, S."""
    affine = grid.affine[:, [2, 1, 0, 3]]
    head = nib.Nifti1Header()
    head.set_data_dtype(dtype)
    head.set_data_shape(grid.shape[::-1])
    head.set_sform(affine, 1)
    head.set_xyzt_units("mm")
    head.set_intent(intent)
    # Without a range of its own a viewer looks for one in all voxels.
    head["cal_min"], head["cal_max"] = shown
    head["pixdim"][1:4] = grid.spacing_mm[::-1]
    head["vox_offset"] = 352
    head["scl_slope"] = 1
    voxels = np.ascontiguousarray(array, dtype)  # x fastest, as the file wants it
    whole = head.binaryblock + bytes(4) + voxels.tobytes()
    return base64.b64encode(isal_zlib.compress(whole, 1, wbits=31)).decode()
