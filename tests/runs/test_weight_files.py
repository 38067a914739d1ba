"""Files of weights without PyTorch; tests/baseline has those of PyTorch."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vnet_jax import memory
from vnet_jax.errors import InputError
from vnet_jax.runs.weight_files import is_weights_name, read_weights, write_weights

ARRAYS = {
    "in_tr.conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "in_tr.norm.running_var": np.array([1e-300, np.pi]),
    "in_tr.norm.num_batches_tracked": np.array(2**40, np.int64),
}


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path) -> Path:
    return tmp_path / "a folder" / f"weights.{request.param}"


def same(a, b):
    assert set(a) == set(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        np.testing.assert_array_equal(a[name], b[name])


def test_what_is_written_is_read(path):
    write_weights(path, ARRAYS)
    same(read_weights(path), ARRAYS)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_turned_array_keeps_its_values(path):
    turned = {"a": ARRAYS["in_tr.conv.weight"].transpose(2, 0, 1)}
    write_weights(path, turned)
    same(read_weights(path), turned)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_a_prefix_of_all_names_goes(path, prefix):
    write_weights(path, {prefix + k: v for k, v in ARRAYS.items()})
    same(read_weights(path), ARRAYS)


def test_a_prefix_of_some_names_stays(path):
    mixed = {"module.a": np.ones(1), "b": np.ones(1)}
    write_weights(path, mixed)
    same(read_weights(path), mixed)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "bit"])
def test_a_damaged_file_is_one_line(path, damage):
    write_weights(path, ARRAYS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[4] ^= 255  # in the length of safetensors' header
    flipped[whole.index(ARRAYS["in_tr.conv.weight"].tobytes())] ^= 255  # zip's sum
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "text": b"these are no weights, but a line of text",
            "bit": bytes(flipped),
        }[damage]
    )
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_weights(path)
    assert caught.value.path == path and "\n" not in str(caught.value)


def test_python_objects_are_not_unpickled(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([print], dtype=object))
    with pytest.raises(InputError, match="allow_pickle=False"):
        read_weights(path)


def test_a_bomb_is_refused_before_it_unfolds(tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, zeros=np.zeros(1 << 20, np.float32))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # whoever inflates, fails
    with pytest.raises(InputError, match=r"its arrays need .* are free"):
        read_weights(path)


def test_names_of_weights():
    assert is_weights_name("a/b.PT") and is_weights_name("x.safetensors")
    assert not is_weights_name("runs/phase1") and not is_weights_name("x.nii.gz")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.npz", "no such file"),
        ("x.h5", r"no file of weights: \.npz, \.safetensors, \.pt, \.pth are"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path, name, said):
    with pytest.raises(InputError, match=said):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "module"),
    [("x.pt", "torch"), ("x.pth", "torch")],
)
def test_a_missing_library_is_one_line_with_a_way_out(
    tmp_path, monkeypatch, name, module
):
    monkeypatch.setitem(sys.modules, module, None)  # an import fails
    path = tmp_path / name
    path.write_bytes(b"")
    package = module.partition(".")[0]
    said = rf'{name}: \.\w+ files need {package}, .*"vnet-jax\[baseline\]", or use .npz'
    with pytest.raises(InputError, match=said):
        read_weights(path)
    path.unlink()
    with pytest.raises(InputError, match=said):
        write_weights(path, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(monkeypatch, tmp_path):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match=r"cannot be written .*No space left"):
        write_weights(tmp_path / "x.npz", ARRAYS)
    assert list(tmp_path.iterdir()) == []
