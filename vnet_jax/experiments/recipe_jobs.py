"""The paper as programs to run: folds, registration, ablations, masks, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vnet_jax import programs
from vnet_jax.experiments import folds as crossval
from vnet_jax.experiments.folds import case_folder, training
from vnet_jax.experiments.jobs import Job
from vnet_jax.experiments.recipe import (
    Cleaned,
    Predicted,
    Recipe,
    cleanings,
    predictions,
)

GATHERED = "out-of-fold scores"
TUNED = "thresholds"


def plan(recipe: Recipe) -> list[Job]:
    """All jobs after the folds are frozen, each after those that it builds on.

    What others wait for the longest comes first: registration before the ablations, and
    thresholds last of these.
    """
    every = range(len(recipe.folds.folds))
    jobs = crossval.plan(recipe.experiment, recipe.folds, every)
    masks = tuple(f"fold {fold}, masks" for fold in every)
    jobs.append(_gathering(recipe, masks))
    jobs += _registered(recipe)
    jobs += [_ablation(recipe, name) for name in recipe.ablations]
    jobs.append(_tuning(recipe, masks))
    for one in predictions(recipe):
        job = _prediction(recipe, one)
        jobs += [job, _scoring(recipe, one.name, job)]
    for one in cleanings(recipe):
        job = _cleaning(recipe, one)
        jobs += [job, _scoring(recipe, one.name, job)]
    return jobs


def _gathering(recipe: Recipe, after: Sequence[str]) -> Job:
    experiment, out = recipe.experiment, recipe.out
    one, two = experiment.phases
    fields = {
        **one.changes,
        "seed": recipe.folds.seed,
        "data.root": experiment.data.root,
        "data.cache": experiment.data.cache,
        "data.folds": len(recipe.folds.folds),
        "data.test": len(recipe.folds.test),
    }
    return Job(
        name=GATHERED,
        argv=programs.command(
            "crossval",
            *("--config", one.file),
            *(f"--config.{name}={value}" for name, value in fields.items()),
            *("--config2", two.file),
            *(f"--config2.{name}={value}" for name, value in two.changes.items()),
            *("--out", out),
            "--gather",
        ),
        log=out / "logs" / "gather.log",
        after=tuple(after),
        outputs=(out / "scores" / "scores.json",),
        kind="scores",
    )


def _tuning(recipe: Recipe, after: Sequence[str]) -> Job:
    out = recipe.out
    every = range(len(recipe.folds.folds))
    splits = [recipe.run(fold, "phase2") / "splits.json" for fold in every]
    return Job(
        name=TUNED,
        argv=programs.command(
            "tune",
            *("--predictions", recipe.experiment.masks),
            *("--data", recipe.experiment.data.root),
            *(word for path in splits for word in ("--splits", path)),
            *("--out", recipe.thresholds),
            *("--workers", recipe.config.workers),
        ),
        log=out / "logs" / "tune.log",
        after=tuple(after),
        outputs=(recipe.thresholds,),
        kind="thresholds",
    )


def _registered(recipe: Recipe) -> Iterator[Job]:
    for fold in recipe.config.register.folds:
        yield _registration(recipe, fold)
        yield training(
            recipe.experiment,
            recipe.folds,
            fold,
            phase=2,
            name=f"fold {fold}, registered",
            workdir=recipe.run(fold, "registered"),
            changes={
                "data.extra": (
                    *recipe.experiment.extra(fold, 2),
                    str(_warped(recipe, fold)),
                ),
                **recipe.length_with_warped(fold),
            },
            after=(f"fold {fold}, phase 1", f"fold {fold}, registration"),
        )


def _warped(recipe: Recipe, fold: int) -> Path:
    return recipe.out / "registered" / f"fold_{fold}"


def _registration(recipe: Recipe, fold: int) -> Job:
    asked, data = recipe.config.register, recipe.phase2.data
    spacing = asked.spacing_mm or data.spacing_mm
    shape, factor = recipe.phase2.sample.shape, data.downsample
    roi = asked.roi or tuple(n * f for n, f in zip(shape, factor, strict=True))
    folder = _warped(recipe, fold)
    return Job(
        name=f"fold {fold}, registration",
        argv=programs.command(
            "register",
            *("--scores", recipe.out / "scores" / "scores.json"),
            *("--splits", recipe.out / "folds.json"),
            *("--fold", fold),
            *("--data", recipe.experiment.data.root),
            *("--out", folder),
            *("--hard", asked.hard, "--per_hard", asked.per_hard),
            *("--engine", asked.engine, "--workers", recipe.config.workers),
            "--allow_fewer",
            *("--spacing", ",".join(map(str, spacing))),
            *("--roi", ",".join(map(str, roi))),
        ),
        log=recipe.out / "logs" / f"fold_{fold}_registration.log",
        after=(GATHERED,),
        outputs=(folder / "provenance.json",),
        kind="registration",
    )


def _ablation(recipe: Recipe, name: str) -> Job:
    fold = recipe.config.fold
    return training(
        recipe.experiment,
        recipe.folds,
        fold,
        phase=2,
        name=f"ablation {name}",
        workdir=recipe.ablation(name),
        changes=recipe.ablations[name],
        after=(f"fold {fold}, phase 1",),
    )


def _prediction(recipe: Recipe, one: Predicted) -> Job:
    folder, names = recipe.out / "test" / one.name, recipe.folds.test
    endings = (".nii.gz", ".json")
    return Job(
        name=f"test {one.name}",
        argv=programs.command(
            "infer",
            *("--input", case_folder(recipe.experiment.data.root)),
            *("--cases", ",".join(names)),
            *("--output", folder),
            *(f"--phase1={path}" for path in one.phase1),
            *(f"--phase2={path}" for path in one.phase2),
            "--report=false",
            *one.flags,
        ),
        log=recipe.out / "logs" / f"test_{one.name}.log",
        after=one.after,
        outputs=tuple(folder / f"{name}{end}" for name in names for end in endings),
        kind="test masks",
    )


def _cleaning(recipe: Recipe, one: Cleaned) -> Job:
    """The masks of a row before post-processing, cleaned in another way."""
    folder = recipe.out / "test" / one.name
    return Job(
        name=one.name.replace("_", " "),
        argv=programs.command(
            "postprocess",
            *("--predictions", recipe.out / "test" / one.of),
            *("--data", recipe.experiment.data.root),
            *("--out", folder),
            *one.flags,
        ),
        log=recipe.out / "logs" / f"{one.name}.log",
        after=(f"test {one.of}", *((TUNED,) if one.tuned else ())),
        outputs=tuple(folder / f"{case}.nii.gz" for case in recipe.folds.test),
        kind="cleaning",
    )


def _scoring(recipe: Recipe, name: str, masks: Job) -> Job:
    return Job(
        name=f"scores {name}",
        argv=programs.command(
            "evaluate",
            *("--predictions", recipe.out / "test" / name),
            *("--labels", recipe.experiment.data.root),
            *("--cases", ",".join(recipe.folds.test)),
            *("--out", recipe.scores(name).parent),
            *("--workers", recipe.config.workers),
            "--surface=false",  # no table asks for them, and they take most of the time
        ),
        log=recipe.out / "logs" / f"scores_{name}.log",
        after=(masks.name,),
        outputs=(recipe.scores(name),),
        kind="test scores",
    )
