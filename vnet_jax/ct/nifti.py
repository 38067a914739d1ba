"""NIfTI in and out: a CT or labels with their place, checked; masks written whole."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib

from vnet_jax.ct import checks, header, stream
from vnet_jax.ct.files import is_nifti_name, replacing, stem
from vnet_jax.ct.geometry import Grid, Volume, is_sheared
from vnet_jax.errors import InputError

__all__ = [
    "Scan",
    "check_same_grid",
    "ct_from",
    "is_nifti_name",
    "read_ct",
    "read_grid",
    "read_labels",
    "scan_of",
    "stem",
    "write_image",
    "write_mask",
]

SLAB_BYTES = 1 << 24  # written at a time
SCANNER = 1  # sform and qform code: scanner coordinates
MOST_PACKED = 200  # times that a gz makes a large CT smaller; noise allows a few
SAME = 1e-3  # that a voxel may lie off in the file, mm


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """A volume as read, in its own axis order.

    Attributes:
        volume: a CT as int16 or float32 HU; labels as integers.
        path: of the file, or None for what came as an array.
        sha256: of the file's bytes, or of the array and its affine.
        warnings: what was mended or is doubtful.
    """

    volume: Volume
    path: Path | None
    sha256: str
    warnings: tuple[str, ...]


def read_ct(path: str | PathLike) -> Scan:
    """Read a CT: HU, scaling applied exactly once, and its place.

    Returns:
        int16 where the stored integers are HU or scale to int16 exactly, else float32.

    Raises:
        InputError: for a file that is damaged or no CT in HU.
    """
    stored, head, sha256, warnings = _read(path)
    return _ct(_scaled(stored, head), head.grid, Path(path), sha256, warnings)


def read_labels(path: str | PathLike, allowed: Sequence[int] | None = None) -> Scan:
    """Read a label map: integers, uint8 where they fit, and its place.

    Args:
        path: of the file.
        allowed: the values that may occur, or None for any integer >= 0.

    Raises:
        InputError: for a damaged file, or values that are no integers or not allowed.
    """
    stored, head, sha256, warnings = _read(path, math.inf)
    if (head.slope, head.intercept) != (1, 0):
        stored = _rounded(stored * head.slope + head.intercept)
    array = checks.as_labels(stored, allowed, path)
    return Scan(Volume(array, head.grid), Path(path), sha256, tuple(warnings))


def read_grid(path: str | PathLike) -> Grid:
    """The place of a volume from its header alone; its voxels are not read.

    Raises:
        InputError: no NIfTI, or a header that is not to be trusted.
    """
    return header.parse(stream.read_head(path), path).grid


def ct_from(image) -> Scan:
    """A CT from a path, a nibabel image or a pair (array, affine), checked alike.

    Args:
        image: a path; a nibabel image; or an array (D, H, W) in HU, any axis order, and
            its (4, 4) affine, voxel index -> mm, RAS+.

    Raises:
        InputError: as `read_ct`.
    """
    if isinstance(image, str | PathLike):
        return read_ct(image)
    if hasattr(image, "dataobj"):
        array, affine = image.dataobj, image.affine
        # Voxels that are still in the file come through the checks of files.
        if nib.is_proxy(array) and is_nifti_name(image.get_filename() or ""):
            scan = read_ct(image.get_filename())
            if np.array_equal(scan.volume.grid.affine, affine):
                return scan
    else:
        array, affine = image
    array, affine = np.asarray(array), np.asarray(affine, np.float64)
    mended = []
    if array.ndim > 3 and array.size == np.prod(array.shape[:3]):
        mended.append(f"{array.ndim}-D with one volume: read as 3-D")
        array = array.reshape(array.shape[:3])
    if np.dtype(array.dtype).newbyteorder("=") not in header.KINDS:
        raise InputError(
            None, f"voxels of type {array.dtype}", "give integers or floats"
        )
    grid = header.checked_grid(array.shape, affine)
    digest = hashlib.sha256(repr(array.shape).encode() + affine.tobytes())
    digest.update(np.ascontiguousarray(array))
    return _ct(_compact(array), grid, None, digest.hexdigest(), mended)


def scan_of(
    array: np.ndarray, grid: Grid, path: Path | None, sha256: str, mended: Sequence[str]
) -> Scan:
    """A CT from its voxels in HU, checked as every CT is.

    Args:
        array: (D, H, W) int16 or float32.
        grid: its place.
        path: for the messages and the summary.
        sha256: of what it was read from.
        mended: warnings so far.

    Raises:
        InputError: NaN, constant, only air, or no HU.
    """
    return _ct(array, grid, path, sha256, list(mended))


def check_same_grid(image: Scan, label: Scan, tolerance: float = 1e-3) -> None:
    """Refuse a label map that does not lie on its image, to `tolerance` mm.

    Raises:
        InputError: naming the label's file.
    """
    ours, theirs = image.volume.grid, label.volume.grid
    if ours.shape != theirs.shape:
        wrong = f"the label has {theirs.shape} voxels, its image {ours.shape}"
    elif not ours.same_place(theirs, tolerance):
        moved = np.linalg.norm(ours.corners_mm() - theirs.corners_mm(), axis=1).max()
        wrong = f"the label lies up to {moved:.3g} mm off its image"
    else:
        return
    raise InputError(label.path, wrong, "bring both to one grid")


def write_mask(path: str | PathLike, mask: np.ndarray, grid: Grid) -> None:
    """Write labels as uint8 NIfTI on `grid`; gzipped if the name ends in .gz.

    NIfTI-1, which ITK's programs open; NIfTI-2 only where float32 would move a voxel by
    more than 1e-3 mm, which takes an origin 16 m away, or where a dimension does not
    fit in 16 bits.

    Args:
        path: ends in .nii or .nii.gz; its folder exists.
        mask: (D, H, W), values 0 to 255, of the grid's shape.
        grid: affine, spacing, sform and qform of the file.
    """
    if mask.dtype != np.uint8 and (mask.min() < 0 or mask.max() > 255):
        raise ValueError(
            f"labels from {mask.min()} to {mask.max()} do not fit in uint8"
        )
    _write(path, [mask], grid, np.dtype(np.uint8))


def write_image(path: str | PathLike, array: np.ndarray, grid: Grid) -> None:
    """Write a volume as int16 (from integers) or float32 NIfTI, as `write_mask`."""
    dtype = np.dtype(np.float32 if array.dtype.kind == "f" else np.int16)
    if dtype.kind == "i" and not _fits_int16(array.min(), array.max()):
        raise ValueError(f"{array.min()} to {array.max()} does not fit in int16")
    _write(path, [array], grid, dtype)


def write_scaled(
    path: str | PathLike, volumes: Sequence[np.ndarray], grid: Grid, slope: float
) -> None:
    """Write uint16 volumes that stand for value = slope * stored, as `write_mask`.

    Args:
        path: ends in .nii or .nii.gz.
        volumes: (D, H, W) uint16 each; several become a fourth dimension.
        grid: where they are.
        slope: of the header's scaling.
    """
    _write(path, volumes, grid, np.dtype(np.uint16), slope)


def read_scaled(path: str | PathLike, volumes: int) -> tuple[list[np.ndarray], Grid]:
    """What `write_scaled` wrote, as it is stored: value = slope * stored.

    Args:
        path: of the file.
        volumes: how many it must hold.

    Returns:
        (D, H, W) uint16 each, and where they are.

    Raises:
        InputError: a damaged file, another number of volumes, or no uint16.
    """
    stored, head, _, _ = _read(path, math.inf, volumes)
    if stored.dtype != np.uint16:
        raise InputError(path, f"holds {stored.dtype}, not uint16")
    found = stored if volumes > 1 else stored[..., None]
    return [found[..., at] for at in range(volumes)], head.grid


def _read(
    path, most: float = MOST_PACKED, volumes: int = 1
) -> tuple[np.ndarray, header.Header, str, list[str]]:
    """The stored voxels (D, H, W), a view of the file's bytes, with their header.

    Several volumes are a fourth axis.
    """
    heads: list[header.Header] = []

    def promised(first: bytes) -> int:
        heads.append(header.parse(first, path, volumes))
        return heads[0].size

    whole, zipped, sha256 = stream.read_bounded(path, promised, most)
    head = heads[0]
    stored = whole[head.offset :]
    if head.offset % head.dtype.itemsize:
        stored = stored.copy()
    shape = (*head.grid.shape, volumes) if volumes > 1 else head.grid.shape
    stored = stored.view(head.dtype).reshape(shape, order="F")
    warnings = list(head.warnings)
    named = Path(path).name.lower().endswith(".gz")
    if named != zipped:
        kind = "a gz" if zipped else "no gz"
        warnings.append(f"the file is {kind}, whatever its name: read as such")
    return stored, head, sha256, warnings


def _scaled(stored: np.ndarray, head: header.Header) -> np.ndarray:
    """HU = slope * stored + intercept: int16 where that is exact, else float32."""
    slope, intercept = head.slope, head.intercept
    if (slope, intercept) == (1, 0):
        return _compact(stored)
    whole = stored.dtype.kind in "iu" and slope % 1 == 0 and intercept % 1 == 0
    if whole and abs(intercept) < 2**31:
        ends = [slope * float(v) + intercept for v in (stored.min(), stored.max())]
        if _fits_int16(min(ends), max(ends)) and abs(slope) < 2**15:
            return _whole_hu(stored, np.int32(slope), np.int32(intercept))
    with np.errstate(all="ignore"):  # too large for float32: Inf, which the checks find
        hu = stored.astype(np.float32)
        hu *= np.float32(slope)
        hu += np.float32(intercept)
    return hu


def _whole_hu(stored, slope: np.int32, intercept: np.int32) -> np.ndarray:
    """int16 HU, slab by slab: no int32 copies of the whole volume."""
    hu = np.empty(stored.shape, np.int16, "F")
    for index in range(stored.shape[2]):
        hu[:, :, index] = stored[:, :, index].astype(np.int32) * slope + intercept
    return hu


def _rounded(labels: np.ndarray) -> np.ndarray:
    """Scaled labels, the float32 rounding of the slope undone: 100 x 0.01 is 1."""
    whole = np.rint(labels)
    return np.where(np.abs(labels - whole) < 1e-4, whole, labels)


def _compact(array: np.ndarray) -> np.ndarray:
    """int16 for integers that fit, else float32, in the machine's byte order."""
    if array.dtype.kind in "iu" and _fits_int16(array.min(), array.max()):
        return array.astype(np.int16, copy=False)
    with np.errstate(all="ignore"):
        return array.astype(np.float32, copy=False)


