"""The safetensors format, against bytes by hand and the format's own library."""

import io
import json

import ml_dtypes
import numpy as np
import pytest

from vnet_jax.runs import tensors

ARRAYS = {
    "b/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/half": np.array([1.5, -2], np.float16),
    "scalar": np.array(2**40),
    "brain": np.array([[1, 2]], ml_dtypes.bfloat16),
    "none": np.zeros((0, 4), np.float32),
    "yes": np.array([True, False, True]),
}


def written(arrays, metadata=None) -> bytes:
    file = io.BytesIO()
    tensors.write(file, arrays, metadata or {})
    return file.getvalue()


def by_hand(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def read(content: bytes) -> dict:
    return tensors.read(io.BytesIO(content), len(content))


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_what_is_written_is_read():
    content = written(ARRAYS, {"format": "pt"})
    same(read(content), ARRAYS)
    assert tensors.size_of(ARRAYS, {"format": "pt"}) == len(content)
    backwards = {name: ARRAYS[name] for name in reversed(ARRAYS)}
    assert written(backwards, {"format": "pt"}) == content


def test_any_memory_order_and_byte_order():
    turned = {"a": ARRAYS["b/kernel"].T, "b": np.array([1, 2], ">i4")}
    found = read(written(turned))
    np.testing.assert_array_equal(found["a"], turned["a"])
    assert found["b"].tolist() == [1, 2]


def test_bytes_by_hand():
    data = np.array([1, -2], "<f4").tobytes() + b"\x07"
    places = {"w": ("F32", [2], [0, 8]), "n": ("U8", [], [8, 9])}
    keys = ("dtype", "shape", "data_offsets")
    header = {
        name: dict(zip(keys, place, strict=True)) for name, place in places.items()
    }
    found = read(by_hand(header, data))
    same(found, {"w": np.array([1, -2], np.float32), "n": np.array(7, np.uint8)})


def test_the_formats_own_library_agrees():
    library = pytest.importorskip("safetensors.numpy")
    arrays = {name: a for name, a in ARRAYS.items() if name != "brain"}  # no bfloat16
    mine = written(arrays, {"format": "pt"})
    same(library.load(mine), arrays)
    assert library.save(arrays, metadata={"format": "pt"}) == mine


def test_what_the_format_lacks_is_not_written():
    with pytest.raises(ValueError, match="z is of type complex64"):
        written({"z": np.zeros(1, np.complex64)})


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": F32 | {"shape": [2]}}, r"a has shape \[2\] in 4 bytes"),
        ({"a": F32 | {"shape": [-1, -1]}}, "a has shape"),
        ({"a": F32 | {"shape": [True]}}, "a has shape"),
        ({"a": F32 | {"shape": [2**62, 4, 0]}}, "in 4 bytes"),
        ({"a": F32 | {"dtype": "O"}}, "type 'O', not known"),
        ({"a": F32 | {"data_offsets": [0, 4, 8]}}, "no place in the data"),
        ({"a": F32 | {"data_offsets": ["0", 4]}}, "no place in the data"),
        ({"a": 5}, "no place in the data"),
        ({"a": F32, "b": F32}, "b begins at byte 0, the one before ends 4"),
        ({"a": F32 | {"data_offsets": [4, 8]}}, "begins at byte 4"),
        ({}, "4 bytes of data, the header tells of 0"),
        ([], "no JSON object"),
    ],
)
def test_numbers_that_do_not_fit(header, said):
    with pytest.raises(ValueError, match=said):
        read(by_hand(header, b"1234"))


def test_a_length_beyond_the_file_allocates_nothing():
    with pytest.raises(ValueError, match="a header of 1152921504606846976 bytes"):
        read((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="names something twice"):
        text = b'{"a":1,"a":2}'
        read(len(text).to_bytes(8, "little") + text)


def test_every_cut_is_refused():
    content = written({"a": np.ones(3, np.float32)})
    for size in range(len(content)):
        with pytest.raises(ValueError):
            read(content[:size])
        with pytest.raises(ValueError):  # the file ends before the size it should have
            tensors.read(io.BytesIO(content[:size]), len(content))
