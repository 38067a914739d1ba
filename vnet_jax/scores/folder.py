"""Scores a folder of predictions against a folder of labels, and two folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vnet_jax.ct.nifti import stem
from vnet_jax.data.processes import results
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.scores import detection, paired, surface, volumes
from vnet_jax.scores.bootstrap import mean_interval
from vnet_jax.scores.case import STAGES, score_case
from vnet_jax.scores.challenges import CHALLENGES
from vnet_jax.scores.labels import find_labels, nifti_files, nifti_named

#: A process takes as long to start as to score a few cases.
CASES_A_WORKER = 8

#: What else inference may write beside a mask; nothing that is scored.
BESIDE = ("_raw", "_probability", "_disagreement")


@dataclass
class Report:
    """What an evaluation found.

    Attributes:
        challenge: whose rules: a name in `CHALLENGES`.
        cases: one dict a scored case, by id: {"id", "phase2": Dice of each region,
            "mean" and "kidney_alone", "phase1" and "stage1" alike where their masks are
            there, "coverage" where the summary tells phase 1's box, "volumes_ml",
            "surface": region -> {"surface_dice", "hd95_mm", "assd_mm"} where they were
            measured, "lesions": of `detection.lesions`}.
        summary: stage -> score -> {"mean", "low", "high", "n"}; "coverage" stands
            under "phase1". "surface" -> region -> measure alike, n the cases in which
            it is defined; "volumes" -> region -> `volumes.agreement`; "detection" ->
            size -> `detection.summarise`.
        missing: ids with a label and no prediction.
        failed: [{"id", "reason"}], cases that could not be read or compared.
        extra: ids with a prediction and no label, such as KiTS19's 210 to 299.
        comparison: of another folder: {"with", "tests": of `paired.compare`}, or None.
        chosen_on: which cases chose checkpoints and thresholds ("same cases",
            "cross-fitted", "held out"); "" where nobody said.
    """

    challenge: str = "kits19"
    cases: list[dict] = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failed: list[dict] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    comparison: dict | None = None
    chosen_on: str = ""

    def as_dict(self) -> dict:
        """Plain types, for JSON."""
        return asdict(self)


def score_folder(
    predictions: str | Path,
    labels: str | Path,
    *,
    challenge: str = "kits19",
    classes: Mapping[int, int] | None = None,
    surfaces: bool = True,
    names: Collection[str] | None = None,
    seed: int = 0,
    workers: int = 1,
    shown: bool = False,
) -> Report:
    """Scores each label whose prediction is there.

    Args:
        predictions: folder of `<id>.nii.gz`, with `<id>.json`, `<id>_phase1.nii.gz`
            and `<id>_stage1.nii.gz` beside it where inference wrote them.
        labels: a KiTS tree, an nnU-Net raw folder, or a folder of `<id>.nii.gz`.
        challenge: "kits19", "kits21" or "kits23".
        classes: value in the label files -> class, the challenge's own by default; any
            other value refuses the case.
        surfaces: whether to measure surface distances.
        names: of the cases that count; every one with a label by default.
        seed: of the bootstrap.
        workers: processes; each holds one case.
        shown: whether to show on stderr how far it is.

    Raises:
        InputError: no labels, not one prediction for any of them, or a worker died.
    """
    pairs, predictions = find_pairs(predictions, labels, names), Path(predictions)
    report = Report(challenge, extra=_extra(predictions, set(find_labels(labels))))
    report.missing = [name for name, (mask, _) in pairs.items() if mask is None]
    present = [name for name, (mask, _) in pairs.items() if mask is not None]
    classes = CHALLENGES[challenge].labels if classes is None else classes
    jobs = [
        (predictions, name, pairs[name][1], dict(classes), challenge, surfaces)
        for name in present
    ]
    with Progress("evaluate", len(jobs), unit="case", shown=shown) as progress:
        for case in _scored(jobs, workers):
            (report.failed if "reason" in case else report.cases).append(case)
            progress.advance(note=case["id"])
    for cases in (report.cases, report.failed):  # workers end in any order
        cases.sort(key=lambda case: case["id"])
    report.summary = summarise(report.cases, seed)
    return report


def find_pairs(
    predictions: str | Path, labels: str | Path, names: Collection[str] | None = None
) -> dict[str, tuple[Path | None, Path]]:
    """The prediction and the label of each case; reads neither.

    Args:
        predictions: folder of `<id>.nii.gz`.
        labels: a KiTS tree, an nnU-Net raw folder, or a folder of `<id>.nii.gz`.
        names: of the cases that count; every one with a label by default.

    Returns:
        id -> (prediction, None where it is missing; label).

    Raises:
        InputError: no labels, a name without one, or not one prediction.
    """
    predictions, truths = Path(predictions), find_labels(labels)
    if not predictions.is_dir():
        raise InputError(predictions, "no such folder", "check --predictions")
    if names is not None:
        if unknown := sorted(set(names) - set(truths)):
            raise InputError(labels, f"has no label of {', '.join(unknown[:5])}")
        truths = {name: truths[name] for name in sorted(set(names))}
    pairs = {
        name: (nifti_named(predictions, name), path) for name, path in truths.items()
    }
    if all(mask is None for mask, _ in pairs.values()):
        raise InputError(
            predictions,
            f"holds no prediction for any of the {len(truths)} labels in {labels}",
            f"a prediction is called {next(iter(truths), 'case_00000')}.nii.gz, like "
            "its case",
        )
    return pairs


def _scored(jobs: list[tuple], workers: int) -> Iterator[dict]:
    workers = min(workers, 1 + len(jobs) // CASES_A_WORKER)
    try:
        yield from results(_attempt, jobs, workers)
    except BrokenProcessPool:
        wrong = "a worker died, most likely for want of memory"
        raise InputError(None, wrong, "start again with fewer --workers") from None


def _attempt(predictions, name, truth, classes, challenge: str, surfaces) -> dict:
    """A case's scores, or {"id", "reason"}; crosses processes."""
    rules = CHALLENGES[challenge]
    try:
        return score_case(predictions, name, truth, classes, rules, surfaces)
    except InputError as error:
        return {"id": name, "reason": str(error)}


