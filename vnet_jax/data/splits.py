"""Which cases train, which validate, which are set apart: drawn once, then frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from vnet_jax.data.files import write_json
from vnet_jax.errors import InputError


@dataclass(frozen=True)
class Splits:
    """The ids of three sets of cases, and of others; no case is in two of them.

    Attributes:
        train: ids to learn from.
        validation: ids of the fold that chooses the best checkpoints.
        test: ids that neither training nor choosing sees.
        extra: ids of further data sets to learn from; see `vnet_jax.data.extra`.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuse a case that is in two sets: its score would be worth nothing."""
        ids = [*self.train, *self.validation, *self.test, *self.extra]
        if twice := _repeated(ids):
            raise InputError(
                None,
                f"cases in two sets of one split, or twice in one: {', '.join(twice)}",
                "give each case to one set",
            )


def split(
    ids: Iterable[str], *, seed: int, folds: int, fold: int, test: int = 0
) -> Splits:
    """Sets `test` cases apart and cuts the others into folds.

    The order is that of SHA-256(seed, id): it depends neither on the order in which a
    disk lists its folders nor on a library's random numbers, and without the case
    someone adds later the other ids keep their order.

    Args:
        ids: patient ids, in any order.
        seed: another seed gives another split.
        folds: how many; fold k of 20 cases in 5 folds validates on 4 and trains on 16.
        fold: which one validates, 0 to folds - 1.
        test: how many cases to set apart before the folds, the same for every fold.

    Returns:
        The three sets, each sorted by id; together they are `ids`.

    Raises:
        InputError: `fold` outside the folds, too few cases, or an id twice.
    """
    ids = sorted(ids)
    if twice := _repeated(ids):
        raise InputError(None, f"cases twice: {', '.join(twice)}", "rename them")
    _check_numbers(len(ids), folds, fold, test)
    ordered = sorted(ids, key=lambda name: _draw(seed, name))
    rest = ordered[test:]
    validation = rest[fold::folds]
    return Splits(
        train=tuple(sorted(set(rest) - set(validation))),
        validation=tuple(sorted(validation)),
        test=tuple(sorted(ordered[:test])),
    )


def write_splits(path: str | Path, splits: Splits) -> None:
    """Freezes a split in a JSON file, whole or not at all."""
    facts = asdict(splits)
    if not splits.extra:
        del facts["extra"]
    write_json(Path(path), facts)


def read_splits(path: str | Path) -> Splits:
    """Reads a frozen split.

    Raises:
        InputError: no such file, not a split, or one case in two of its sets.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        sets = {name: tuple(facts[name]) for name in ("train", "validation", "test")}
        sets["extra"] = tuple(facts.get("extra", ()))
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(path, f"not a split of cases ({error!r})") from None
    try:
        return Splits(**sets)
    except InputError as error:
        raise InputError(path, error.wrong, error.remedy) from None


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()


def _repeated(ids: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in ids if name in seen or seen.add(name)})


def _check_numbers(cases: int, folds: int, fold: int, test: int) -> None:
    if folds < 2:
        raise InputError(None, f"data.folds is {folds}", "at least 2 are needed")
    if not 0 <= fold < folds:
        raise InputError(
            None,
            f"data.fold {fold} is not one of the {folds} folds",
            f"pass --config.data.fold=0 to {folds - 1}",
        )
    if test < 0 or cases - test < folds:
        raise InputError(
            None,
            f"{cases} labelled cases, less {test} for testing, are too few for "
            f"{folds} folds",
            "add cases, or lower --config.data.test or --config.data.folds",
        )
