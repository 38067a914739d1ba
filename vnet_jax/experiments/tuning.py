"""Thresholds of the post-processing, chosen on out-of-fold predictions (paper, 5.2).

A score of thresholds on the cases that chose them is too good. Each case is therefore
also scored with thresholds that the other folds chose: the cross-fitted score.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from vnet_jax.data.processes import results
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.experiments.calibration import calibrate
from vnet_jax.experiments.tuning_cases import (
    TUMOUR_WEIGHT,
    Seen,
    Source,
    see,
    volumes,
)
from vnet_jax.inference.postprocess import STEPS, PostProcessing
from vnet_jax.inference.table import dice
from vnet_jax.inference.thresholds import FORMAT
from vnet_jax.scores.bootstrap import mean_interval

#: Values tried, the paper's first; None leaves the step out.
SECOND_SHARE = (0.05, None, 0.01, 0.02, 0.1, 0.2)
CYST_HU = (10.0, None, -10.0, 0.0, 5.0, 15.0, 20.0, 25.0, 30.0)
MIN_TUMOUR_ML = (None, 0.1, 0.25, 0.5, 1.0, 2.0)
HOLES = (False, True)
#: Means closer than this are ties, which the setting nearer to the paper's wins.
TIE = 1e-9
NONE = PostProcessing(())


@cache
def grid(weights: tuple[float, ...] = TUMOUR_WEIGHT) -> tuple[PostProcessing, ...]:
    """All settings that are tried: the paper's first, then by what differs from it.

    Args:
        weights: of the tumour.
    """
    axes = (SECOND_SHARE, CYST_HU, MIN_TUMOUR_ML, HOLES, weights)
    places = itertools.product(*(range(len(axis)) for axis in axes))
    ordered = sorted(places, key=lambda place: (np.count_nonzero(place), place))
    values = ([a[i] for a, i in zip(axes, at, strict=True)] for at in ordered)
    return tuple(_setting(*value) for value in values)


def _setting(share, hu, ml, holes, weight) -> PostProcessing:
    on = (share is not None, hu is not None, ml is not None, holes)
    steps = tuple(step for step, taken in zip(STEPS, on, strict=True) if taken)
    given = {"second_share": share, "cyst_hu": hu, "min_tumour_ml": ml}
    given = {name: value for name, value in given.items() if value is not None}
    return PostProcessing(steps, tumour_weight=weight, **given)


def choose(means: np.ndarray) -> int:
    """The best column of (cases, settings) scores; of ties the first."""
    averages = means.mean(axis=0)
    return int(np.flatnonzero(averages >= averages.max() - TIE)[0])


def cross_fit(means: np.ndarray, folds: Sequence[int]) -> np.ndarray:
    """The setting that the other folds choose for each case: (cases,) columns.

    Args:
        means: (cases, settings).
        folds: (cases,) the fold of each.
    """
    folds = np.asarray(folds)
    chosen = {fold: choose(means[folds != fold]) for fold in np.unique(folds)}
    return np.array([chosen[fold] for fold in folds])


def tune(
    sources: Sequence[Source],
    folds: Mapping[str, int],
    *,
    poor_dice: float = 0.7,
    seed: int = 0,
    workers: int = 1,
    shown: bool = False,
) -> tuple[dict, list[str]]:
    """Chooses thresholds, scores them both ways and calibrates the confidence.

    Args:
        sources: the cases.
        folds: the fold of each.
        poor_dice: mean Dice below which a case should be reviewed.
        seed: of the bootstrap.
        workers: processes.
        shown: whether to show on stderr how far it is.

    Returns:
        What goes into the file, and why cases could not be read.

    Raises:
        InputError: fewer than two folds with readable cases.
    """
    seen = sorted(
        _all(see, [(s,) for s in sources], workers, "components", shown),
        key=lambda case: case.id,
    )
    failures = [case.failure for case in seen if case.failure]
    seen = [case for case in seen if not case.failure]
    of_case = [folds[case.id] for case in seen]
    if len(set(of_case)) < 2:
        raise InputError(
            None, f"{len(seen)} readable cases in fewer than 2 folds", "add cases"
        )
    tried = grid(_weights(seen))
    scores = _scores(seen, tried, shown)  # (cases, settings, 2)
    means = scores.mean(axis=2)
    best, crossed = choose(means), cross_fit(means, of_case)
    each = np.arange(len(seen))
    facts = {
        "format": FORMAT,
        "cases": len(seen),
        "folds": len(set(of_case)),
        "models": sorted({sha for case in seen for sha in case.models}),
        "trained_on_synthetic": any(case.synthetic for case in seen),
        "postprocess": tried[best].as_dict(),
        "tumour_weights_tried": list(_weights(seen)),
        "chosen_on": "same cases",
        "checkpoints_chosen_on": _checkpoints(seen),
        "scores": {
            "none": _row(_by(seen, NONE), "nothing chosen", seed),
            "paper": _row(scores[:, 0], "nothing chosen", seed),
            "tuned": _row(scores[:, best], "same cases", seed),
            "tuned_cross_fitted": _row(scores[each, crossed], "cross-fitted", seed),
        },
        "chosen_by_fold": {
            str(fold): tried[crossed[of_case.index(fold)]].as_dict()
            for fold in sorted(set(of_case))
        },
    }
    rules = {case.id: tried[k] for case, k in zip(seen, crossed, strict=True)}
    by_id = {source.id: source for source in sources}
    facts |= _calibrated(
        seen, rules, by_id, means[each, crossed], poor_dice, workers, shown
    )
    return facts, failures


def _calibrated(seen, rules, sources, dices, poor_dice, workers, shown) -> dict:
    """Calibration and its report; volumes are those of cross-fitted thresholds."""
    note = ""
    if without := sum(not case.told for case in seen):
        note = f"{without} of {len(seen)} cases have no confidence in their summary"
    elif not any(case.score for case in seen):
        note = "nothing was found in any case"
    if note:
        return {"calibration": None, "calibration_report": {"note": note}}
    dices = [d for case, d in zip(seen, dices, strict=True) if case.score]
    # Where phase 1 finds nothing, inference gives no interval either.
    seen = [case for case in seen if case.score]
    jobs = [(sources[case.id], rules[case.id]) for case in seen]
    found = {
        name: (predicted, true)
        for name, predicted, true in _all(volumes, jobs, workers, "volumes", shown)
    }
    cases = [(*found[case.id], case.score) for case in seen]
    calibration, report = calibrate(cases, dices, poor_dice)
    return {"calibration": calibration.as_dict(), "calibration_report": report}


def _all(function, jobs, workers: int, label: str, shown: bool) -> list:
    done = []
    with Progress(label, len(jobs), unit="case", shown=shown) as progress:
        for result in results(function, jobs, workers):
            done.append(result)
            progress.advance()
    return done


def _weights(seen: Sequence[Seen]) -> tuple[float, ...]:
    """Those of the tumour that every case can be scored with."""
    return tuple(w for w in TUMOUR_WEIGHT if all(w in case.tables for case in seen))


def _scores(
    seen: Sequence[Seen], tried: Sequence[PostProcessing], shown: bool
) -> np.ndarray:
    """(cases, settings, 2) Dice of kidney and tumour."""
    rows = []
    with Progress("thresholds", len(seen), unit="case", shown=shown) as progress:
        for case in seen:
            rows.append([_dice(case, setting) for setting in tried])
            progress.advance()
    return np.array(rows)


def _checkpoints(seen: Sequence[Seen]) -> str:
    """What chose the checkpoints: their own validation cases, which are these."""
    if all(case.newest for case in seen):
        return "nothing chosen"
    return "same cases"


def _by(seen: Sequence[Seen], setting: PostProcessing) -> np.ndarray:
    return np.array([_dice(case, setting) for case in seen])


def _dice(case: Seen, setting: PostProcessing) -> tuple[float, float]:
    return dice(case.tables[setting.tumour_weight], setting)


def _row(dices: np.ndarray, chosen_on: str, seed: int) -> dict:
    """Means over cases with 95 % bootstrap intervals; see `scores.folder`."""
    columns = {"kidney": dices[:, 0], "tumour": dices[:, 1], "mean": dices.mean(axis=1)}
    row = {"chosen_on": chosen_on}
    for key, values in columns.items():
        mean, low, high = mean_interval(values, seed)
        row[key] = {"mean": mean, "low": low, "high": high, "n": len(values)}
    return row
