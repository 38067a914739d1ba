"""What a reproduction found: every row's scores, and each claim as a paired test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vnet_jax import models
from vnet_jax.ct.nifti import read_labels
from vnet_jax.data.cases import Case, find_cases
from vnet_jax.errors import InputError
from vnet_jax.experiments import record
from vnet_jax.experiments.recipe import CLEANINGS, Recipe, cleanings, predictions
from vnet_jax.models.work import forward_flop
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.log import read_log
from vnet_jax.scores import paired
from vnet_jax.scores.bootstrap import mean_interval

SCORES = ("kidney", "tumour", "mean")
#: The share of the last Dice at which a training counts as there.
SETTLED = 0.95
#: Rows whose tumours on cases with cysts are counted.
CYST_ROWS = ("clean_raw", "clean_hu", "clean_components", "clean_both")


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, as two rows to compare.

    Attributes:
        text: what would be better.
        first: (row, stage) of it.
        second: (row, stage) of what it is compared with.
        topic: the table that it stands in.
    """

    text: str
    first: tuple[str, str]
    second: tuple[str, str]
    topic: str


def claims(recipe: Recipe) -> list[Claim]:
    """All that can be asked of what this recipe trains."""
    here = {one.name for one in predictions(recipe)}
    last = "phase2"

    def versus(topic, text, first, second):
        return Claim(text, (first, last), (second, last), topic)

    found = [
        Claim(
            "stage 2 against stage 1 of the same cascade",
            ("plain", last),
            ("plain", "stage1"),
            "Architecture",
        )
    ]
    texts = {
        "single": "one V-Net on the region against the cascade",
        "per_conv": "sums at each convolution against each stage",
        "no_sum": "no sums between the decoders against sums",
        "dice": "cross entropy and Dice against cross entropy",
        "entropy": "cross entropy against cross entropy and Dice",
        "own_slices": "each CT's own slices against 3 mm",
    }
    for name in recipe.config.ablations:
        text = texts.get(name, f"{name} against the paper's phase 2")
        found.append(versus("Architecture", text, name, recipe.reference))
    if "registered" in here:
        text = "with warped cases against without"
        found.append(versus("Registration", text, "registered", "plain"))
    own = "registered" if "registered" in here else "plain"
    found += [
        versus("Ensembles", "best checkpoints against the best", "plain", "checkpoint"),
        versus("Ensembles", "mirrored as well against not", "flips", "plain"),
        versus("Ensembles", "several models against one", "models", own),
        versus("Ensembles", "several folds against one", "folds", own),
        versus("Ensembles", "all of them against one model", "all", own),
    ]
    topic = "Post-processing"
    for name in [name for name in CLEANINGS if name != "raw"]:
        text = f"{_CLEANED[name]} against none"
        found.append(versus(topic, text, f"clean_{name}", "clean_raw"))
    for one in [one for one in cleanings(recipe) if one.tuned]:
        text = f"chosen out of fold against the paper's, {_WHOSE[one.of]}"
        found.append(versus(topic, text, one.name, one.of))
    text = "two phases against phase 2 over the whole CT"
    return [*found, versus("Two phases", text, "checkpoint", "whole")]


_CLEANED = {
    "components": "largest components",
    "hu": "HU filter",
    "both": "both rules",
}
_WHOSE = {"plain": "one fold", "folds": "all folds", "all": "all models"}


def collect(recipe: Recipe, seed: int = 0) -> dict:
    """Reads all scores and compares them.

    Args:
        recipe: whose jobs are done.
        seed: of bootstrap and permutations.

    Returns:
        Plain types: "rows" (row -> stage -> score -> mean and interval), "claims"
        (text, topic, rows and `paired.compare`'s tests), "missing" (rows that were
        not made; nothing else tells of them), "convergence", "cysts", "costs",
        "out_of_fold" (stage -> score -> interval), "durations" and "validations" (see
        `record`).

    Raises:
        InputError: no scores out of fold yet, or a file of scores that is none.
    """
    asked = claims(recipe)
    names = {row for claim in asked for row, _ in _sides(claim)} | {"folds", "all"}
    made = [name for name in sorted(names) if recipe.scores(name).is_file()]
    reports = {name: _read(recipe.scores(name)) for name in made}
    return {
        "rows": {name: report["summary"] for name, report in reports.items()},
        "claims": [
            _tested(claim, reports, seed)
            for claim in asked
            if all(row in reports for row, _ in _sides(claim))
        ],
        "missing": sorted(names.difference(made)),
        "convergence": _convergence(recipe),
        "cysts": _cysts(recipe, reports, seed),
        "costs": _costs(recipe),
        "out_of_fold": _read(recipe.out / "scores" / "scores.json")["summary"],
        "cases": {
            "folds": [len(fold) for fold in recipe.folds.folds],
            "test": len(recipe.folds.test),
        },
        "durations": record.durations(recipe),
        "validations": record.validations(recipe),
    }


