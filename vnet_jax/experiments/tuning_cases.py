"""The out-of-fold cases that thresholds are tuned on: files, folds, components."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume, to_canonical
from vnet_jax.ct.nifti import read_ct, read_labels
from vnet_jax.data.cases import ENDINGS, find_cases
from vnet_jax.data.splits import read_splits, split
from vnet_jax.errors import InputError
from vnet_jax.inference.decision import (
    RAW,
    labels_of,
    probability_beside,
    read_shares,
    weight_of,
)
from vnet_jax.inference.measure import all_volumes_ml
from vnet_jax.inference.postprocess import PostProcessing, clean
from vnet_jax.inference.table import Table, tabulate

#: Weights of the tumour that are tried, the paper's first.
TUMOUR_WEIGHT = (1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Source:
    """One case on disk.

    Attributes:
        id: the case.
        raw: mask before post-processing, by a network that has not seen the case; its
            probabilities may lie beside it.
        summary: what `bin/infer.py` wrote beside it; need not be there.
        image: the CT.
        label: the truth.
    """

    id: str
    raw: Path
    summary: Path
    image: Path
    label: Path


@dataclass(frozen=True, eq=False)
class Seen:
    """What was read of a case.

    Attributes:
        id: the case.
        tables: weight of the tumour -> its components, of 1 alone where no
            probabilities lie beside its mask; empty where it could not be read.
        score: its confidence; None where phase 1 found nothing, or nothing is told.
        told: whether a summary tells of the confidence.
        models: SHA-256 of each model of phase 2.
        synthetic: whether its models have only seen synthetic CTs.
        newest: whether it was predicted with the newest checkpoints, chosen by nothing.
        failure: why it could not be read.
    """

    id: str
    tables: Mapping[float, Table] = field(default_factory=dict)
    score: Mapping[str, float] | None = None
    told: bool = False
    models: tuple[str, ...] = ()
    synthetic: bool = False
    newest: bool = False
    failure: str = ""


def find_sources(predictions: str | Path, data: str | Path) -> list[Source]:
    """The cases that have a raw mask and a label.

    Raises:
        InputError: no such folder, or no such case in it.
    """
    predictions = Path(predictions)
    if not predictions.is_dir():
        raise InputError(predictions, "no such folder", "check --predictions")
    sources = []
    for case in find_cases(data, "--data"):
        masks = [predictions / f"{case.id}{RAW}{ending}" for ending in ENDINGS]
        raw = next((mask for mask in masks if mask.is_file()), None)
        if raw and case.label:
            summary = predictions / f"{case.id}.json"
            sources.append(Source(case.id, raw, summary, case.image, case.label))
    if not sources:
        raise InputError(
            predictions,
            f"holds no <case>{RAW}.nii.gz of a labelled case in {data}",
            "predict the validation cases of each fold with bin/infer.py --save_raw",
        )
    return sources


def folds_of(
    ids: Sequence[str], splits: Sequence[str | Path], folds: int, seed: int
) -> dict[str, int]:
    """Which fold each case is in: those of the trainings, or drawn ones.

    Args:
        ids: the cases.
        splits: `splits.json` of each training; none draws folds.
        folds: how many to draw, at most one a case.
        seed: of the draw.

    Returns:
        Case -> fold; with a single training its cases are cut into drawn folds.

    Raises:
        InputError: a case that no training held out, or one set apart for testing, or
            fewer than two cases.
    """
    if len(ids) < 2:
        raise InputError(None, f"{len(ids)} case", "tuning needs at least 2")
    held_out = [read_splits(path) for path in splits]
    for path, parts in zip(splits, held_out, strict=True):
        if wrong := sorted(set(ids) & set(parts.test)):
            raise InputError(
                path,
                f"{', '.join(wrong)} set apart for testing",
                "tune without them: a test set is for the last score",
            )
    validated = {i: k for k, parts in enumerate(held_out) for i in parts.validation}
    if splits and (seen := sorted(set(ids) - set(validated))):
        raise InputError(
            None,
            f"no training of --splits held out {', '.join(seen[:5])}"
            + (f" and {len(seen) - 5} more" if len(seen) > 5 else ""),
            "give the splits.json of every fold, and out-of-fold predictions only",
        )
    if len({validated[i] for i in ids if i in validated}) > 1:
        return {i: validated[i] for i in ids}
    folds = min(folds, len(ids))
    parts = [split(ids, seed=seed, folds=folds, fold=k) for k in range(folds)]
    return {i: k for k, part in enumerate(parts) for i in part.validation}


def see(source: Source) -> Seen:
    """Reads a case and finds its components; a bad file is told, not raised."""
    stored = probability_beside(source.raw).is_file()
    try:
        facts = _summary(source.summary)
        masks, ct, truth = _read(source, TUMOUR_WEIGHT if stored else (1.0,))
    except InputError as error:
        return Seen(source.id, failure=str(error))
    tables = {
        weight: tabulate(mask, ct.array, truth.array, ct.grid.voxel_ml)
        for weight, mask in masks.items()
    }
    score = facts.get("confidence") or {}
    whole = all(score.get(key) is not None for key in ("kidney", "tumour", "score"))
    return Seen(
        source.id,
        tables,
        score if whole else None,
        bool(score),
        tuple(m["sha256"] for m in facts.get("models", {}).get("phase2", ())),
        bool(facts.get("trained_on_synthetic")),
        bool(facts.get("options", {}).get("newest")),
    )


def volumes(source: Source, rules: PostProcessing) -> tuple[str, dict, dict]:
    """The case, its volumes in ml after post-processing, and the true ones."""
    masks, ct, truth = _read(source, (rules.tumour_weight,))
    mask, _ = clean(masks[rules.tumour_weight], ct.array, ct.grid, rules)
    return source.id, all_volumes_ml(mask, ct), all_volumes_ml(truth.array, ct)


def _read(
    source: Source, weights: Sequence[float]
) -> tuple[dict[float, np.ndarray], Volume, Volume]:
    """Raw mask at each weight of the tumour, CT and truth, on one grid: I, P, L."""
    if (weight := weight_of(source.summary)) != 1:
        wrong = f"predicted with tumour_weight {weight:g}"
        raise InputError(source.raw, wrong, "tune on masks predicted without one")
    read = {
        source.raw: read_labels(source.raw, (0, 1, 2)),
        source.image: read_ct(source.image),
        source.label: read_labels(source.label, (0, 1, 2)),
    }
    found = [to_canonical(scan.volume) for scan in read.values()]
    for path, volume in zip(read, found, strict=True):
        if not volume.grid.same_place(found[1].grid):
            raise InputError(
                path,
                f"lies on another grid than {source.image}",
                "give the CTs that were predicted, with their labels",
            )
    raw = read[source.raw].volume
    shares = read_shares(source.raw, raw) if set(weights) != {1.0} else ()
    masks = {1.0: found[0].array}
    for weight in set(weights) - {1.0}:
        labels = labels_of(*shares, weight)
        masks[weight] = to_canonical(Volume(labels, raw.grid)).array
    return masks, *found[1:]


def _summary(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(path, f"no summary of a case ({error})") from None
