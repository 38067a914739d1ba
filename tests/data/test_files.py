import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from vnet_jax.data.files import (
    remove_abandoned,
    whole_file,
    write_array,
    write_json,
)


def test_an_array_is_what_numpy_reads(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)[:, ::-1]
    write_array(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert mapped.dtype == np.int16
    np.testing.assert_array_equal(mapped, array)


def test_makes_its_folder_and_leaves_nothing_else(tmp_path):
    write_json(tmp_path / "deep" / "er" / "a.json", {"n": 1})
    assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == '{\n "n": 1\n}'
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"n": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_says_why_and_leaves_nothing(tmp_path):
    # A limit on the size of files is met in the same place as a full disk.
    code = f"""
        import numpy as np, resource, pathlib
        from vnet_jax.data.files import write_array
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_array(pathlib.Path({str(tmp_path / "a.npy")!r}), np.zeros(10_000))
        except OSError as error:
            print(error.errno)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(errno.EFBIG)]
    assert not list(tmp_path.iterdir())


def test_parts_are_removed_when_a_day_old(tmp_path):
    old, young, other = (tmp_path / n for n in (".a.x.part", ".b.y.part", "c.npy"))
    for path in (old, young, other):
        path.write_bytes(b"")
    for path in (old, other):
        os.utime(path, (0, 0))
    remove_abandoned(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.y.part", "c.npy"]