def _fits_int16(low, high) -> bool:
    return -(2**15) <= float(low) and float(high) < 2**15


def _ct(array, grid: Grid, path, sha256: str, mended: list[str]) -> Scan:
    array, doubts = checks.possible(array, path)
    doubts = [*mended, *doubts, *checks.check_hu(array, path)]
    doubts += header.size_warnings(grid)
    return Scan(Volume(array, grid), path, sha256, tuple(doubts))


def _write(path, volumes, grid: Grid, dtype: np.dtype, slope: float = 1) -> None:
    for array in volumes:
        if array.shape != grid.shape:
            raise ValueError(f"array {array.shape}, grid {grid.shape}")
    if not is_nifti_name(path):
        raise ValueError(f"{path}: the name must end in .nii or .nii.gz")
    blocks = _blocks(volumes, grid, dtype, slope)
    with replacing(path) as file:
        if Path(path).name.lower().endswith(".gz"):
            deflate = isal_zlib.compressobj(level=1, wbits=31)  # no time in its header
            for block in blocks:
                file.write(deflate.compress(block))
            file.write(deflate.flush())
        else:
            file.writelines(blocks)


def _kind(grid: Grid) -> type[nib.Nifti1Header]:
    """NIfTI-1, or NIfTI-2 for what NIfTI-1 cannot say: its affine is float32."""
    rounded = grid.affine.astype(np.float32).astype(np.float64)
    exact = np.abs(rounded - grid.affine).max() <= SAME
    return nib.Nifti1Header if exact and max(grid.shape) < 2**15 else nib.Nifti2Header


def _blocks(volumes, grid: Grid, dtype: np.dtype, slope: float) -> Iterator[bytes]:
    """The file's bytes: header, then the voxels, the first axis fastest."""
    head = _kind(grid)()
    head.set_data_dtype(dtype)
    head.set_data_shape((*grid.shape, len(volumes)) if len(volumes) > 1 else grid.shape)
    # A qform cannot lean: readers that prefer it would put the voxels elsewhere.
    head.set_qform(grid.affine, 0 if is_sheared(grid) else SCANNER)  # also sets pixdim
    head.set_sform(grid.affine, SCANNER)
    head.set_xyzt_units("mm")
    head["pixdim"][1:4] = grid.spacing_mm
    head["vox_offset"] = head.single_vox_offset
    head["scl_slope"], head["scl_inter"] = slope, 0
    yield head.binaryblock + bytes(4)  # no extensions
    row = max(1, grid.shape[0] * grid.shape[1] * dtype.itemsize)
    step = max(1, SLAB_BYTES // row)
    for array in volumes:
        for start in range(0, array.shape[2], step):
            part = array[:, :, start : start + step]
            yield part.astype(dtype).tobytes(order="F")
