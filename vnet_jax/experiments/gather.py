"""Out-of-fold predictions of all folds as one data set: checked, scored, audited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.data.cases import find_cases
from vnet_jax.data.files import write_json
from vnet_jax.data.folds import Folds
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.experiments.folds import Experiment
from vnet_jax.reports import audit as audit_page
from vnet_jax.reports import evaluation, tables
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs.folder import RunFolder
from vnet_jax.scores import audit
from vnet_jax.scores.folder import Report, score_folder, summarise
from vnet_jax.scores.labels import find_labels


@dataclass(frozen=True)
class Predicted:
    """An out-of-fold prediction that is what it should be.

    Attributes:
        fold: whose models made it.
        notice: what must be said with its picture.
    """

    fold: int
    notice: str


def gather(
    experiment: Experiment, folds: Folds, *, pictures: int = 20, seed: int = 0
) -> Report:
    """Scores what all folds have predicted, into `<out>/scores` and `<out>/audit`.

    Args:
        experiment: what was asked for.
        folds: all of them.
        pictures: of how many cases of the audit to draw one.
        seed: of the bootstrap.

    Returns:
        The scores; a case without a prediction is missing in it, one that its own
        fold's models did not make has failed.

    Raises:
        InputError: not one prediction, or a run that was trained on other folds.
    """
    good, failed = check(experiment, folds)
    if not good:
        why = f"; {failed[0]['reason']}" if failed else ""
        raise InputError(
            experiment.masks,
            f"holds no out-of-fold prediction{why}",
            "run the folds first, then gather",
        )
    names = sorted(set(folds.ids) - {case["id"] for case in failed})
    classes = dict(experiment.data.labels)
    report = score_folder(
        experiment.masks,
        experiment.data.root,
        classes=classes,
        names=names,
        seed=seed,
        shown=True,
    )
    report.failed = sorted([*report.failed, *failed], key=lambda case: case["id"])
    scores = experiment.out / "scores"
    evaluation.write(scores, report)
    write_json(scores / "folds.json", {"folds": by_fold(report, folds, seed)})
    _audit(experiment, report, good, classes, pictures)
    return report


def check(
    experiment: Experiment, folds: Folds
) -> tuple[dict[str, Predicted], list[dict]]:
    """Sorts the predictions that are there: made by their own fold's runs, or not.

    Returns:
        (id -> prediction, [{"id", "reason"}] of those that were made by other models
        than the fold's runs hold now).

    Raises:
        InputError: a run in a fold's folder that was trained on another split.
    """
    good, failed = {}, []
    for fold, names in enumerate(folds.folds):
        runs = _runs(experiment, folds, fold)
        for name in names:
            summary = experiment.masks / f"{name}.json"
            mask = experiment.masks / f"{name}.nii.gz"
            if not (summary.exists() or mask.exists()):
                continue
            try:
                facts = _checked(summary, runs)
                good[name] = Predicted(fold, facts.get("notice", ""))
            except InputError as error:
                failed.append({"id": name, "reason": str(error)})
    return good, failed


def by_fold(report: Report, folds: Folds, seed: int = 0) -> list[dict]:
    """Means of each fold: [{"fold", "cases", "summary"}]; see `Report.summary`."""
    rows = []
    for fold, names in enumerate(folds.folds):
        cases = [case for case in report.cases if case["id"] in set(names)]
        summary = summarise(cases, seed)
        rows.append({"fold": fold, "cases": len(cases), "summary": summary})
    return rows


def fold_table(report: Report, folds: Folds) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of each fold's means of the masks as delivered."""
    keys = ("kidney", "tumour", "mean")
    rows = []
    for row in by_fold(report, folds):
        scores = row["summary"].get("phase2", {})
        means = [tables.number(scores[k]["mean"] if scores else None) for k in keys]
        rows.append([str(row["fold"]), *means, str(row["cases"])])
    return ["Fold", "Kidney", "Tumour", "Mean", "Cases"], rows


def _runs(experiment: Experiment, folds: Folds, fold: int) -> dict[int, RunFolder]:
    """The runs of a fold, by phase, those that are there."""
    splits, runs = folds.splits(fold), {}
    for phase in (1, 2):
        path = experiment.run_folder(fold, phase)
        if run_folder.exists(path):
            own = RunFolder(path)
            if (set(own.splits.train), set(own.splits.validation)) != (
                set(splits.train),
                set(splits.validation),
            ):
                raise InputError(
                    path,
                    f"was trained on another split than fold {fold} of folds.json",
                    "move it away and run the fold again",
                )
            runs[phase] = own
    return runs


def _checked(summary: Path, runs: Mapping[int, RunFolder]) -> dict:
    """A prediction's summary, whose models are those of its fold."""
    remedy = "run bin/crossval.py again: it predicts what has changed"
    try:
        facts = json.loads(summary.read_text(encoding="utf-8"))
        fast = facts["options"]["fast"]
        given = facts["options"]["kidneys_sha256"] is not None
        second = [model["sha256"] for model in facts["models"]["phase2"]]
        first = [model["sha256"] for model in facts["models"]["phase1"]]
        newest = facts["options"]["newest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(summary, f"no summary of a case ({error!r})", remedy) from None
    members = {1: 1, 2: 1 if fast else None}
    own = {n: [run.identity(members[n], newest)["sha256"]] for n, run in runs.items()}
    if second != own.get(2) or not (given or first == own.get(1)):
        raise InputError(summary, "was not made by its fold's models", remedy)
    return facts


def _audit(
    experiment: Experiment,
    report: Report,
    good: Mapping[str, Predicted],
    classes: Mapping[int, int],
    pictures: int,
) -> None:
    labels = find_labels(experiment.data.root)
    found = []
    names = [case["id"] for case in report.cases if case["id"] in good]
    with Progress("audit", len(names), unit="case") as bar:
        for name in names:
            mask = experiment.masks / f"{name}.nii.gz"
            facts = audit.audit_case(name, mask, labels[name], classes)
            found.append({**facts, "fold": good[name].fold})
            bar.advance(note=name)
    audit_page.write(
        experiment.out / "audit",
        audit.ranked(found),
        find_cases(experiment.data.root),
        experiment.masks,
        pictures=pictures,
        notices={name: good[name].notice for name in names},
        shown=True,
    )
