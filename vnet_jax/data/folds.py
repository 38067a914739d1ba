"""All folds of a cross-validation in one frozen file, so that none can drift apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vnet_jax.data.files import write_json
from vnet_jax.data.splits import Splits, split
from vnet_jax.errors import InputError

#: Version of the file.
VERSION = 1


@dataclass(frozen=True)
class Folds:
    """Which patient is predicted by which fold, and which by none.

    Attributes:
        seed: what they were drawn with.
        folds: (k,) the ids that fold k validates on; the others of the folds train it.
        test: ids set apart before the folds.
        sources: data set's folder -> every id found in it when the folds were drawn.
    """

    seed: int
    folds: tuple[tuple[str, ...], ...]
    test: tuple[str, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        """Refuse too few folds, and a case that is in two of them or in the test."""
        if len(self.folds) < 2 or not all(self.folds):
            sizes = ", ".join(str(len(fold)) for fold in self.folds)
            raise InputError(
                None, f"folds of {sizes or 'no'} cases", "2 with cases are needed"
            )
        self.splits(0)  # all ids are in each of the splits

    @property
    def ids(self) -> tuple[str, ...]:
        """Those of all folds, sorted: the cases that get an out-of-fold prediction."""
        return tuple(sorted(name for fold in self.folds for name in fold))

    def splits(self, fold: int) -> Splits:
        """The sets of one fold.

        Args:
            fold: which one validates.

        Raises:
            InputError: there is no such fold.
        """
        count = len(self.folds)
        if not 0 <= fold < count:
            raise InputError(
                None,
                f"data.fold {fold} is not one of the {count} folds",
                f"pass --config.data.fold=0 to {count - 1}",
            )
        others = [name for k in range(count) if k != fold for name in self.folds[k]]
        return Splits(tuple(sorted(others)), tuple(self.folds[fold]), tuple(self.test))

    def strangers(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that are in no fold and not set apart, such as later ones."""
        return sorted(set(ids) - {*self.ids, *self.test})


def draw_folds(
    ids: Iterable[str],
    *,
    seed: int,
    folds: int,
    test: int = 0,
    sources: Mapping[str, Iterable[str]] | None = None,
) -> Folds:
    """Draws all folds; fold k is that of `splits.split(ids, fold=k, ...)`.

    Args:
        ids: patient ids that can train and be scored, in any order.
        seed: another seed gives other folds.
        folds: how many.
        test: how many cases to set apart before the folds.
        sources: data set's folder -> every id found in it, for the record.

    Raises:
        InputError: too few cases or folds, or an id twice.
    """
    ids = list(ids)
    numbers = {"seed": seed, "folds": folds, "test": test}
    drawn = [split(ids, fold=k, **numbers) for k in range(max(folds, 1))]
    found = {name: tuple(sorted(own)) for name, own in (sources or {}).items()}
    return Folds(seed, tuple(s.validation for s in drawn), drawn[0].test, found)


def write_folds(path: str | Path, folds: Folds) -> None:
    """Freezes the folds in a JSON file, whole or not at all."""
    facts = {
        "version": VERSION,
        "seed": folds.seed,
        "folds": [list(fold) for fold in folds.folds],
        "test": list(folds.test),
        "sources": {name: list(ids) for name, ids in folds.sources.items()},
    }
    write_json(Path(path), facts)


def read_folds(path: str | Path) -> Folds:
    """Reads frozen folds.

    Raises:
        InputError: no such file, no folds, or a case in two of them.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        version = facts["version"]
        seed, test = int(facts["seed"]), _names(facts["test"])
        folds = tuple(_names(fold) for fold in facts["folds"])
        sources = {name: _names(ids) for name, ids in facts["sources"].items()}
    except FileNotFoundError:
        raise InputError(
            path, "no such file", "bin/crossval.py --prepare writes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"no frozen folds ({error!r})", "draw anew") from None
    if version != VERSION:
        raise InputError(
            path, f"version {version}, this program reads {VERSION}", "draw anew"
        )
    try:
        return Folds(seed, folds, test, sources)
    except InputError as error:
        raise InputError(path, error.wrong, error.remedy) from None


def _names(ids) -> tuple[str, ...]:
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise TypeError(f"{ids!r} is no list of ids")
    return tuple(ids)
