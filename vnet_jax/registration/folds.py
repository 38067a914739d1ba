"""Which cases a fold trains on, and which must not come near it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.errors import InputError

FORMS = 'a split ("train", "validation", "test") or folds ("folds", "test")'


@dataclass(frozen=True)
class Fold:
    """The cases of a fold; warped cases are made from `train` alone.

    Attributes:
        train: ids that may be references and floating images, sorted.
        held_out: ids of its validation and of the test set.
    """

    train: tuple[str, ...]
    held_out: frozenset[str]

    def __post_init__(self):
        """Refuse a case that is on both sides: its score would be worth nothing."""
        if both := sorted(self.held_out.intersection(self.train)):
            raise InputError(
                None,
                f"cases both in training and held out: {', '.join(both)}",
                "give each case to one set",
            )


def read_fold(path: str | Path, fold: int) -> Fold:
    """Reads a fold from a frozen JSON file of either form.

    Args:
        path: {"folds": [[ids], ...], "test": [ids]}, where fold k validates on the ids
            of the k-th list and trains on those of the others; or one split,
            {"train": [ids], "validation": [ids], "test": [ids]}, as a run keeps it in
            its `splits.json`.
        fold: which; a file with one split has no other than its own, so any does.

    Raises:
        InputError: no such file, neither form, no such fold, a case in two sets.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        return _fold(facts, fold)
    except FileNotFoundError:
        raise InputError(path, "no such file", f"pass --splits=FILE, {FORMS}") from None
    except InputError as error:
        raise InputError(path, error.wrong, error.remedy) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"no split of cases ({error!r})", FORMS) from None


def _fold(facts: dict, fold: int) -> Fold:
    if "folds" not in facts:
        return _checked(facts["train"], facts["validation"], facts.get("test", ()))
    folds = facts["folds"]
    if not 0 <= fold < len(folds):
        wrong = f"fold {fold} is not one of its {len(folds)} folds"
        raise InputError(None, wrong, f"pass --fold=0 to {len(folds) - 1}")
    train = [name for k, ids in enumerate(folds) if k != fold for name in ids]
    return _checked(train, folds[fold], facts.get("test", ()))


def _checked(train, validation, test) -> Fold:
    ids = [*train, *validation, *test]
    if not all(isinstance(name, str) for name in ids):
        raise TypeError("an id is no text")
    return Fold(tuple(sorted(set(train))), frozenset([*validation, *test]))
