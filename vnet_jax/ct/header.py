"""What a NIfTI header says, and whether it is to be trusted."""

from __future__ import annotations

import dataclasses
import math
import struct
from os import PathLike

import nibabel as nib
import numpy as np

from vnet_jax.ct.geometry import Grid, is_oblique, is_sheared
from vnet_jax.errors import InputError
from vnet_jax.memory import available_memory

AGREE_MM = 0.1  # sform and qform may differ by so much without a word
SPACING_MM = (0.3, 10.0)  # of a CT; beyond: a warning
POSSIBLE_MM = (0.01, 50.0)  # beyond: refused; a kidney is about 50 mm wide
EXTENT_MM = (100.0, 2000.0)  # less: a warning; more: refused
WIDE_MM = 1000.0  # one side alone may be longer; a scanner's bore is narrower
FAR_MM = 1e5  # from the world's origin: beyond it, a header's float32 is too coarse
MOST = 1e9  # of an affine's numbers, so that products of them stay finite
NO_PLACE = "NaN, singular or beyond measure"
CONVERT = "convert the series again, for example with dcm2niix"
KINDS = {np.dtype(t) for t in "i1 u1 i2 u2 i4 u4 i8 u8 f4 f8".split()}


@dataclasses.dataclass(frozen=True, eq=False)
class Header:
    """The checked header of a file with one volume.

    Attributes:
        grid: of the voxels, in the file's axis order.
        dtype: of the stored voxels, with their byte order.
        offset: of the first voxel in the file, bytes.
        slope: HU = slope * stored + intercept; 1 and 0 where the file says nothing.
        intercept: see `slope`.
        warnings: what was mended or is doubtful.
    """

    grid: Grid
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    warnings: tuple[str, ...]
    volumes: int = 1

    @property
    def size(self) -> int:
        """Bytes of the file, uncompressed, up to its last voxel."""
        voxels = math.prod(self.grid.shape) * self.volumes
        return self.offset + voxels * self.dtype.itemsize


def parse(head: bytes, path: str | PathLike | None = None, volumes: int = 1) -> Header:
    """Read and check the first bytes of a NIfTI-1 or NIfTI-2 file of either byte order.

    Args:
        head: the first 540 bytes, or as many as there are.
        path: for the messages.
        volumes: how many the file must hold.

    Raises:
        InputError: no NIfTI; a dimension <= 0, 2-D, one slice, another number of
            volumes; more than fits in memory; an unknown dtype; no usable place in the
            world.
    """
    raw = _raw(head, path)
    shape, warnings = _shape(raw, path, volumes)
    dtype = _dtype(raw, path)
    check_memory((*shape, volumes) if volumes > 1 else shape, dtype, path)
    affine, doubts = _affine(raw, shape, path)
    slope, intercept = _scaling(raw, path)
    return Header(
        grid=checked_grid(shape, affine, path),
        dtype=dtype,
        offset=_offset(raw, path),
        slope=slope,
        intercept=intercept,
        warnings=(*warnings, *doubts),
        volumes=volumes,
    )


def checked_grid(shape, affine, path=None, sheared: bool = False) -> Grid:
    """A grid fit for a CT.

    Args:
        shape: voxels along each axis.
        affine: (4, 4), voxel index -> mm, RAS+.
        path: for the messages.
        sheared: whether its axes may lean, as the slices of a tilted gantry do.

    Raises:
        InputError: one slice, no finite invertible affine, sheared axes, voxels that
            no CT has, more than 2 m, more than 1 m along two axes, far from the origin.
    """
    if len(shape) != 3 or min(shape) < 2:
        wrong = f"no volume of several slices: shape {tuple(shape)}"
        raise InputError(path, wrong, "give a 3-D CT")
    if not _usable(np.asarray(affine)):
        raise InputError(
            path, "the sform or affine is NaN, singular or beyond measure", CONVERT
        )
    if not np.array_equal(affine[3], (0, 0, 0, 1)):
        wrong = f"the affine's last row is {affine[3]}, not 0, 0, 0, 1"
        raise InputError(path, wrong, "give the affine from voxel index to mm")
    grid = Grid(tuple(shape), affine)
    if is_sheared(grid) and not sheared:
        wrong = "the affine is sheared: its axes are not at right angles"
        raise InputError(path, wrong, "resample the scan to a straight grid")
    if wrong := _impossible(grid):
        raise InputError(path, wrong, "correct the spacing in the header")
    if not np.abs(grid.corners_mm()).max() <= FAR_MM:
        wrong = f"lies at {_numbers(affine[:3, 3])} mm, more than 100 m away"
        raise InputError(path, wrong, "correct the origin in the header")
    return grid


