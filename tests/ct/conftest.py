"""A small CT with known values, and NIfTI files of any header."""

import gzip

import nibabel as nib
import numpy as np
import pytest

SHAPE = (36, 40, 44)
# KiTS's layout: axes z, y, x growing to inferior, posterior, left.
KITS_AFFINE = np.array(
    [[0, 0, -2.5, 60], [0, -2.75, 0, 70], [-3, 0, 0, -900], [0, 0, 0, 1]], float
)


def body(shape=SHAPE) -> np.ndarray:
    """Air, a body of fat and soft tissue with noise, a spine, an off-centre organ."""
    rng = np.random.default_rng(7)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)
    hu[x**2 + y**2 < 0.8] = -100
    hu[x**2 + y**2 < 0.6] = 40
    hu[(x - 0.4) ** 2 + y**2 + (z + 0.3) ** 2 < 0.04] = 180
    hu[x**2 + (y - 0.5) ** 2 < 0.02] = 600
    return (hu + rng.normal(0, 12, shape)).round().astype(np.int16)


def file_bytes(array, affine=KITS_AFFINE, version=1, order="<", **fields) -> bytes:
    """A NIfTI file with the sform `affine`; `fields` then overwrite its header."""
    kind = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]
    header = kind(endianness=order)
    header.set_data_dtype(array.dtype.newbyteorder("="))
    header.set_data_shape(array.shape)
    header.set_sform(affine, 1)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header["vox_offset"] = 352 if version == 1 else 544
    for name, value in fields.items():
        header[name] = value
    stored = array.astype(array.dtype.newbyteorder(order))
    return header.binaryblock + bytes(4) + stored.tobytes(order="F")


@pytest.fixture(scope="session")
def hu():
    array = body()
    array.flags.writeable = False
    return array


@pytest.fixture
def put(tmp_path):
    """Write an array as a NIfTI file with any header; gzipped by its name."""

    def write(array, name="ct.nii.gz", **header):
        data = file_bytes(array, **header)
        if name.endswith(".gz"):
            data = gzip.compress(data, 6)
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def nifti_bytes():
    return file_bytes


@pytest.fixture
def affine():
    return KITS_AFFINE.copy()


@pytest.fixture(scope="session")
def make_body():
    return body
