"""Mutated NIfTI files: a small CT in many forms, and what can happen to each.

A mutation gets the parts of a healthy file and a generator of random numbers. The same
seed makes the same files.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.fuzz.nifti_file import File, healthy

#: A gz member of 16 MiB of zeros, 16 kB long.
ZEROS = gzip.compress(bytes(1 << 24), 9, mtime=0)


def _extreme(rng, dtype: np.dtype):
    """A value of a header field: an end of its range, a special one, or any bits."""
    if dtype.kind in "SV":
        return rng.bytes(dtype.itemsize)
    if dtype.kind == "f":
        special = [0, -1, 1, np.nan, np.inf, -np.inf, 1e-30, 1e30, -1e5, 0.5, 3e38]
        some = [*special, rng.normal(0, 10.0 ** rng.integers(-3, 6))]
        return some[rng.integers(len(some))]
    ends = np.iinfo(dtype)
    some = [ends.min, ends.max, ends.max // 2, 0, 1, 2, 3, 4, 7, 8, rng.integers(100)]
    if rng.random() < 0.3:
        return np.frombuffer(rng.bytes(dtype.itemsize), dtype)[0]
    return some[rng.integers(len(some))]


def _field(file: File, rng) -> None:
    """One to three header fields, whole or one of their entries."""
    names = list(file.header.keys())
    for name in rng.choice(names, rng.integers(1, 4), replace=False):
        dtype = file.header.template_dtype[name]
        if dtype.subdtype is None:
            file.header[name] = _extreme(rng, dtype)
        else:
            at = rng.integers(dtype.shape[0])
            file.header[name][at] = _extreme(rng, dtype.base)


def _header_bytes(file: File, rng) -> None:
    data = bytearray(file.plain())
    for _ in range(rng.integers(1, 9)):
        at = rng.integers(0, int(file.header["sizeof_hdr"]) + 4)
        data[at] = rng.integers(256) if rng.random() < 0.5 else data[at] ^ 1
    file.data = gzip.compress(bytes(data), 1, mtime=0) if file.zipped else bytes(data)


def _dims(file: File, rng) -> None:
    """Sizes that are wrong, huge, negative, or of another rank."""
    dim = file.header["dim"]
    if rng.random() < 0.3:
        dim[0] = rng.integers(-2, 9)
    for axis in rng.choice(np.arange(1, 8), rng.integers(1, 4), replace=False):
        limit = np.iinfo(dim.dtype).max
        some = [0, -1, 1, 2, 3, 47, 48, 49, 300, 5000, 32767, limit, -limit]
        dim[axis] = some[rng.integers(len(some))]


def _swapped_dims(file: File, rng) -> None:
    """The same number of voxels in another shape."""
    count = int(np.prod(file.header["dim"][1:4]))
    shape = [2, 3, 5, 8, 24, 40, 48, 64, 96, 160]
    first, second = (int(n) for n in rng.choice(shape, 2))
    file.header["dim"][1:4] = first, second, max(1, count // (first * second))


def _place(file: File, rng) -> None:
    """Another sform or qform: turned, scaled, sheared, far away, no number."""
    affine = file.header.get_sform()
    kind = rng.integers(7)
    if kind == 0:
        turn = Rotation.random(random_state=int(rng.integers(1 << 31))).as_matrix()
        affine[:3] = turn @ affine[:3]
    elif kind == 1:
        affine[:3, :3] *= 10 ** rng.uniform(-4, 2, 3)
    elif kind == 2:
        affine[rng.integers(3), rng.integers(4)] = _extreme(rng, np.dtype("f4"))
    elif kind == 3:
        affine[:3, :3] += rng.normal(0, 10.0 ** rng.integers(-5, 1), (3, 3))
    elif kind == 4:
        affine[:3, 3] = rng.normal(0, 10.0 ** rng.integers(0, 20), 3)
    elif kind == 5:
        affine[:3, rng.integers(3)] = 0
    else:
        tilt = Rotation.from_euler("x", rng.uniform(-40, 40), degrees=True).as_matrix()
        affine[:3] = tilt @ affine[:3]
    codes = [(1, 0), (0, 1), (1, 1), (2, 4), (0, 0), (-1, 1), (99, 0), (0, 3)]
    code = codes[rng.integers(len(codes))]
    with np.errstate(all="ignore"):
        if rng.random() < 0.5 and np.isfinite(affine).all() and kind in (0, 4, 6):
            file.header.set_qform(affine, 1, strip_shears=True)
        file.header.set_sform(affine, 1)
    file.header["sform_code"], file.header["qform_code"] = code


def _quaternion(file: File, rng) -> None:
    """The qform alone counts, and something in it is odd."""
    file.header["sform_code"] = 0
    for name in rng.choice(
        ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "pixdim"], 2, replace=False
    ):
        if name == "pixdim":
            file.header[name][rng.integers(4)] = _extreme(rng, np.dtype("f4"))
        else:
            odd = _extreme(rng, np.dtype("f4"))
            file.header[name] = odd if rng.random() < 0.4 else rng.uniform(-1, 1)


def _spacing(file: File, rng) -> None:
    """Voxels of other sizes in a consistent header: from 0.001 to 200 mm."""
    affine = file.header.get_sform()
    affine[:3, :3] *= 10 ** rng.uniform(-1, 2) * 10 ** rng.uniform(-0.3, 0.3, 3)
    file.header.set_qform(affine, 1)
    file.header.set_sform(affine, 1)


def _scaling(file: File, rng) -> None:
    some = [0, np.nan, 1, 2, 0.5, -1, 1e-3, 1e6, 1e30, np.inf, 1.0000001, 32768]
    shifts = [0, -1024, 1024, np.nan, np.inf, 0.25, 1e9, -1e30]
    file.header["scl_slope"] = some[rng.integers(len(some))]
    file.header["scl_inter"] = shifts[rng.integers(len(shifts))]


def _datatype(file: File, rng) -> None:
    codes = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 2304, -5]
    file.header["datatype"] = codes[rng.integers(len(codes))]
    file.header["bitpix"] = rng.choice([0, 1, 8, 16, 32, 64, -16])


def _truncated(file: File, rng) -> None:
    data = file.whole()
    file.data = data[: int(rng.integers(len(data)))]


def _voxel_bits(file: File, rng) -> None:
    """Bits of the voxels: another CT, or none."""
    data = bytearray(file.voxels)
    for at in rng.integers(0, len(data), 10 ** rng.integers(0, 5)):
        data[at] ^= 1 << rng.integers(8)
    file.voxels = bytes(data)


def _file_bits(file: File, rng) -> None:
    data = bytearray(file.whole())
    for at in rng.integers(0, len(data), rng.integers(1, 4)):
        data[at] ^= 1 << rng.integers(8)
    file.data = bytes(data)


def _spliced(file: File, rng) -> None:
    """A piece is missing, is there twice, or is something else."""
    data = file.whole()
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    piece = [b"", data[start:stop] * 2, rng.bytes(min(stop - start, 4096))]
    file.data = data[:start] + piece[rng.integers(3)] + data[stop:]


def _members(file: File, rng) -> None:
    """A gz of several members, whole, or with one that is out of place."""
    data = file.plain()
    cuts = np.sort(rng.integers(0, len(data), rng.integers(1, 6))).tolist()
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    members = [gzip.compress(part, 1, mtime=0) for part in parts]
    kind = rng.integers(7)
    if kind == 1:
        members.append(bytes(int(rng.integers(1, 5000))))
    elif kind == 2:
        members.append(rng.bytes(100))
    elif kind == 3:
        members.pop(rng.integers(len(members)))
    elif kind == 4:
        members[rng.integers(len(members))] = parts[0]
    elif kind == 5:
        members += [gzip.compress(b"", 1, mtime=0)] * int(rng.integers(1, 20))
    elif kind == 6:
        at = rng.integers(len(members))
        members[at] = members[at][: len(members[at]) // 2]
    file.data = b"".join(members)


def _bomb(file: File, rng) -> None:
    """Zeros without end: after the voxels, or as many as the header promises."""
    if rng.random() < 0.4:
        file.data = gzip.compress(file.plain(), 1, mtime=0) + ZEROS * 20
        return
    sizes = [200, 512, 700, 1000, 3000, 20000]
    shape = [sizes[rng.integers(len(sizes))] for _ in range(3)]
    file.header["dim"][1:4] = shape
    scale = (
        1
        / np.array(shape)
        * 400
        / np.linalg.norm(file.header.get_sform()[:3, :3], axis=0)
    )
    affine = file.header.get_sform()
    affine[:3, :3] *= scale
    file.header.set_sform(affine, 1)
    if rng.random() < 0.5:
        file.header["scl_slope"], file.header["scl_inter"] = 2, -1024
    promised = int(np.prod(shape)) * file.header.get_data_dtype().itemsize
    head = gzip.compress(file.plain(), 1, mtime=0)
    file.data = head + ZEROS * min(60, promised // (1 << 24) + 1)


def _values(file: File, rng) -> None:
    """Voxels that are no CT, or hardly one."""
    dtype = file.header.get_data_dtype().newbyteorder(file.header.endianness)
    array = np.frombuffer(file.voxels, dtype).astype(np.float64)
    kind = rng.integers(8)
    odd = rng.random(array.size) < 10.0 ** -rng.integers(1, 5)
    if kind == 0:
        array[:] = rng.integers(-2000, 2000)
    elif kind == 1:
        array[odd] = [np.nan, np.inf, -np.inf, 1e300, -1e30][rng.integers(5)]
    elif kind == 2:
        array = rng.integers(-32768, 32767, array.size).astype(float)
    elif kind == 3:
        array = array * rng.choice([0.001, 0.5, 10, -1]) + rng.choice([0, 1024, -1024])
    elif kind == 4:
        array[odd] = rng.choice([-32768, 32767, 1e9])
    elif kind == 5:
        array[:] = -1000 + rng.normal(0, 20, array.size)
    elif kind == 6:
        array = np.maximum(array, rng.choice([31, 101]))  # an organ, edge to edge
    else:
        array = array.clip(*((-160, 240), (-1024, 100), (0, 255))[rng.integers(3)])
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            file.voxels = array.astype(dtype).tobytes()
    else:
        ends = np.iinfo(dtype)
        whole = (
            np.nan_to_num(array).round().clip(float(ends.min), float(ends.max) - 1e3)
        )
        file.voxels = whole.astype(dtype).tobytes()


def _whole(file: File, rng) -> None:
    """Nothing happens to it."""


#: What happens to a file, and to how many of a hundred.
MUTATIONS: dict[str, tuple[Callable[[File, np.random.Generator], None], int]] = {
    "none": (_whole, 8),
    "header fields": (_field, 20),
    "header bytes": (_header_bytes, 10),
    "dimensions": (_dims, 8),
    "another shape": (_swapped_dims, 4),
    "sform and qform": (_place, 10),
    "qform alone": (_quaternion, 4),
    "spacing": (_spacing, 5),
    "scaling": (_scaling, 4),
    "data type": (_datatype, 3),
    "cut": (_truncated, 5),
    "bits of voxels": (_voxel_bits, 4),
    "bits of the file": (_file_bits, 5),
    "splices": (_spliced, 3),
    "gz members": (_members, 5),
    "gz bombs": (_bomb, 1),
    "odd values": (_values, 6),
}
NAMES = [name for name, (_, share) in MUTATIONS.items() for _ in range(share)]


def mutated(folder: Path, seed: int, count: int) -> Iterator[tuple[str, Path]]:
    """Makes mutated files, one when it is asked for.

    Args:
        folder: where they are written.
        seed: of the mutations; the same gives the same files.
        count: how many.

    Yields:
        The mutation's name and the file.
    """
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        # In turn, so that few files have every mutation, too.
        name = NAMES[index * 37 % len(NAMES)]
        file = healthy(rng)
        MUTATIONS[name][0](file, rng)
        path = folder / f"{index:05d}{'.nii.gz' if file.zipped else '.nii'}"
        path.write_bytes(file.whole())
        yield name, path