def _impossible(grid: Grid) -> str:
    """What no CT's voxels or extent are, or nothing."""
    if max(grid.extent_mm) > EXTENT_MM[1]:
        return f"larger than 2 m: {_numbers(grid.extent_mm)} mm"
    if sorted(grid.extent_mm)[1] > WIDE_MM:
        return f"wider than a scanner: {_numbers(grid.extent_mm)} mm"
    if min(grid.spacing_mm) < POSSIBLE_MM[0] or max(grid.spacing_mm) > POSSIBLE_MM[1]:
        return f"no CT has voxels of {_numbers(grid.spacing_mm)} mm"
    return ""


def size_warnings(grid: Grid) -> list[str]:
    """What is unusual in the axes, the spacing and the extent of a CT."""
    doubts = []
    if is_oblique(grid) and not is_sheared(grid):  # a tilted gantry tells its own
        doubts.append("oblique axes: resampled to straight ones")
    if min(grid.spacing_mm) < SPACING_MM[0] or max(grid.spacing_mm) > SPACING_MM[1]:
        doubts.append(f"unusual spacing: {_numbers(grid.spacing_mm)} mm")
    if min(grid.extent_mm) < EXTENT_MM[0]:
        doubts.append(f"less than 100 mm wide: {_numbers(grid.extent_mm)} mm")
    return doubts


def _raw(head: bytes, path) -> nib.Nifti1Header:
    """The header as nibabel unpacks it, byte order and version found by its size."""
    for kind, size, magic in (
        (nib.Nifti1Header, 348, (344, b"n+1\0")),
        (nib.Nifti2Header, 540, (4, b"n+2\0\r\n\x1a\n")),
    ):
        for order in "<>":
            if len(head) < size or struct.unpack(order + "i", head[:4])[0] != size:
                continue
            found = head[magic[0] : magic[0] + len(magic[1])]
            if found == b"ni1\0":
                wrong = "the header of an .hdr/.img pair"
                raise InputError(path, wrong, "convert it to one .nii.gz")
            if found == magic[1]:
                return kind(head[:size], endianness=order, check=False)
    if head[128:132] == b"DICM":
        raise InputError(path, "a DICOM file, not a NIfTI", CONVERT)
    raise InputError(path, "not a NIfTI file", "give a .nii or .nii.gz")


def _shape(raw, path, volumes: int) -> tuple[tuple[int, int, int], list[str]]:
    rank = int(raw["dim"][0])
    dims = [int(n) for n in raw["dim"][1 : 1 + max(0, rank)]]
    if not 1 <= rank <= 7 or min(dims) <= 0:
        wrong = f"impossible dimensions {dims if 1 <= rank <= 7 else rank}"
        raise InputError(path, wrong, CONVERT)
    if rank < 3 or min(dims[:3]) < 2:
        wrong = f"no volume of several slices: shape {tuple(dims)}"
        raise InputError(path, wrong, "give a 3-D CT")
    if (found := math.prod(dims[3:])) != volumes:
        if volumes > 1:
            wrong = f"{found} volumes, not {volumes}: shape {tuple(dims)}"
            raise InputError(path, wrong)
        wrong = f"{found} volumes in one file: shape {tuple(dims)}"
        raise InputError(path, wrong, "split it and give one volume a file")
    one = rank > 3 and found == 1
    mended = [f"{rank}-D with one volume: read as 3-D"] if one else []
    return tuple(dims[:3]), mended


