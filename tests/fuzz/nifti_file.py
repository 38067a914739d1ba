"""A small CT as a healthy NIfTI file, in any form that it may have."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from tests.inference.conftest import IPL, draw

KINDS = {1: nib.Nifti1Header, 2: nib.Nifti2Header}
DTYPES = ("i2", "i2", "i2", "f4", "f8", "i4", "u2", "i8")


@dataclass
class File:
    """The parts of a NIfTI file before they are put together.

    Attributes:
        header: of either version and byte order.
        voxels: as bytes.
        zipped: whether the file will be a gz.
        data: the whole file, for mutations that work on it.
    """

    header: nib.Nifti1Header
    voxels: bytes
    zipped: bool
    data: bytes | None = None

    def plain(self) -> bytes:
        """Header and voxels."""
        return self.header.binaryblock + bytes(4) + self.voxels

    def whole(self) -> bytes:
        """The file's bytes."""
        if self.data is not None:
            return self.data
        return gzip.compress(self.plain(), 1, mtime=0) if self.zipped else self.plain()


def healthy(rng: np.random.Generator) -> File:
    """The CT on other axes, as another type, in another version and byte order."""
    array, affine = draw(), IPL.affine
    if rng.random() < 0.5:
        order = rng.permutation(3)
        affine = affine @ _permutation(order)
        array = array.transpose(order)
        for axis in range(3):
            if rng.random() < 0.5:
                array, affine = np.flip(array, axis), affine @ _flip(axis, array.shape)
    version, order = int(rng.integers(1, 3)), "<>"[rng.integers(2)]
    dtype = np.dtype(rng.choice(DTYPES)).newbyteorder(order)
    header = KINDS[version](endianness=order)
    header.set_data_dtype(dtype.newbyteorder("="))
    header.set_data_shape(array.shape)
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header["vox_offset"] = 352 if version == 1 else 544
    slope, intercept = (1, -1024) if dtype.kind == "u" else (1, 0)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    stored = (array.astype(np.int32) - intercept).clip(0 if dtype.kind == "u" else None)
    voxels = stored.astype(dtype).tobytes(order="F")
    return File(header, voxels, bool(rng.random() < 0.6))


def _permutation(order) -> np.ndarray:
    out = np.zeros((4, 4))
    out[order, range(3)] = out[3, 3] = 1
    return out


def _flip(axis: int, shape) -> np.ndarray:
    out = np.eye(4)
    out[axis, axis], out[axis, 3] = -1, shape[axis] - 1
    return out
