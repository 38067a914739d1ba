"""Mutated DICOM inputs for the fuzz run: a small series, broken in many ways.

The files are mutated as bytes, so that nothing is left out that pydicom would refuse to
write.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests import dicom_writer

SHAPE = (12, 16, 18)
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OD", b"OF", b"OL", b"UC", b"UR")
VRS = b"AE AS AT CS DA DS FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US".split()
SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
    "1.2.3.4",
    "",
)
TEXTS = (
    *"0 1 -1 1e308 -1e308 1e-308 nan inf -inf 99999999999999999999 0x10 1,5 1e".split(),
    "1\\2",
    "0\\0\\0",
    "0\\0\\0\\0\\0\\0",
    "nan\\nan\\nan",
    "1e30\\1e30\\1e30",
    "\\\\\\",
    "",
    " ",
    "\0\0",
    "\x1b$B\xff",
    "9" * 5000,
    "1.2." * 900,
    "CT",
    "MR",
    "DERIVED\\SECONDARY",
    "LOCALIZER",
)
#: keyword -> (group, element): those that a reader must not trust.
TAGS = {
    "SpecificCharacterSet": 0x00080005,
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "Modality": 0x00080060,
    "PatientName": 0x00100010,
    "SliceThickness": 0x00180050,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "InstanceNumber": 0x00200013,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "FrameOfReferenceUID": 0x00200052,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "PixelPaddingValue": 0x00280120,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    "PixelData": 0x7FE00010,
}

Files = dict[str, bytes]


def mutated(folder: Path, seed: int, count: int) -> Iterator[tuple[str, Path]]:
    """Writes mutated inputs one after another; each goes when the next is asked for.

    Args:
        folder: to write in.
        seed: of the mutations.
        count: how many.

    Yields:
        The mutation's name and the path to give as --input: a folder, a zip or a file.
    """
    rng = np.random.default_rng(seed)
    bases = _bases()
    kinds = list(MUTATIONS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        target = folder / f"{number:05d}"
        target.mkdir(parents=True)
        base = list(bases)[int(rng.integers(len(bases)))] if kind in ANY else "plain"
        files = MUTATIONS[kind](dict(bases[base]), rng)
        yield f"{kind} ({base})", _write(target, files)
        shutil.rmtree(target, ignore_errors=True)


def _write(target: Path, files: Files) -> Path:
    if list(files) == ["study.zip"]:
        (target / "study.zip").write_bytes(files["study.zip"])
        return target / "study.zip"
    for name, data in files.items():
        file = target / "study" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (target / "study").mkdir(exist_ok=True)
    return target / "study"


def _bases() -> dict[str, Files]:
    """A series as files, plain and packed in several ways, and as one file."""
    hu = dicom_writer.body(SHAPE)
    plain = {f"{i:02d}.dcm": _bytes(data) for i, data in enumerate(_slices(hu))}
    one = dicom_writer.enhanced(hu, range(len(hu))[::-1])
    bases = {
        "plain": plain,
        "deflated": {name: _deflated(data) for name, data in plain.items()},
        "run-length": _packed(hu, "1.2.840.10008.1.2.5"),
        "enhanced": {"one": _bytes(one)},
    }
    if importlib.util.find_spec("jpeg_ls"):
        bases["JPEG-LS"] = _packed(hu, "1.2.840.10008.1.2.4.80")
    return bases


def _slices(hu: np.ndarray) -> list:
    return [dicom_writer.slice_of(plane, i) for i, plane in enumerate(hu)]


def _packed(hu: np.ndarray, syntax: str) -> Files:
    files = {}
    for index, data in enumerate(_slices(hu)):
        data.PixelRepresentation = 0  # JPEG-LS has no signed values
        data.compress(syntax, generate_instance_uid=False)
        files[f"{index:02d}"] = _bytes(data)
    return files


def _bytes(data) -> bytes:
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _meta_end(data: bytes) -> int:
    return 144 + struct.unpack("<I", data[140:144])[0]


def _with_syntax(data: bytes, syntax: str) -> bytes:
    """The file with another transfer syntax named, and the lengths made right."""
    tag = data.index(b"\x02\x00\x10\x00UI")
    old = struct.unpack("<H", data[tag + 6 : tag + 8])[0]
    new = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = data[:140] + struct.pack("<I", _meta_end(data) - 144 + len(new) - old)
    middle = data[144 : tag + 6] + struct.pack("<H", len(new)) + new
    return head + middle + data[tag + 8 + old :]


def _deflated(data: bytes, pieces: list[bytes] | None = None) -> bytes:
    named = _with_syntax(data, "1.2.840.10008.1.2.1.99")
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    pieces = [data[_meta_end(data) :]] if pieces is None else pieces
    packed = b"".join(map(deflate.compress, pieces)) + deflate.flush()
    return named[: _meta_end(named)] + packed


def _elements(data: bytes) -> dict[int, tuple[int, bytes, int, int]]:
    """Tag -> (start, VR, start of the value, end) at the top of an explicit file."""
    found, at = {}, _meta_end(data)
    while at + 8 <= len(data):
        group, element, vr = struct.unpack("<HH2s", data[at : at + 6])
        wide = vr in LONG
        end = at + (12 if wide else 8)
        length = struct.unpack(
            "<I" if wide else "<H", data[end - (4 if wide else 2) : end]
        )
        if end + length[0] > len(data):
            break
        found[(group << 16) + element] = (at, vr, end, end + length[0])
        at = end + length[0]
    return found


def _with_value(data: bytes, tag: int, value: bytes, vr: bytes | None = None) -> bytes:
    """The file with another value, its length made right, and perhaps another VR."""
    start, old, _, end = _elements(data)[tag]
    vr = old if vr is None else vr
    value = value + b"\0" * (len(value) % 2)
    head = data[start : start + 4] + vr
    if vr in LONG:
        head += b"\0\0" + struct.pack("<I", len(value))
    else:
        value = value[:65534]
        head += struct.pack("<H", len(value))
    return data[:start] + head + value + data[end:]


def _one(files: Files, rng) -> str:
    return sorted(files)[int(rng.integers(len(files)))]


def _victims(files: Files, rng) -> list[str]:
    """One file, or all of them."""
    return sorted(files) if rng.random() < 0.5 else [_one(files, rng)]


def flip_bits(files: Files, rng) -> Files:
    name = _one(files, rng)
    data = bytearray(files[name])
    # Most of a file is pixels; half of the time in the header, where it hurts.
    top = len(data) if rng.random() < 0.5 else min(len(data), 1500)
    for _ in range(int(rng.integers(1, 30))):
        data[int(rng.integers(top))] ^= 1 << int(rng.integers(8))
    return {**files, name: bytes(data)}


def cut(files: Files, rng) -> Files:
    name = _one(files, rng)
    return {**files, name: files[name][: int(rng.integers(len(files[name])))]}


def splice(files: Files, rng) -> Files:
    """Bytes lost, put in, or set to one value somewhere."""
    name = _one(files, rng)
    data, at = files[name], int(rng.integers(128, len(files[name])))
    span = int(rng.integers(1, 200))
    put = (b"", rng.bytes(span), b"\xff" * span, b"\0" * span)[int(rng.integers(4))]
    skip = span if rng.random() < 0.5 else 0
    return {**files, name: data[:at] + put + data[at + skip :]}


def drop_tag(files: Files, rng) -> Files:
    tag = _tag(rng)
    return {
        n: _without(d, tag) if n in _victims(files, rng) else d
        for n, d in files.items()
    }


def _without(data: bytes, tag: int) -> bytes:
    found = _elements(data)
    if tag not in found:
        return data
    start, _, _, end = found[tag]
    return data[:start] + data[end:]


def _tag(rng) -> int:
    return list(TAGS.values())[int(rng.integers(len(TAGS)))]


def odd_value(files: Files, rng) -> Files:
    """Another value of any kind in one tag, perhaps under another VR."""
    tag, other = _tag(rng), rng.random() < 0.3
    vr = VRS[int(rng.integers(len(VRS)))] if other else None
    kind = int(rng.integers(3))
    if kind == 0:
        value = TEXTS[int(rng.integers(len(TEXTS)))].encode("latin1")
    elif kind == 1:
        value = rng.bytes(int(rng.integers(0, 40)))
    else:
        value = struct.pack(
            "<H", int(rng.choice([0, 1, 2, 3, 7, 8, 12, 16, 32, 65535]))
        )
    out = dict(files)
    for name in _victims(files, rng):
        if tag in _elements(files[name]):
            out[name] = _with_value(files[name], tag, value, vr)
    return out


def wrong_length(files: Files, rng) -> Files:
    """A length that is not the value's; for pixels perhaps an undefined one."""
    tag, name = _tag(rng), _one(files, rng)
    found = _elements(files[name])
    if tag not in found:
        return files
    _, vr, value, _ = found[tag]
    size = 4 if vr in LONG else 2
    lie = int(rng.choice([0, 1, 3, 65535, 2**31 - 1, 2**32 - 2, 2**32 - 1]))
    lie = struct.pack("<I", lie)[:size]
    data = files[name]
    return {**files, name: data[: value - size] + lie + data[value:]}