def _dtype(raw, path) -> np.dtype:
    code = int(raw["datatype"])
    try:
        dtype = nib.nifti1.data_type_codes.dtype[code]
    except KeyError:
        dtype = None
    if dtype is None or np.dtype(dtype) not in KINDS:
        wrong = f"voxels of NIfTI datatype {code} are no CT and no labels"
        raise InputError(path, wrong, "store integers or floats")
    return np.dtype(dtype).newbyteorder(raw.endianness)


def _offset(raw, path) -> int:
    least = 352 if int(raw["sizeof_hdr"]) == 348 else 544
    offset = float(raw["vox_offset"])
    if offset == 0:
        return least
    if not least <= offset <= 1 << 30 or offset % 1:
        raise InputError(path, f"the voxels begin at byte {offset:g}", CONVERT)
    return int(offset)


def check_memory(shape, dtype, path) -> None:
    """Refuse a volume whose stored voxels, and the same as float32 HU, do not fit."""
    need = math.prod(shape) * (dtype.itemsize + 4)
    have = available_memory()
    if need > have:
        wrong = f"{shape} voxels need {need / 1e9:.1f} GB, {have / 1e9:.1f} GB are free"
        raise InputError(path, wrong, "check its dimensions, or use a larger machine")


def _scaling(raw, path) -> tuple[float, float]:
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or math.isnan(slope):  # the standard's "no scaling"
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InputError(path, f"scl_slope {slope}, scl_inter {intercept}", CONVERT)
    return slope, intercept


def _affine(raw, shape, path) -> tuple[np.ndarray, list[str]]:
    """The sform, else the qform, and what is doubtful about them."""
    spacing = np.array(raw["pixdim"][1:4], np.float64)
    spaced = bool(np.isfinite(spacing).all() and (spacing > 0).all())
    if int(raw["sform_code"]) > 0:
        return _from_sform(raw, shape, spacing if spaced else None, path)
    if int(raw["qform_code"]) <= 0:
        wrong = "neither sform nor qform: its place and left and right are unknown"
        raise InputError(path, wrong, CONVERT)
    if not spaced:
        raise InputError(path, f"spacing {_numbers(spacing)} mm and no sform", CONVERT)
    affine = _qform(raw)
    if affine is None:
        raise InputError(path, "the qform is no rotation", CONVERT)
    return affine, []


def _from_sform(raw, shape, spacing, path) -> tuple[np.ndarray, list[str]]:
    affine = raw.get_sform()
    if not _usable(affine):
        raise InputError(path, f"the sform is {NO_PLACE}", CONVERT)
    grid = Grid(shape, affine)
    if spacing is None:
        found = _numbers(raw["pixdim"][1:4])
        return affine, [f"spacing {found} mm in pixdim: taken from the sform"]
    if int(raw["qform_code"]) > 0:
        qform = _qform(raw)
        if qform is None:
            return affine, ["the qform is no rotation: the sform counts"]
        if not grid.same_place(Grid(shape, qform), AGREE_MM):
            return affine, ["sform and qform differ by > 0.1 mm: the sform counts"]
    if not np.allclose(spacing, grid.spacing_mm, rtol=1e-3):
        found = f"{_numbers(spacing)} mm, sform {_numbers(grid.spacing_mm)} mm"
        return affine, [f"pixdim {found}: the sform counts"]
    return affine, []


def _qform(raw) -> np.ndarray | None:
    raw = raw.copy()
    if raw["pixdim"][0] not in (-1, 1):  # the standard reads 0 as 1
        raw["pixdim"][0] = 1
    try:
        affine = raw.get_qform()
    except ValueError:  # the quaternion is longer than 1
        return None
    return affine if _usable(affine) else None


def _usable(affine: np.ndarray) -> bool:
    if affine.shape != (4, 4) or not np.abs(affine).max() <= MOST:  # NaN is not
        return False
    length = np.linalg.norm(affine[:3, :3], axis=0)
    if not length.min() > 0:
        return False
    # Volume of the box of the unit axes: 1 at right angles, 0 in one plane.
    return bool(abs(np.linalg.det(affine[:3, :3] / length)) > 1e-3)


def _numbers(values) -> str:
    return " x ".join(f"{float(v):.4g}" for v in values)
