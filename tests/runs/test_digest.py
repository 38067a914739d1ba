import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax.runs.digest import check_shapes, digest


def test_the_digest_by_hand():
    tree = {"b": np.array([1, 2], np.int32), "a": np.float32(0.5)}
    text = b"['a'] float32 ()\n" + bytes([0, 0, 0, 63])
    text += b"['b'] int32 (2,)\n" + bytes([1, 0, 0, 0, 2, 0, 0, 0])
    assert digest(tree) == hashlib.sha256(text).hexdigest()
    assert digest(tree) == digest(jax.tree.map(jnp.asarray, tree))
    assert digest(tree) != digest({**tree, "a": np.float32(-0.5)})


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(3, np.float32)},
        {"b": np.zeros(2, np.float32)},
        {"a": np.zeros(2, np.float16)},
        {"a": np.ones(2, np.float32)},
    ],
)
def test_names_shapes_dtypes_and_values_all_count(other):
    assert digest(other) != digest({"a": np.zeros(2, np.float32)})


@pytest.mark.parametrize("other", [np.zeros(3, np.float32), np.zeros(2, np.int32)])
def test_another_shape_or_dtype_is_named(other):
    check_shapes({"a": np.ones(2, np.float32)}, {"a": np.zeros(2, np.float32)})
    with pytest.raises(
        ValueError, match=r"\['a'\] is .*, the model has float32 \(2,\)"
    ):
        check_shapes({"a": other}, {"a": np.zeros(2, np.float32)})
