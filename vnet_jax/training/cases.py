"""The cases of a run: found, checked, cached, and divided once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.data.cache import CachedCase, GridSpec, build_cache, root_folder
from vnet_jax.data.cases import Case, find_cases
from vnet_jax.data.splits import Splits, split
from vnet_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class RunCases:
    """The cases of a run, memory-mapped.

    Attributes:
        train: cases to learn from.
        validation: cases that choose the best checkpoints.
        splits: the ids of both, and of those set apart.
        refused: why others were left out.
    """

    train: list[CachedCase]
    validation: list[CachedCase]
    splits: Splits
    refused: list[InputError]

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
        workers: processes that build what the cache lacks.

    Raises:
        InputError: no data set, or too few usable cases.
    """
    labelled = [case for case in find_cases(root) if case.label is not None]
    if not labelled:
        raise InputError(root, "none of its cases has a label", "training needs labels")
    cached, refused = build_cache(labelled, root_folder(cache, root), spec, workers)
    ids = [case.id for case in cached]
    splits = split(ids, seed=seed, folds=folds, fold=fold, test=test)
    return _divided(cached, splits, refused)


def open_frozen(
    root: str, cache: str, spec: GridSpec, splits: Splits, workers: int = 1
) -> RunCases:
    """The cases of a run that goes on: those of its split, all of them.

    Args:
        root: the data set.
        cache: the folder of all caches.
        spec: the grid that the network sees.
        splits: as frozen when the run was started.
        workers: processes that build what the cache lacks.

    Raises:
        InputError: a case that is missing or can no longer be used.
    """
    cases = {case.id: case for case in find_cases(root)}
    needed = [*splits.train, *splits.validation]
    if missing := [name for name in needed if name not in cases]:
        raise InputError(
            root,
            f"{len(missing)} cases of this run are missing: {_listed(missing)}",
            "pass the --config.data.root that the run was started with",
        )
    chosen = [_labelled(cases[name]) for name in needed]
    cached, refused = build_cache(chosen, root_folder(cache, root), spec, workers)
    if refused:
        raise refused[0]
    return _divided(cached, splits, [])


def _divided(
    cached: Sequence[CachedCase], splits: Splits, refused: list[InputError]
) -> RunCases:
    by_id = {case.id: case for case in cached}
    train = [by_id[name] for name in splits.train]
    validation = [by_id[name] for name in splits.validation]
    return RunCases(train, validation, splits, refused)


def _labelled(case: Case) -> Case:
    if case.label is None:
        raise InputError(
            Path(case.image).parent, "its label is gone", "put it back to resume"
        )
    return case


def _listed(ids: Sequence[str], most: int = 5) -> str:
    return ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")
