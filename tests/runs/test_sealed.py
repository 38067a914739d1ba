"""The container: every byte counts, and nothing in it points outside."""

import builtins
import hashlib
import io
import random
import stat
import zipfile
from pathlib import Path

import pytest

from vnet_jax.errors import InputError
from vnet_jax.runs.sealed import DIGITS, SEAL, open_sealed, seal_of, writing_sealed

PARTS = {"phase1/0/5.safetensors": b"weights" * 20, "manifest.json": b"{}"}


def write(path, parts=PARTS):
    with writing_sealed(path) as writer:
        for name, content in parts.items():
            writer.add_bytes(name, content)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "x.vnet")


def sealed(content: bytes) -> bytes:
    """A zip made by other means, with a right seal."""
    body = content[: -len(SEAL) - DIGITS] + SEAL
    return body + hashlib.sha256(body).hexdigest().encode()


def foreign(path, *entries, **changes):
    """A zip of (ZipInfo or name, content), as any program may write it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in entries:
            if isinstance(info, str):
                info = plain(info, **changes)
            archive.writestr(info, content)
        archive.comment = SEAL + b"0" * DIGITS
    path.write_bytes(sealed(file.getvalue()))
    return path


def plain(name, **changes):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    for key, value in changes.items():
        setattr(info, key, value)
    return info


def test_parts_come_back(path):
    found = open_sealed(path)
    assert {name: part.read(1000) for name, part in found.items()} == PARTS
    for name, part in found.items():
        assert part.sha256() == hashlib.sha256(PARTS[name]).hexdigest()
    content = path.read_bytes()
    assert seal_of(path).encode() == content[-64:]
    assert hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]


def test_any_unzip_program_opens_it(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == PARTS


def test_the_same_parts_give_the_same_bytes(path, tmp_path):
    assert write(tmp_path / "y.vnet").read_bytes() == path.read_bytes()


def test_a_change_of_any_byte_is_refused(path):
    whole = path.read_bytes()
    draw = random.Random(0)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= draw.randrange(1, 256)
        path.write_bytes(changed)
        with pytest.raises(InputError) as caught:
            open_sealed(path)
        assert "\n" not in str(caught.value)


def test_bytes_more_or_less_are_refused(path):
    whole = path.read_bytes()
    cuts = [whole[:size] for size in range(0, len(whole), 7)] + [whole[:-1]]
    for changed in [*cuts, whole + b"\0", b"\0" + whole, whole + whole, whole[::-1]]:
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"does not end as a bundle|differs"):
            open_sealed(path)
    path.write_bytes(whole)
    assert open_sealed(path)


@pytest.mark.parametrize(
    "name",
    [
        "../x.json",
        "a/../../x.json",
        "/etc/x.json",
        "C:/x.json",
        "a\\x.json",
        "./x.json",
        "a//x.json",
        "a/",
        "x.json\n",
        "\u0661.json",
        ".x.json",
    ],
)
def test_names_that_could_leave_a_folder(tmp_path, name):
    path = foreign(tmp_path / "x.vnet", (name, b"1"))
    with pytest.raises(InputError, match="a part is named") as caught:
        open_sealed(path)
    assert "\n" not in str(caught.value)


def test_a_name_behind_a_null_byte(tmp_path):
    path = foreign(tmp_path / "x.vnet", ("a.json?../../x", b"1"))
    content = path.read_bytes()
    path.write_bytes(sealed(content.replace(b"?", b"\0")))
    with pytest.raises(InputError, match="a part is named"):
        open_sealed(path)


def test_what_is_no_plain_stored_file(tmp_path):
    link = (stat.S_IFLNK | 0o777) << 16
    bomb = (plain("x.json", compress_type=zipfile.ZIP_DEFLATED), b"0" * 10**6)
    for entry in [(plain("x.json", external_attr=link), b"/etc/passwd"), bomb]:
        path = foreign(tmp_path / "x.vnet", entry)
        with pytest.raises(InputError, match=r"x\.json is no plain file, or is packed"):
            open_sealed(path)


def test_two_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = foreign(tmp_path / "x.vnet", ("x.json", b"1"), ("x.json", b"2"))
    with pytest.raises(InputError, match=r"a part is named 'x\.json'"):
        open_sealed(path)


def test_bytes_that_no_part_holds(path):
    whole = path.read_bytes()
    listed = whole.index(b"PK\x01\x02")
    path.write_bytes(sealed(b"hidden" + whole))
    with pytest.raises(InputError, match="is not where the part before ends"):
        open_sealed(path)
    path.write_bytes(sealed(whole[:listed] + b"hidden" + whole[listed:]))
    with pytest.raises(InputError, match="not a bundle that this program writes"):
        open_sealed(path)


def test_a_size_that_is_not_there(path):
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02") + 20  # the list's first entry: its two sizes
    huge = (2**32 - 2).to_bytes(4, "little") * 2
    path.write_bytes(sealed(whole[:at] + huge + whole[at + 8 :]))
    with pytest.raises(InputError, match="reaches beyond the parts"):
        open_sealed(path)
    path.write_bytes(sealed(whole[:at] + b"\1\0\0\0" + whole[at + 4 :]))
    with pytest.raises(InputError, match="has 1 bytes of 140"):
        open_sealed(path)


def test_another_name_where_a_part_begins(path):
    whole = path.read_bytes()
    path.write_bytes(sealed(whole.replace(b"phase1", b"phase2", 1)))
    with pytest.raises(InputError, match="has another name where it begins"):
        open_sealed(path)


def test_noise_with_a_right_seal_is_one_line(path):
    """Whoever seals anew reaches the parser, which must not stumble either."""
    whole, draw = path.read_bytes(), random.Random(1)
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(len(whole) - DIGITS)] = draw.randrange(256)
        path.write_bytes(sealed(bytes(changed)))
        try:
            parts = open_sealed(path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert sum(part.size for part in parts.values()) < len(whole)


def test_a_part_larger_than_asked_for_is_not_read(path):
    with pytest.raises(InputError, match="has 140 bytes, at most 139 are read"):
        open_sealed(path)["phase1/0/5.safetensors"].read(139)


def test_large_parts_take_zips_large_fields(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    found = open_sealed(write(tmp_path / "x.vnet"))
    assert {name: part.read(1000) for name, part in found.items()} == PARTS


def test_what_goes_wrong_leaves_nothing(path):
    for names in [["../x.json"], ["x.json", "x.json"]]:
        with pytest.raises(ValueError, match="no name for a part"):
            with writing_sealed(path.with_name("y.vnet")) as writer:
                for name in names:
                    writer.add_bytes(name, b"1")
    with pytest.raises(ValueError, match="has 3 bytes, not 4"):
        with writing_sealed(path) as writer:
            writer.add("x.json", 4, lambda file: file.write(b"abc"))
    assert [p.name for p in path.parent.iterdir()] == ["x.vnet"]
    assert open_sealed(path).keys() == PARTS.keys()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing(path, monkeypatch):
    real = builtins.open

    def full(name, mode="r", *args, **kwargs):
        return real("/dev/full", "wb") if mode == "xb" else real(name, mode)

    monkeypatch.setattr(builtins, "open", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, {"x.json": b"1" * 10**6})
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == ["x.vnet"]
    assert open_sealed(path).keys() == PARTS.keys()