def huge_sides(files: Files, rng) -> Files:
    """Rows and columns that promise gigabytes."""
    sides = [struct.pack("<H", int(rng.choice([4096, 32768, 65535]))) for _ in "ab"]
    out = dict(files)
    for name in _victims(files, rng):
        data = out[name]
        for tag, side in zip((TAGS["Rows"], TAGS["Columns"]), sides, strict=True):
            data = _with_value(data, tag, side)
        out[name] = data
    return out


def other_syntax(files: Files, rng) -> Files:
    """A transfer syntax that is not the file's."""
    syntax = SYNTAXES[int(rng.integers(len(SYNTAXES)))]
    names = _victims(files, rng)
    return {n: _with_syntax(d, syntax) if n in names else d for n, d in files.items()}


def missing(files: Files, rng) -> Files:
    gone = rng.permutation(sorted(files))[: int(rng.integers(1, max(2, len(files))))]
    return {name: data for name, data in files.items() if name not in gone}


def doubled(files: Files, rng) -> Files:
    copies = rng.permutation(sorted(files))[: int(rng.integers(1, len(files) + 1))]
    return {**files, **{f"again/{name}": files[name] for name in copies}}


def moved(files: Files, rng) -> Files:
    """Positions swapped, shifted, all equal, on a line that bends, or far away."""
    tag, out = TAGS["ImagePositionPatient"], dict(files)
    for name in _victims(files, rng):
        x, y, z = rng.normal(0, 10.0 ** rng.integers(-3, 6), 3)
        place = (-60 + x, -55 + y, z - 300) if rng.random() < 0.8 else (0, 0, 0)
        text = "\\".join(f"{v:.10g}"[:16] for v in place)
        out[name] = _with_value(files[name], tag, text.encode())
    return out


