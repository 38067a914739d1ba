"""From the stored pixels of slices to Hounsfield units, scaled exactly once."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from vnet_jax.ct import dicom_library
from vnet_jax.ct.checks import AIR_HU
from vnet_jax.ct.dicom_files import Files
from vnet_jax.ct.dicom_header import Damaged, parse
from vnet_jax.ct.dicom_slices import Slice
from vnet_jax.errors import InputError

LEAST_PADDING_HU = -850.0  # padding that stands for more is no padding
DECODERS = (
    'pip install "python-gdcm" (or "pylibjpeg[all]"), or decompress the files with '
    "gdcmconv --raw"
)
NATIVE = (  # transfer syntaxes without compression
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
EXPORT = "export the series again"


def read_hu(
    slices: Sequence[Slice], files: Files, path
) -> tuple[np.ndarray, list[str]]:
    """The voxels of sorted slices.

    Args:
        slices: in order, of one size.
        files: where they are.
        path: for the messages.

    Returns:
        (columns, rows, slices), int16 where all values are whole and fit, else float32,
        the first axis fastest; and what was mended.

    Raises:
        InputError: pixels missing, cut, damaged or compressed in a way that nothing
            installed decodes; or a file that has changed since its header was read.
    """
    rows, columns = slices[0].size
    warnings = _told(slices, path)
    hu = np.empty((len(slices), rows, columns), np.int16)
    padded = odd = 0
    for index, (one, stored, padding) in enumerate(_decoded(slices, files, path)):
        values = _scaled(stored, one)
        if hu.dtype == np.int16 and values.dtype != np.int16:
            hu = hu.astype(np.float32)
        hu[index] = values
        if padding is not None and padding.any():
            if values[padding].max() > LEAST_PADDING_HU:
                odd += 1
                continue
            hu[index][padding] = AIR_HU
            padded += 1
    if odd:
        warnings.append(f"PixelPaddingValue stands for tissue in {odd} slices: ignored")
    return hu.transpose(2, 1, 0), warnings


def _told(slices: Sequence[Slice], path) -> list[str]:
    """Doubts about the rescaling; it must be there for all slices or for none."""
    told = []
    bare = [s for s in slices if s.slope is None or s.intercept is None]
    if 0 < len(bare) < len(slices):
        wrong = f"{bare[0].called}: no RescaleSlope or RescaleIntercept, unlike others"
        raise InputError(path, wrong, EXPORT)
    if bare:
        told.append("no RescaleSlope or RescaleIntercept: read as 1 and 0")
    if len({(s.slope, s.intercept) for s in slices}) > 1:
        told.append("RescaleSlope or RescaleIntercept differ from slice to slice")
    if not all(s.hu for s in slices):
        told.append("RescaleType is not HU: the values are taken for HU all the same")
    return told


def _decoded(slices, files: Files, path) -> Iterator[tuple]:
    """Each slice with its stored values and where they are padding, or None."""
    head, held = None, ""
    for one in slices:
        if one.file != held:  # the frames of one file come one after the other
            head, held = _head(one, files, path), one.file
        try:
            with dicom_library.quiet():
                stored = _stored(head, one, path)
                padding = _padding(head, stored)
        except (InputError, MemoryError):
            raise
        except Exception:
            wrong = f"{one.called}: its pixels are cut or damaged"
            raise InputError(path, wrong, EXPORT) from None
        yield one, stored, padding


def _head(one: Slice, files: Files, path):
    data = files.read(one.file)
    if data is None or hashlib.sha256(data).hexdigest() != one.sha256:
        wrong = f"{one.called}: its file changed while it was read"
        raise InputError(path, wrong, "start again")
    try:
        return parse(data, pixels=True)
    except Damaged:
        wrong = f"{one.called}: its file is damaged"
        raise InputError(path, wrong, EXPORT) from None


def _stored(head, one: Slice, path) -> np.ndarray:
    """(rows, columns) as they are stored."""
    pydicom = dicom_library.load("pydicom")
    pixels = dicom_library.load("pydicom.pixels")
    syntax = pydicom.uid.UID(head.file_meta.TransferSyntaxUID)
    frame = one.frame or 0
    if syntax in NATIVE:
        _check_length(head, one, path)
    else:
        _check_decoder(syntax, one, path, pixels)
        _check_frame(pydicom, head, frame, one, path)
    stored = pixels.pixel_array(head, index=frame)
    if stored.shape != one.size:
        raise ValueError(stored.shape)
    return stored


def _check_length(head, one: Slice, path) -> None:
    """Refuse a file that ends early, or has whole numbers of an unknown size."""
    if "PixelData" not in head or head.BitsAllocated not in (8, 16, 32):
        wrong = f"{one.called}: no PixelData of 8, 16 or 32 bits"
        raise InputError(path, wrong, EXPORT)
    need = one.size[0] * one.size[1] * head.BitsAllocated // 8 * ((one.frame or 0) + 1)
    if len(head.PixelData) < need:
        wrong = f"{one.called}: truncated: {len(head.PixelData)} bytes of {need}"
        raise InputError(path, wrong, "fetch or export it again")


def _check_decoder(syntax, one: Slice, path, pixels) -> None:
    try:
        able = pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        able = False
    if not able:
        name = (
            syntax.name if syntax.is_transfer_syntax else "an unknown transfer syntax"
        )
        wrong = f"{one.called} is compressed ({name}), which nothing installed decodes"
        raise InputError(path, wrong, DECODERS)


def _check_frame(pydicom, head, frame: int, one: Slice, path) -> None:
    """Refuse a JPEG whose own size is another: it decides what a decoder allocates."""
    frames = head.get("NumberOfFrames") or 1
    data = pydicom.encaps.get_frame(head.PixelData, frame, number_of_frames=int(frames))
    size = _jpeg_size(data)
    if size is not None and size != one.size:
        wrong = f"{one.called}: {one.size} voxels, in its compressed pixels {size}"
        raise InputError(path, wrong, EXPORT)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 states; None for another."""
    if data[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: its first segment is the size
        columns, rows, left, top = struct.unpack(">8x4I", data[:24])
        return rows - top, columns - left
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        mark, length = struct.unpack(">xBH", data[at : at + 4])
        if mark == 0xF7 or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack(">HH", data[at + 5 : at + 9])
        at += 2 + length
    raise ValueError("no frame header")


def _padding(head, stored: np.ndarray) -> np.ndarray | None:
    """Where the stored value is padding, or None where the file has none."""
    value = head.get("PixelPaddingValue")
    if value is None or isinstance(value, bytes):
        return None
    ends = [int(value), int(head.get("PixelPaddingRangeLimit", value))]
    # Some write -2000 as 63536, its bits without a sign.
    low, high = sorted(np.array(ends).astype(stored.dtype).tolist())
    return (stored >= low) & (stored <= high)


def _scaled(stored: np.ndarray, one: Slice) -> np.ndarray:
    """HU = slope * stored + intercept: int16 where that is exact, else float32."""
    slope = 1.0 if one.slope is None else one.slope
    intercept = 0.0 if one.intercept is None else one.intercept
    if slope % 1 == 0 and intercept % 1 == 0 and stored.dtype.kind in "iu":
        ends = [slope * float(v) + intercept for v in (stored.min(), stored.max())]
        if min(ends) >= -(2**15) and max(ends) < 2**15 and abs(slope) < 2**15:
            hu = stored.astype(np.int64) * int(slope) + int(intercept)
            return hu.astype(np.int16)
    with np.errstate(all="ignore"):
        return (stored * slope + intercept).astype(np.float32)
