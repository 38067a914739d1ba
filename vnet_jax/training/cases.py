"""The cases of a run: found, checked, cached, and divided once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vnet_jax.data.cache import CachedCase, GridSpec, build_cache, root_folder
from vnet_jax.data.cases import Case, find_cases
from vnet_jax.data.extra import Extra, find_extra, refuse_leaks, refuse_warped
from vnet_jax.data.splits import Splits, split
from vnet_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class RunCases:
    """The cases of a run, memory-mapped.

    Attributes:
        train: cases to learn from, those of further data sets last.
        validation: cases that choose the best checkpoints.
        splits: the ids of both, and of those set apart.
        refused: why others were left out.
        notes: what else to say about them, a line each.
    """

    train: list[CachedCase]
    validation: list[CachedCase]
    splits: Splits
    refused: list[InputError]
    notes: list[str] = field(default_factory=list)

    @property
    def synthetic(self) -> bool:
        """True where every training case is a synthetic CT."""
        return all(cached.case.synthetic for cached in self.train)


def open_new(
    root: str,
    cache: str,
    spec: GridSpec,
    *,
    seed: int,
    folds: int,
    fold: int,
    test: int,
    extra: Sequence[str] = (),
    workers: int = 1,
) -> RunCases:
    """The cases of a run that starts: every labelled one that can be used.

    Args:
        root: the data set.
        cache: the folder of all caches.
        spec: the grid that the network sees.
        seed: of the split.
        folds: how many.
        fold: which one validates.
        test: cases set apart before the folds.
        extra: further data sets whose cases only train.
        workers: processes that build what the cache lacks.

    Raises:
        InputError: no data set, too few usable cases, or one of `extra` is made of a
            patient who is scored.
    """
    found = _found(root)
    labelled = [case for case in found if case.label is not None]
    if not labelled:
        raise InputError(root, "none of its cases has a label", "training needs labels")
    cached, refused = build_cache(labelled, root_folder(cache, root), spec, workers)
    ids = [case.id for case in cached]
    splits = split(ids, seed=seed, folds=folds, fold=fold, test=test)
    others = _checked(extra, found, splits)
    return _divided(cached, splits, refused, _build(others, cache, spec, workers))


def open_frozen(
    root: str,
    cache: str,
    spec: GridSpec,
    splits: Splits,
    extra: Sequence[str] = (),
    workers: int = 1,
) -> RunCases:
    """The cases of a frozen split, all of them: of a run that goes on, or of a fold.

    Args:
        root: the data set.
        cache: the folder of all caches.
        spec: the grid that the network sees.
        splits: as frozen.
        extra: further data sets. Of their cases those of `splits.extra` train; where
            it names none, as when a run starts, every one that can be used.
        workers: processes that build what the cache lacks.

    Raises:
        InputError: a case that is missing or can no longer be used, or one of `extra`
            that is made of a patient who is scored.
    """
    found = _found(root)
    others = _checked(extra, found, splits)
    cases = {case.id: case for case in found}
    needed = [*splits.train, *splits.validation]
    _refuse_missing(root, needed, cases, "root")
    chosen = [_labelled(cases[name]) for name in needed]
    cached, refused = build_cache(chosen, root_folder(cache, root), spec, workers)
    if refused:
        raise refused[0]
    built = _build(_chosen(others, splits.extra), cache, spec, workers)
    if splits.extra and built[1]:
        raise built[1][0]
    return _divided(cached, splits, [], built, _strangers(found, splits))


def _found(root: str) -> list[Case]:
    found = find_cases(root)
    refuse_warped(root)
    return found


def _checked(roots: Sequence[str], found: list[Case], splits: Splits) -> list[Extra]:
    """The further data sets, none of their cases a copy of a scored one."""
    own = [case.id for case in found]
    others = find_extra(roots, own)
    refuse_leaks(others, own, splits)
    return others


def _chosen(others: Sequence[Extra], names: Sequence[str]) -> list[Extra]:
    """Of the further data sets the cases named; all of them where none is."""
    if not names:
        return list(others)
    known = {case.id for one in others for case in one.cases}
    _refuse_missing(None, names, known, "extra")
    return [
        replace(one, cases=tuple(case for case in one.cases if case.id in set(names)))
        for one in others
    ]


def _build(
    others: Sequence[Extra], cache: str, spec: GridSpec, workers: int
) -> tuple[list[CachedCase], list[InputError]]:
    """Caches the cases of further data sets, each set in a folder of its own."""
    cached, refused = [], []
    for one in others:
        built = build_cache(one.cases, root_folder(cache, one.root), spec, workers)
        cached += built[0]
        refused += built[1]
    if others and not cached:
        why = f"the first: {refused[0]}" if refused else "none has a label"
        raise InputError(others[0].root, f"none of its cases can be used, {why}")
    return cached, refused


def _divided(
    cached: Sequence[CachedCase],
    splits: Splits,
    refused: list[InputError],
    built: tuple[list[CachedCase], list[InputError]],
    notes: Sequence[str] = (),
) -> RunCases:
    by_id = {case.id: case for case in cached}
    extra, also_refused = built
    return RunCases(
        train=[*(by_id[name] for name in splits.train), *extra],
        validation=[by_id[name] for name in splits.validation],
        splits=replace(splits, extra=tuple(case.id for case in extra)),
        refused=[*refused, *also_refused],
        notes=list(notes),
    )


def _strangers(found: list[Case], splits: Splits) -> list[str]:
    """A line about labelled cases that the split does not know."""
    known = {*splits.train, *splits.validation, *splits.test}
    new = [case.id for case in found if case.label is not None and case.id not in known]
    if not new:
        return []
    return [
        f"{len(new)} labelled cases are not in the frozen split (added later, or "
        f"refused when it was drawn) and left out: {_listed(new)}"
    ]


def _refuse_missing(root, needed: Sequence[str], known, where: str) -> None:
    if missing := [name for name in needed if name not in known]:
        raise InputError(
            root,
            f"{len(missing)} cases of this run are missing: {_listed(missing)}",
            f"pass the --config.data.{where} that the run, or its folds, began with",
        )


def _labelled(case: Case) -> Case:
    if case.label is None:
        raise InputError(
            Path(case.image).parent, "its label is gone", "put it back to resume"
        )
    return case


def _listed(ids: Sequence[str], most: int = 5) -> str:
    return ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")