def summarise(cases: list[dict], seed: int) -> dict:
    """Means over the cases, with 95 % bootstrap intervals; see `Report.summary`."""
    summary: dict = {}
    for stage in STAGES:
        there = [case[stage] for case in cases if stage in case]
        if there:
            summary[stage] = {
                key: _interval([scores[key] for scores in there], seed)
                for key in there[0]
            }
    covered = [case["coverage"] for case in cases if "coverage" in case]
    if covered:
        summary.setdefault("phase1", {})["coverage"] = _interval(covered, seed)
    measured = [case["surface"] for case in cases if "surface" in case]
    if measured:
        summary["surface"] = {
            name: _surface([case[name] for case in measured], seed)
            for name in measured[0]
        }
    sized = [case["volumes_ml"] for case in cases if "volumes_ml" in case]
    if sized:
        summary["volumes"] = {
            name: _agreement(sized, name, seed)
            for name in sized[0]
            if not name.startswith("true_")
        }
    matched = [case["lesions"] for case in cases if "lesions" in case]
    if matched:
        summary["detection"] = detection.summarise(matched, seed)
    return summary


def _surface(cases: list[dict], seed: int) -> dict:
    """Measure -> mean over the cases where it is defined, None where in none."""
    means = {}
    for measure in surface.MEASURES:
        values = [case[measure] for case in cases if case[measure] is not None]
        means[measure] = _interval(values, seed) if values else None
    return means


def _agreement(sized: list[dict], name: str, seed: int) -> dict:
    pairs = ([case[key] for case in sized] for key in (name, f"true_{name}"))
    return volumes.agreement(*pairs, seed)


def _interval(values: list[float], seed: int) -> dict:
    mean, low, high = mean_interval(values, seed)
    return {"mean": mean, "low": low, "high": high, "n": len(values)}


def compare(first: Report, second: Report, name: str, seed: int) -> dict:
    """Tests the delivered masks of two folders case by case; see `Report.comparison`.

    Args:
        first: of the folder in question.
        second: of the other, on the same labels.
        name: of the other, as it is told.
        seed: of bootstrap and permutations.

    Raises:
        InputError: the two share no case.
    """
    tests = paired.compare(_by_score(first), _by_score(second), seed)
    if not tests:
        wrong = "shares no scored case with --predictions"
        raise InputError(name, wrong, "compare predictions for the same labels")
    return {"with": name, "tests": tests}


def _by_score(report: Report) -> dict[str, dict[str, float]]:
    """Measure and region -> case -> value, of the masks as delivered."""
    values: dict[str, dict[str, float]] = {}
    for case in report.cases:
        own = {f"dice {key}": v for key, v in case["phase2"].items()}
        for name, measures in case.get("surface", {}).items():
            own |= {f"{measure} {name}": v for measure, v in measures.items()}
        sizes = case["volumes_ml"]
        for name in (n for n in sizes if not n.startswith("true_")):
            own[f"volume_error_ml {name}"] = abs(sizes[name] - sizes[f"true_{name}"])
        for score, value in own.items():
            if value is not None:
                values.setdefault(score, {})[case["id"]] = value
    return values


def _extra(predictions: Path, names: set[str]) -> list[str]:
    """Predictions without a label; a stage's mask beside its case's is none of them."""
    stems = {stem(file) for file in nifti_files(predictions)}
    endings = [*filter(None, STAGES.values()), *BESIDE]
    stage_masks = {s + ending for s in stems for ending in endings}
    return sorted(stems - names - stage_masks)