def turned(files: Files, rng) -> Files:
    tag, out = TAGS["ImageOrientationPatient"], dict(files)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    value = [*turn[0], *turn[1]] if rng.random() < 0.7 else rng.normal(size=6)
    text = "\\".join(f"{v:.6f}" for v in value).encode()
    for name in _victims(files, rng):
        out[name] = _with_value(files[name], tag, text)
    return out


def rescaled(files: Files, rng) -> Files:
    """Slopes and intercepts of any size, one for all slices or one for each."""
    out = dict(files)
    for name in _victims(files, rng):
        data = out[name]
        for key in ("RescaleSlope", "RescaleIntercept"):
            number = rng.normal() * 10.0 ** int(rng.integers(-8, 30))
            data = _with_value(data, TAGS[key], f"{number:.8g}".encode())
        out[name] = data
    return out


def strangers(files: Files, rng) -> Files:
    """Files of other kinds among the slices."""
    first = files[sorted(files)[0]]
    others = {
        "DICOMDIR": b"\0" * 128 + b"DICM" + rng.bytes(400),
        "empty": b"",
        "notes.txt": b"text " * 50,
        "head only": first[:132],
        "a/b/c/garbage.dcm": rng.bytes(3000),
        "after the magic": first[:132] + rng.bytes(3000),
        "nested.zip": _zip({"x": first}),
        "other series": _with_value(first, TAGS["SeriesInstanceUID"], b"1.2.3"),
        "other study": _with_value(first, TAGS["StudyInstanceUID"], b"1.2.4"),
        "report": _with_value(first, TAGS["Modality"], b"SR"),
    }
    take = rng.permutation(sorted(others))[: int(rng.integers(1, len(others) + 1))]
    return {**files, **{name: others[name] for name in take}}


def deep(files: Files, rng) -> Files:
    """Sequences in sequences, a thousand deep, before the pixels."""
    name = _one(files, rng)
    start = _elements(files[name])[TAGS["PixelData"]][0]
    begin = b"\x09\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return {**files, name: files[name][:start] + begin * 1000 + files[name][start:]}


def bomb(files: Files, rng) -> Files:
    """A deflated data set; one of five unfolds to 600 MB."""
    name, times = _one(files, rng), 600 if rng.random() < 0.2 else 0
    body = files[name][_meta_end(files[name]) :]
    return {**files, name: _deflated(files[name], [body, *[bytes(1_000_000)] * times])}


def _zip(files: Files) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def zipped(files: Files, rng) -> Files:
    """A zip, with names that lead out of it."""
    lead = ("", "../../", "/etc/", "C:\\", "a/../../")[int(rng.integers(5))]
    return {"study.zip": _zip({lead + name: data for name, data in files.items()})}


def zip_broken(files: Files, rng) -> Files:
    """A zip with a fault: bits, an end cut off, a length that lies."""
    data = _zip(files)
    if rng.random() < 0.5:
        return {"study.zip": cut({"x": data}, rng)["x"]}
    return {"study.zip": flip_bits({"x": data}, rng)["x"]}


#: Those that do not need to find tags in an explicit, plain file.
ANY = ("flip_bits", "cut", "splice", "missing", "doubled", "zipped", "zip_broken")
MUTATIONS = {
    mutation.__name__: mutation
    for mutation in (
        flip_bits,
        cut,
        splice,
        drop_tag,
        odd_value,
        wrong_length,
        huge_sides,
        other_syntax,
        missing,
        doubled,
        moved,
        turned,
        rescaled,
        strangers,
        deep,
        bomb,
        zipped,
        zip_broken,
    )
}
