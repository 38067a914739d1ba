"""Validation on whole cases, as a user would meet the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.labels import to_classes
from vnet_jax.ct.nifti import read_labels
from vnet_jax.ct.resample import argmax_on_grid
from vnet_jax.data.cached_case import CachedCase
from vnet_jax.inference.predict import Predictor
from vnet_jax.runs import hosts
from vnet_jax.scores.dice import kits19

SCORES = ("kidney", "tumour", "mean")


@dataclass(frozen=True, eq=False)
class Target:
    """A case to validate on, and where to look.

    Attributes:
        cached: the case.
        region: the foreground's box, on any grid; None with `whole` False means that
            nothing was found, and the predicted mask is empty.
        whole: predict the whole volume (phase 1).
    """

    cached: CachedCase
    region: Grid | None = None
    whole: bool = False


def truth_region(cached: CachedCase) -> Grid | None:
    """The box of a case's true foreground, on its cached grid; None without any."""
    box = cached.header["foreground_box"]
    return None if box is None else cached.grid.crop(*box)


def predict_labels(
    predictor: Predictor, variables: Mapping, target: Target, grid: Grid
) -> np.ndarray:
    """The mask of the network's last stage on a grid of the user's.

    Args:
        predictor: the network.
        variables: {"params", "batch_stats"}.
        target: the case and where to look.
        grid: where the mask is wanted.

    Returns:
        uint8 classes of the grid's shape; background outside the region.
    """
    if target.region is None and not target.whole:
        return np.zeros(grid.shape, np.uint8)
    image = Volume(target.cached.image, target.cached.grid)
    stages = predictor.softmax(variables, image, target.region)
    return argmax_on_grid(*stages[-1], grid)


def score_case(
    predictor: Predictor,
    variables: Mapping,
    target: Target,
    labels: Sequence[tuple[int, int]],
) -> dict:
    """KiTS19's scores of one case, on the label file's own grid.

    Args:
        predictor: the network.
        variables: {"params", "batch_stats"}.
        target: the case and where to look.
        labels: (value in the file, class) pairs.

    Returns:
        {"id", "kidney", "tumour", "mean"}, and "warnings": ["roi_tiled"] where the
        region is larger than the network's window.
    """
    truth = read_classes(target.cached.case.label, labels)
    mask = predict_labels(predictor, variables, target, truth.grid)
    row = {"id": target.cached.id, **kits19(mask, truth.array)}
    region = target.region
    if region and len(predictor.windows(target.cached.grid, region)) > 1:
        row["warnings"] = ["roi_tiled"]
    return row


def read_classes(path: Path, labels: Sequence[tuple[int, int]]) -> Volume:
    """A label file in its own axes, its values mapped to classes, uint8.

    Raises:
        InputError: a value that is not among the pairs.
    """
    volume = read_labels(path, allowed=[value for value, _ in labels]).volume
    return Volume(to_classes(volume.array, labels), volume.grid)


def validate(
    predictor: Predictor,
    variables: Mapping,
    targets: Sequence[Target],
    labels: Sequence[tuple[int, int]],
    done: Callable[[dict], bool] = lambda row: True,
) -> dict | None:
    """Scores every case and takes the means; processes that train share the cases.

    Args:
        predictor: the network.
        variables: {"params", "batch_stats"}.
        targets: the cases.
        labels: (value in the file, class) pairs.
        done: is told the row of each case that this process scores; False stops.

    Returns:
        {"kidney", "tumour", "mean", "cases": rows}, the same in every process; None
        where `done` stopped it, in whichever.
    """
    rows, stopped = {}, False
    for i in range(hosts.index(), len(targets), hosts.count()):
        rows[i] = score_case(predictor, variables, targets[i], labels)
        if stopped := not done(rows[i]):
            break
    hosts.meet()  # one process's cases may take much longer than another's
    if hosts.highest([stopped])[0]:
        return None
    rows = [_row_of_all(rows.get(i), target) for i, target in enumerate(targets)]
    means = {key: float(np.mean([row[key] for row in rows])) for key in SCORES}
    return {**means, "cases": rows}


def _row_of_all(row: dict | None, target: Target) -> dict:
    """A case's row, from the process that has it."""
    if hosts.count() == 1:
        return row
    own = [row[key] for key in SCORES] + ["warnings" in row] if row else [np.nan] * 4
    *scores, tiled = hosts.highest(own)
    told = {"id": target.cached.id, **dict(zip(SCORES, scores, strict=True))}
    return told | ({"warnings": ["roi_tiled"]} if tiled else {})
