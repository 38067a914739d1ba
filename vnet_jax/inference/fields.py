"""The fields of a run's config that inference reads: there, and what they should be.

A run folder may have been edited by hand, cut, or made by a stranger.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import ml_collections


def _number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _whole(value, least: int) -> bool:
    return type(value) is int and least <= value < 2**31


def _several(value, count: int, each: Callable) -> bool:
    return isinstance(value, tuple) and len(value) == count and all(map(each, value))


#: What each field must be, in words and as a test.
FIELDS: dict[str, tuple[str, Callable]] = {
    "phase": ("1 or 2", lambda v: v in (1, 2) and type(v) is int),
    "overlap": ("from 0 to below 1", lambda v: _number(v) and 0 <= v < 1),
    "data.spacing_mm": (
        "three numbers of mm, from 0 on",
        lambda v: _several(v, 3, lambda n: _number(n) and n >= 0),
    ),
    "data.downsample": (
        "three whole numbers from 1 on",
        lambda v: _several(v, 3, lambda n: _whole(n, 1)),
    ),
    "data.clip_hu": (
        "two numbers, the lower first",
        lambda v: _several(v, 2, _number) and v[0] < v[1],
    ),
    "data.pad_value": ("a number", _number),
    "sample.shape": (
        "three whole numbers from 1 on",
        lambda v: _several(v, 3, lambda n: _whole(n, 1)),
    ),
    "model.classes": ("from 2 to 255", lambda v: _whole(v, 2) and v <= 255),
    "model.dtype": ("a name", lambda v: isinstance(v, str)),
}


def wrong_field(config: ml_collections.ConfigDict) -> str:
    """What is wrong with a config, or "".

    Args:
        config: as `vnet_jax.runs.folder.as_config` gives it.
    """
    for name, (words, right) in FIELDS.items():
        value = config
        for key in name.split("."):
            if not isinstance(value, ml_collections.ConfigDict) or key not in value:
                return f"its config has no {name}"
            value = value[key]
        if not right(value):
            return f"{name} is {value!r:.60}, not {words}"
    return ""
