"""One odd file through what `infer` does with it, and whether that is right."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import signal
import struct
import time
import traceback
import unittest.mock
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.inference.conftest import IPL
from vnet_jax import memory
from vnet_jax.ct import header
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, case_files
from vnet_jax.inference.segment import Segmenter
from vnet_jax.reports import label_files

MASK, REFUSED, FAULT = "mask", "refused", "FAULT"
SECONDS = 60  # that a file may take
MEMORY = 1 << 30  # bytes that it may take beside what the process holds
KINDS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
FINEST_MM = 1.0  # voxels smaller than this see nothing of the network's
FLOAT32 = 6e-8  # of a number, that a mask's NIfTI-1 may round, but never more than
MOVED_MM = 1e-3
LEAST = 50  # voxels of a mask whose HU are looked at
#: What the batch tells of faults that are not the file's.
NOT_THE_FILES = ("out of memory (", "check the disk")
ESTIMATE = "GB are free"  # ... unless it was known before


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        kind: `MASK`, `REFUSED` or `FAULT`.
        line: the refusal, or what is wrong.
        seconds: that it took.
        bytes: of memory that it took at most; 0 where the system does not tell.
    """

    kind: str
    line: str
    seconds: float
    bytes: int


class Late(BaseException):
    """A file takes longer than it may; no handler of the program takes it."""


def attempt(
    segmenter: Segmenter, path: Path, out: Path, looks_right, picture: bool = True
) -> Outcome:
    """Segments one input and looks at what there is afterwards.

    Args:
        segmenter: both phases.
        path: the input, a file or a folder.
        out: an empty folder; what is written there is removed again.
        looks_right: (input, mask file) -> what is wrong with the mask, or "".
        picture: whether the picture is drawn, which takes longer than all the rest.
    """
    began, before = time.monotonic(), _reset_peak()
    try:
        with _limited(SECONDS), _room(MEMORY), _drawn(picture):
            kind, line = _segmented(segmenter, path, out, looks_right)
    except Late:
        kind, line = FAULT, f"more than {SECONDS} s"
    except Exception:
        kind, line = FAULT, traceback.format_exc()
    for file in out.iterdir():
        file.unlink()
    took = max(0, _peak() - before)
    if took > MEMORY and kind != FAULT:
        kind, line = FAULT, f"took {took / 1e9:.2f} GB; {kind} {line}"
    return Outcome(kind, line, time.monotonic() - began, took)


def _segmented(segmenter, path: Path, out: Path, looks_right) -> tuple[str, str]:
    """As `bin/infer.py --input PATH --output OUT` does it."""
    try:
        jobs = batch.plan(path, out)
        failed = batch.run(jobs, segmenter, stream=io.StringIO())
    except InputError as error:
        jobs, failed = [], [(None, str(error))]
    for _, line in failed:
        if wrong := _bad_line(line, path):
            return FAULT, f"{wrong}: {line}"
    refused = [job for job, _ in failed]
    whole = [job for job in jobs if job not in refused]
    wanted = {file for job in whole for file in job.outputs()}
    wanted |= {out / name for name in (label_files.SLICER, label_files.ITK_SNAP)}
    left = set(out.iterdir())
    if left - wanted or any(job.mask not in left for job in whole):
        names = sorted(file.name for file in left)
        return FAULT, f"wrote {names}; {[line for _, line in failed]}"
    for job in whole:
        if wrong := looks_right(path, job.mask):
            return FAULT, wrong
    return (REFUSED, failed[0][1]) if failed else (MASK, "")


def _bad_line(line: str, path: Path) -> str:
    """What is wrong with a refusal, or nothing."""
    if any(word in line for word in NOT_THE_FILES) and ESTIMATE not in line:
        return "no refusal of the file"
    if not line.startswith(str(path)) or not line.isprintable():
        return "not one line that names the file"
    if ";" not in line:
        return "says nothing about what to do"
    return ""


