"""Files with a fault each, for every program that reads CTs.

All are made from one small CT with two kidneys, whose mask the known network gives.
`docs/faults.md` lists them.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.ct.conftest import file_bytes
from tests.inference.conftest import IPL, draw

HU = draw()
AFFINE = np.array(IPL.affine)
PIXDIM = [1, 5, 3, 2.5, 0, 0, 0, 0]
BAD_PIXDIM = [1, 0, -3, np.nan, 0, 0, 0, 0]


@dataclass(frozen=True)
class Fault:
    """A file that is refused, or mended or doubted and read.

    Attributes:
        row: in `docs/faults.md`.
        name: of the case.
        data: the file's bytes.
        word: of the refusal or of the warning; "" where nothing need be said.
        ending: of the file's name.
    """

    row: int
    name: str
    data: bytes
    word: str
    ending: str = ".nii.gz"


def packed(array=HU, affine=AFFINE, **header) -> bytes:
    """The gz of a CT with any header."""
    return gzip.compress(file_bytes(array, affine, **header), 1, mtime=0)


def changed(data: bytes, at: int) -> bytes:
    """The bytes with one bit flipped."""
    out = bytearray(data)
    out[at] ^= 4
    return bytes(out)


def placed(change: Callable[[np.ndarray], None]) -> np.ndarray:
    """The affine after a change."""
    affine = AFFINE.copy()
    change(affine)
    return affine


def _with(value, share: float) -> np.ndarray:
    """The CT with some of its voxels replaced."""
    array = HU.astype(np.float32)
    array.ravel()[: int(share * array.size)] = value
    return array


def _sheared(affine) -> None:
    affine[1, 0] = 0.4


def _huge(affine) -> None:
    affine[:3, 0] *= 2001 / 120


def _flat(affine) -> None:
    affine[:3, 0] *= 1e-11


def _far(affine) -> None:
    affine[0, 3] = 2e5


PLAIN = file_bytes(HU, AFFINE)
WHOLE = packed()
BOMB = WHOLE + gzip.compress(bytes(1 << 24), 9, mtime=0) * 20
AIR = np.random.default_rng(0).normal(-1000, 20, HU.shape).astype(np.int16)

#: What no program takes.
REFUSED = [
    Fault(1, "empty", b"", "empty"),
    Fault(1, "text", b"no image at all" * 99, "not a NIfTI"),
    Fault(1, "a_dicom_file", bytes(128) + b"DICM" + bytes(999), "DICOM"),
    Fault(2, "cut_at_10", WHOLE[: len(WHOLE) // 10], "truncated"),
    Fault(2, "cut_at_60", WHOLE[: len(WHOLE) * 6 // 10], "truncated"),
    Fault(2, "cut_at_99", WHOLE[: len(WHOLE) * 99 // 100], "truncated"),
    Fault(3, "flipped", changed(gzip.compress(PLAIN, 0, mtime=0), 5000), "checksum"),
    Fault(4, "trailer", changed(WHOLE, -6), "checksum"),
    Fault(4, "cut_trailer", WHOLE[:-4], "truncated"),
    Fault(6, "short", PLAIN[:-9], "truncated", ".nii"),
    Fault(7, "no_rows", packed(dim=[3, 24, 0, 48, 1, 1, 1, 1]), "impossible"),
    Fault(7, "beyond_memory", packed(dim=[3, *[32767] * 3, 1, 1, 1, 1]), "GB are free"),
    Fault(8, "many_nan", packed(_with(np.nan, 0.01)), "NaN or Inf"),
    Fault(9, "constant", packed(np.full_like(HU, 40)), "every voxel is 40"),
    Fault(9, "air", packed(AIR), "only air"),
    Fault(10, "scaled", packed(((HU + 1024) / 3000).astype("f4")), "0 to 1"),
    Fault(10, "grey", packed((HU.clip(-160, 240) + 160) // 2), "256 grey values"),
    Fault(10, "offset", packed(HU.clip(-1000) + np.int16(1024)), "1024 too high"),
    Fault(14, "several", packed(np.stack([HU, HU], -1)), "2 volumes"),
    Fault(15, "two_dimensions", packed(HU[0]), "several slices"),
    Fault(15, "one_slice", packed(HU[:1]), "several slices"),
    Fault(
        16,
        "no_spacing",
        packed(pixdim=[1, 0, 3, 2.5, 0, 0, 0, 0], sform_code=0, qform_code=1),
        "no sform",
    ),
    Fault(17, "singular", packed(srow_x=[0, 0, 0, 5]), "singular"),
    Fault(17, "nan_place", packed(srow_z=[np.nan] * 4), "NaN"),
    Fault(17, "no_place", packed(sform_code=0), "neither sform nor qform"),
    Fault(20, "sheared", packed(affine=placed(_sheared)), "sheared"),
    Fault(23, "flat", packed(affine=placed(_flat)), "no CT has voxels of"),
    Fault(23, "longer_than_2_m", packed(affine=placed(_huge)), "larger than 2 m"),
    Fault(23, "200_m_away", packed(affine=placed(_far)), "more than 100 m away"),
    Fault(43, "bomb", BOMB, "unfolds to more"),
]


def _turned(order, flips) -> bytes:
    """The CT with its axes in another order, some of them flipped."""
    turn = np.zeros((4, 4))
    turn[order, range(3)] = turn[3, 3] = 1
    array, affine = HU.transpose(order), AFFINE @ turn
    for axis in flips:
        flip = np.eye(4)
        flip[axis, axis], flip[axis, 3] = -1, array.shape[axis] - 1
        array, affine = np.flip(array, axis), affine @ flip
    return packed(array, affine)


EVEN = HU // 2 * 2
PARTS = (PLAIN[:400], PLAIN[400:9000], PLAIN[9000:])
MEMBERS = b"".join(gzip.compress(part, 1, mtime=0) for part in PARTS)

#: What is read as the same CT, voxel by voxel.
SAME = [
    Fault(0, "healthy", WHOLE, ""),
    Fault(5, "no_gz", PLAIN, "whatever its name"),
    Fault(5, "a_gz", WHOLE, "whatever its name", ".nii"),
    Fault(11, "slope_0", packed(scl_slope=0, scl_inter=7), ""),
    Fault(11, "slope_nan", packed(scl_slope=np.nan, scl_inter=np.nan), ""),
    Fault(13, "float64", packed(HU.astype("f8")), ""),
    Fault(13, "big_endian", packed(order=">"), ""),
    Fault(13, "nifti_2", packed(version=2), ""),
    Fault(14, "four_dimensions", packed(HU[..., None]), "4-D with one volume"),
    Fault(16, "bad_spacing", packed(pixdim=BAD_PIXDIM), "from the sform"),
    Fault(18, "two_places", packed(qform_code=1, pixdim=PIXDIM), "the sform counts"),
    Fault(21, "turned", _turned((1, 2, 0), (0, 2)), ""),
    Fault(22, "ras", _turned((2, 1, 0), (0, 1, 2)), ""),
    Fault(43, "members", MEMBERS, ""),
    Fault(45, "Größe und Lage (2) 腎", WHOLE, ""),
]
SCALED = ((EVEN.clip(-1024) + 1024) // 2).astype(np.uint16)
TILT = np.eye(4)
TILT[:3, :3] = Rotation.from_euler("x", 8, degrees=True).as_matrix()

#: What is read, as another CT.
READ = [
    Fault(8, "few_nan", packed(_with(np.inf, 0.0005)), "set to -1024"),
    Fault(10, "window", packed(HU.clip(-160, 240)), "clipped"),
    Fault(12, "scaled_once", packed(SCALED, scl_slope=2, scl_inter=-1024), ""),
    Fault(19, "oblique", packed(affine=TILT @ AFFINE), "oblique axes"),
    Fault(23, "99_mm", packed(HU[:19], affine=AFFINE), "less than 100 mm"),
    Fault(23, "thin", packed(affine=AFFINE @ np.diag([0.05, 1, 1, 1])), "unusual"),
]


def put(fault: Fault, folder: Path, name: str = "") -> Path:
    """Writes a file; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name or fault.name}{fault.ending}"
    path.write_bytes(fault.data)
    return path
