"""Zips of studies: odd and hostile ones, each made for its test."""

import os
import stat
import struct
import zipfile

import pytest

from vnet_jax.ct import unzip
from vnet_jax.ct.unzip import unpack_zip
from vnet_jax.errors import InputError

LIMIT = 1 << 20


@pytest.fixture
def pack(tmp_path):
    """Write a zip of {name or ZipInfo: bytes}."""

    def write(files, method=zipfile.ZIP_DEFLATED):
        path = tmp_path / "study.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in dict(files).items():
                archive.writestr(name, content, method)
        return path

    return write


def change(path, before: bytes, after: bytes):
    """Replace bytes that must be there."""
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


def refused(path, folder, *words, limit=LIMIT):
    with pytest.raises(InputError) as caught:
        unpack_zip(path, folder, limit)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path)) and caught.value.remedy
    for word in words:
        assert word in line
    assert not folder.exists()
    return line


def test_every_file_and_nested_folder(tmp_path, pack):
    files = {
        "a.dcm": b"1",
        "PA 1/Größe/IM 0001": os.urandom(3 * LIMIT // 4),
        "PA 1/empty": b"",
    }
    for method in unzip.METHODS:
        path, folder = pack({**files, "leer/": b""}, method), tmp_path / f"to{method}"
        unpack_zip(path, folder, LIMIT)
        found = {
            str(p.relative_to(folder)): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file()
        }
        assert found == files


def test_backslashes_are_folders(tmp_path, pack):
    path = pack({"S1\\im1": b"x"})
    unpack_zip(path, tmp_path / "to", LIMIT)
    assert (tmp_path / "to" / "S1" / "im1").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "a/../../out",
        "..\\out",
        "/tmp/out",
        "\\\\host\\out",
        "C:\\out",
        "a//b",
        "./a",
        "a/..",
    ],
)
def test_a_name_that_leads_out_of_the_folder(tmp_path, pack, name):
    path = pack({"good": b"1", name: b"2"})
    before = sorted(tmp_path.rglob("*"))
    refused(path, tmp_path / "to", "leads out", repr(name))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_with_an_end_in_its_middle(tmp_path, pack):
    path = pack({"aXb": b"1"})
    change(path, b"aXb", b"a\0b")
    refused(path, tmp_path / "to", "no path")


def test_too_long_a_name(tmp_path, pack):
    refused(pack({"n" * 256: b"1"}), tmp_path / "to", "too long")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(tmp_path, pack, kind):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    refused(pack({info: b"/etc/passwd"}), tmp_path / "to", "link")


def test_encrypted(tmp_path, pack):
    path = pack({"a": b"secret"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    path.write_bytes(data)
    refused(path, tmp_path / "to", "encrypted")


def test_a_name_twice(tmp_path, pack):
    path = pack({"im1": b"1", "im2": b"2"})
    change(path, b"im2", b"im1")
    refused(path, tmp_path / "to", "twice")
    path = pack({"a/im1": b"1", "a\\im1": b"2"})
    refused(path, tmp_path / "to", "twice")


def test_a_file_in_the_place_of_a_folder(tmp_path, pack):
    refused(pack({"a": b"1", "a/b": b"2"}), tmp_path / "to", "twice")
    refused(pack({"a/b": b"1", "a": b"2"}), tmp_path / "to", "twice")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_inflate_without_a_bound(tmp_path, pack, method):
    refused(pack({"a": b"1"}, method), tmp_path / "to", "deflated")


def test_a_bomb_by_its_stated_size(tmp_path, pack, monkeypatch):
    path = pack({f"{i}": bytes(LIMIT // 4) for i in range(5)})
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # whoever inflates, fails
    refused(path, tmp_path / "to", "unfolds to 0.00131 GB", "at most 0.00105 GB")


def test_a_bomb_that_lies_about_its_size(tmp_path, pack):
    """What the list states is 100 bytes; 64 MB would come."""
    size = 1 << 26
    path = pack({"a": bytes(size)})
    change(path, struct.pack("<L", size), struct.pack("<L", 100))
    refused(path, tmp_path / "to", "damaged")


def test_a_bomb_of_files_that_share_their_bytes(tmp_path, pack):
    """Each entry of the list leads to the same bytes."""
    path = pack({f"im{i}": bytes(1000) for i in range(3)})
    data = bytearray(path.read_bytes())
    entry = -1
    for _ in range(3):
        entry = data.index(b"PK\x01\x02", entry + 1)
        data[entry + 42 : entry + 46] = bytes(4)
    path.write_bytes(data)
    refused(path, tmp_path / "to", "damaged")


def test_more_than_the_disk_has(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(unzip, "_free", lambda folder: 99)
    refused(pack({"a": bytes(100)}), tmp_path / "to", "unfolds to 1e-07 GB")


def test_a_list_of_files_without_end(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(unzip, "MOST_LIST", 500)
    unpack_zip(pack({"a": b"1"}), tmp_path / "to", LIMIT)
    path = pack({f"im{i}": b"1" for i in range(20)})
    refused(path, tmp_path / "two", "list of files")


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.99])
def test_cut(tmp_path, pack, share):
    path = pack({f"{i}": os.urandom(5000) for i in range(5)})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, tmp_path / "to", "no zip, or a damaged one")


def test_a_flipped_bit_anywhere(tmp_path, pack):
    files = {f"{i}": bytes(range(256)) * 4 for i in range(3)}
    path = pack(files)
    data = path.read_bytes()
    for index in range(0, len(data), 3):
        broken = bytearray(data)
        broken[index] ^= 1 << (index % 8)
        path.write_bytes(broken)
        folder = tmp_path / f"to{index}"
        try:
            unpack_zip(path, folder, LIMIT)
        except InputError:
            assert not folder.exists()
        else:  # a date, a permission, a name: what was unpacked is whole
            for file in folder.rglob("*"):
                assert file.read_bytes() == files["0"]


def test_no_such_file_and_a_folder(tmp_path):
    refused(tmp_path / "none.zip", tmp_path / "to", "No such file")
    (tmp_path / "folder.zip").mkdir()
    refused(tmp_path / "folder.zip", tmp_path / "to", "directory")


def test_nothing_is_written_over(tmp_path, pack):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        unpack_zip(pack({"a": b"1"}), tmp_path / "to", LIMIT)
    assert (tmp_path / "to" / "mine").read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path, pack, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unzip, "_write", full)
    with pytest.raises(OSError, match="No space"):
        unpack_zip(pack({"a": b"1"}), tmp_path / "to", LIMIT)
    assert not (tmp_path / "to").exists()
