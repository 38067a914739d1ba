"""What a pytree of arrays is, in one number."""

from __future__ import annotations

import hashlib

import jax
import numpy as np


def digest(tree) -> str:
    """SHA-256 over the names, shapes, dtypes and values of a pytree's arrays."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        name = jax.tree_util.keystr(path)
        total.update(f"{name} {array.dtype} {np.shape(leaf)}\n".encode())
        total.update(array.reshape(-1).view(np.uint8))
    return total.hexdigest()


def check_shapes(read, like) -> None:
    """Compares two pytrees of one structure, leaf by leaf.

    Raises:
        ValueError: names the first array of another shape or dtype.
    """

    def check(path, a, b):
        if a.shape != b.shape or a.dtype != b.dtype:
            name = jax.tree_util.keystr(path)
            raise ValueError(
                f"{name} is {a.dtype} {a.shape}, the model has {b.dtype} {b.shape}"
            )

    jax.tree_util.tree_map_with_path(check, read, like)