def same_place(path: Path, mask_file: Path) -> str:
    """What is wrong with a mask beside its NIfTI, as nibabel reads both; or "".

    The mask has the input's shape and affine, and lies on what the known network takes
    for kidney or tumour, 30 HU and more: every voxel where the network sees the CT's
    own, most where they are interpolated. Voxels far below the network's own see
    nothing of it.
    """
    wrong, mask = same_geometry(path, mask_file), nib.load(mask_file)
    spacing = np.array(mask.header.get_zooms())
    found = np.asarray(mask.dataobj) > 0
    if wrong or spacing.min() < FINEST_MM or found.sum() < LEAST:
        return wrong
    hu, affine = _voxels_and_affine(path)
    order = np.abs(affine[:3, :3]).argmax(axis=0)
    straight = np.count_nonzero(np.abs(affine[:3, :3]) > 1e-4) == 3
    own = np.array(IPL.spacing_mm)[::-1][order]
    share = np.mean(hu[found] >= 29)
    if share < (1 if straight and np.allclose(spacing, own, rtol=1e-5) else 0.5):
        return f"of the mask {share:.0%} lie on 30 HU or more"
    return ""


def same_geometry(path: Path, mask_file: Path) -> str:
    """As `same_place`, whatever the mask lies on."""
    mask = nib.load(mask_file)
    hu, affine = _voxels_and_affine(path)
    if mask.shape != hu.shape or mask.get_data_dtype() != np.uint8:
        return f"mask {mask.shape} {mask.get_data_dtype()}, CT {hu.shape}"
    allowed = np.minimum(1e-5 + FLOAT32 * np.abs(affine), MOVED_MM)
    if not (np.abs(mask.affine - affine) <= allowed).all():
        return f"affine {mask.affine.tolist()}, CT {affine.tolist()}"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.abs(mask.header.get_zooms() - spacing).max() <= 1e-5:
        return f"spacing {mask.header.get_zooms()}, affine {affine.tolist()}"
    return ""


def opens(path: Path, mask_file: Path) -> str:
    """As `same_geometry` for what is no NIfTI: the mask is one, with a place."""
    mask = nib.load(mask_file)
    if mask.ndim != 3 or mask.get_data_dtype() != np.uint8:
        return f"mask {mask.shape} {mask.get_data_dtype()} of {path}"
    return "" if abs(np.linalg.det(mask.affine)) > 0 else f"affine {mask.affine}"


def _voxels_and_affine(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A NIfTI's HU and affine, its header taken as it stands."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    for order, (size, kind) in itertools.product("<>", KINDS.items()):
        if struct.unpack_from(order + "i", data)[0] == size:
            head = kind(data[:size], endianness=order, check=False)
    shape = tuple(int(n) for n in head["dim"][1:4])
    start = int(head["vox_offset"]) or head.single_vox_offset
    stored = np.frombuffer(data, head.get_data_dtype(), int(np.prod(shape)), start)
    slope, intercept = float(head["scl_slope"]), float(head["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        slope, intercept = 1, 0
    with np.errstate(all="ignore"):
        hu = stored.astype(np.float64) * slope + intercept
    return hu.reshape(shape, order="F"), _affine(head)


def _affine(head) -> np.ndarray:
    """The sform, else the qform: the standard's methods 3 and 2."""
    if head["sform_code"] > 0:
        return head.get_sform()
    head = head.copy()
    if head["pixdim"][0] not in (-1, 1):
        head["pixdim"][0] = 1
    return head.get_qform()


@contextlib.contextmanager
def _drawn(picture: bool) -> Iterator[None]:
    def none(path: Path, *_, **__):
        path.touch()

    name = "case_picture"
    draw = getattr(case_files, name) if picture else none
    with unittest.mock.patch.object(case_files, name, draw):
        yield


@contextlib.contextmanager
def _room(count: int) -> Iterator[None]:
    """A machine that has `count` bytes free beside what the process holds now."""
    most = _held() + count

    def free():
        return most - _held()

    with (
        unittest.mock.patch.object(memory, "available_memory", free),
        unittest.mock.patch.object(header, "available_memory", free),
    ):
        yield


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def late(*_):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _reset_peak() -> int:
    """Forgets the peak; returns the bytes that the process holds now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _held()


def _held() -> int:
    """Bytes of memory that the process holds; 0 where the system does not tell."""
    return _status("VmRSS")


def _peak() -> int:
    """The most since the last reset."""
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(name)]
    return int(found[0]) * 1024 if found else 0