def settled(rows: Sequence[Mapping], share: float = SETTLED) -> dict | None:
    """When the validation's mean Dice first reaches a share of its last one.

    Args:
        rows: of a run's log.
        share: of the last validation's value.

    Returns:
        "step" and "epoch" (whole ones trained until then) of that validation; None
        where nothing was validated.
    """
    scored = [row for row in rows if row["kind"] == "validation"]
    if not scored:
        return None
    goal = share * scored[-1]["mean"]
    row = next(row for row in scored if row["mean"] >= goal)
    return {"step": row["step"], "epoch": row["epoch"] + 1}


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        wrong = f"no scores ({error})"
        raise InputError(path, wrong, "run bin/reproduce.py again") from None


def _tested(claim: Claim, reports: Mapping[str, dict], seed: int) -> dict:
    first, second = (_by_case(reports[row], stage) for row, stage in _sides(claim))
    return {
        "topic": claim.topic,
        "text": claim.text,
        "first": list(claim.first),
        "second": list(claim.second),
        "tests": paired.compare(first, second, seed),
    }


def _sides(claim: Claim) -> tuple[tuple[str, str], ...]:
    return claim.first, claim.second


def _by_case(report: dict, stage: str) -> dict[str, dict[str, float]]:
    """Score -> case -> Dice."""
    cases = [case for case in report["cases"] if stage in case]
    return {
        score: {case["id"]: case[stage][score] for case in cases} for score in SCORES
    }


def _convergence(recipe: Recipe) -> list[dict]:
    fold = recipe.config.fold
    runs = {"without warped cases": recipe.run(fold, "phase2")}
    if fold in recipe.config.register.folds:
        runs["with warped cases"] = recipe.run(fold, "registered")
    found = []
    for text, path in runs.items():
        rows = read_log(path) if path.is_dir() else []
        scored = [row["mean"] for row in rows if row["kind"] == "validation"]
        if not scored:
            continue
        last = scored[-1]
        steps = max(row["step"] for row in rows)
        found.append({"text": text, **settled(rows), "last": last, "steps": steps})
    return found


def _cysts(recipe: Recipe, reports: Mapping[str, dict], seed: int) -> dict | None:
    """Tumours found where there are none, on the cases that are known to have cysts."""
    data = find_cases(recipe.experiment.data.root)
    known = [case for case in data if case.id in recipe.folds.test and _has_cyst(case)]
    if not known or any(name not in reports for name in CYST_ROWS):
        return None
    ids = {case.id for case in known}
    rows = {}
    for name in CYST_ROWS:
        counts = [
            len(case["lesions"]["false"])
            for case in reports[name]["cases"]
            if case["id"] in ids
        ]
        mean, low, high = mean_interval(counts, seed)
        rows[name] = {"mean": mean, "low": low, "high": high, "n": len(counts)}
    first, second = ("clean_both", "clean_components")
    return {"rows": rows, "test": _fewer(reports, first, second, ids, seed)}


def _fewer(reports, first: str, second: str, ids: set[str], seed: int) -> dict:
    """Paired test of the false positives of two rows."""
    sides = [
        {
            "false_positives": {
                case["id"]: float(len(case["lesions"]["false"]))
                for case in reports[name]["cases"]
                if case["id"] in ids
            }
        }
        for name in (first, second)
    ]
    return paired.compare(*sides, seed)["false_positives"]


def _has_cyst(case: Case) -> bool:
    """Phantoms say where their cysts are; of real CTs nobody knows."""
    path = Path(case.image).parent / "cysts.nii.gz"
    return path.is_file() and bool(np.any(read_labels(path).volume.array))


def _costs(recipe: Recipe) -> dict[str, dict]:
    """Seconds, memory and work a test case, in two phases and over the whole CT."""
    found = {}
    for name in ("checkpoint", "whole"):
        folder = recipe.out / "test" / name
        if not recipe.scores(name).is_file():
            continue
        facts = [_read(folder / f"{case}.json") for case in recipe.folds.test]
        # The first case compiles, so it is left out where there are others.
        timed = facts[1:] or facts
        found[name] = {
            "network_s": _median(
                [
                    f["timings_s"].get("phase1", 0) + f["timings_s"]["phase2"]
                    for f in timed
                ]
            ),
            "case_s": _median([sum(f["timings_s"].values()) for f in timed]),
            "work_tflop": _median([_flop(recipe, f) / 1e12 for f in facts]),
            "peak_gb": max(f["peak_bytes"] for f in facts) / 1e9,
        }
    return found


def _flop(recipe: Recipe, facts: Mapping) -> float:
    """What the networks of a case computed."""
    total = 0.0
    for phase, passes in facts["forward_passes"].items():
        config = RunFolder(recipe.run(recipe.config.fold, phase)).config
        module = models.build(**config.model)
        total += passes * forward_flop(module, tuple(config.sample.shape))
    return total


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
