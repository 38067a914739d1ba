"""What a data set's `dataset.json` calls its label values, and whether a config agrees.

nnU-Net's version 1 writes {"0": "background", "1": "kidney"}, version 2 {"background":
0, "kidney": 1}, and for regions, as KiTS23 is usually stored, {"background": 0,
"kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}: a value belongs to every region that
lists it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vnet_jax.errors import InputError

TUMOUR_NAMES = {"tumor", "tumour"}
TUMOUR = 2  # the class
#: nnU-Net's name for voxels that do not count; the reader refuses any that occur.
IGNORED = "ignore"


def names_of_values(labels: Mapping, path: Path) -> dict[int, list[str]]:
    """The names of each label value, in the order of the values.

    Args:
        labels: "labels" of a dataset.json, of either version.
        path: that file, for the message.

    Raises:
        InputError: not a mapping of names and whole numbers.
    """
    names: dict[int, list[str]] = {}
    try:
        for key, given in labels.items():
            if isinstance(given, str):  # version 1
                key, given = given, int(key)
            for value in given if isinstance(given, list) else [given]:
                if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                    raise ValueError(value)
                names.setdefault(value, []).append(key)
    except (AttributeError, TypeError, ValueError):
        wrong = f"its labels are no names of whole numbers: {labels!r:.100}"
        raise InputError(path, wrong, 'write them as {"background": 0, ...}') from None
    return dict(sorted(names.items()))


def check_labels(labels: Mapping, pairs: Sequence[tuple[int, int]], path: Path) -> None:
    """Refuses a data set whose labels a config does not fit.

    Args:
        labels: "labels" of its dataset.json.
        pairs: (value in the file, class), a config's `data.labels`.
        path: the dataset.json.

    Raises:
        InputError: a value without a class, or a tumour that is not class 2, or another
            tissue that is.
    """
    names = names_of_values(labels, path)
    names = {value: own for value, own in names.items() if own != [IGNORED]}
    classes = dict(pairs)
    told = ", ".join(f"{value} {'/'.join(own)}" for value, own in names.items())
    if unknown := [value for value in names if value not in classes]:
        listed = ", ".join(map(str, unknown))
        raise InputError(
            path,
            f"has the labels {told}; data.labels has no class for {listed}",
            "use a config that has, such as configs/kits23.py",
        )
    tumours = {v for v, own in names.items() if TUMOUR_NAMES & {_plain(n) for n in own}}
    if tumours and tumours != {v for v in names if classes[v] == TUMOUR}:
        raise InputError(
            path,
            f"has the labels {told}; data.labels, value and class, is "
            f"{tuple(map(tuple, pairs))}, and class 2 is the tumour",
            "make data.labels give 2 to the tumour and to nothing else",
        )


def _plain(name: str) -> str:
    return name.strip().lower()
