"""The paper as programs to run: folds, registration, ablations, masks, scores.

<out>/folds.json, fold_K/phase1, phase2, oof/, scores/   as of `bin/crossval.py`
<out>/registered/fold_K   the data set of warped cases (paper, section 2.3)
<out>/fold_K/registered   phase 2, trained with them as well
<out>/ablations/NAME      phase 2 with one change
<out>/thresholds.json     chosen out of fold
<out>/test/NAME           masks of the cases set apart, by the models of a row
<out>/test_scores/NAME    their scores
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_collections

from vnet_jax.data.folds import Folds
from vnet_jax.errors import InputError
from vnet_jax.experiments import folds as crossval
from vnet_jax.experiments.folds import Experiment, Phase, case_folder, training
from vnet_jax.experiments.job import ROOT
from vnet_jax.experiments.jobs import Job, program

GATHERED = "out-of-fold scores"
TUNED = "thresholds"
#: Post-processing of the same masks: name -> arguments of bin/postprocess.py.
CLEANINGS = {
    "raw": ("--keep_all",),
    "components": ("--postprocess=components",),
    "hu": ("--postprocess=hu",),
    "both": ("--postprocess=components,hu",),
}


@dataclass(frozen=True)
class Predicted:
    """Masks of the test cases, by some models.

    Attributes:
        name: of their folder.
        phase1: run folders.
        phase2: run folders.
        flags: further ones of `bin/infer.py`.
        after: jobs that train the models.
    """

    name: str
    phase1: tuple[Path, ...]
    phase2: tuple[Path, ...]
    flags: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Recipe:
    """A reproduction as its user asked for it.

    Attributes:
        config: of `configs/reproduce.py`'s form.
        experiment: the cross-validation that it starts with.
        folds: who trains and who is set apart.
    """

    config: ml_collections.ConfigDict
    experiment: Experiment
    folds: Folds

    @property
    def out(self) -> Path:
        """The folder for everything."""
        return self.experiment.out

    @property
    def phase2(self) -> ml_collections.ConfigDict:
        """Phase 2's config."""
        return self.experiment.phases[1].config

    def run(self, fold: int, name: str) -> Path:
        """A run folder of a fold: phase1, phase2 or registered."""
        return self.out / f"fold_{fold}" / name

    def ablation(self, name: str) -> Path:
        """The run folder of an ablation."""
        return self.out / "ablations" / name

    def scores(self, name: str) -> Path:
        """Where the scores of a row stand."""
        return self.out / "test_scores" / name / "scores.json"


def experiment_of(
    config: ml_collections.ConfigDict, data: str, out: Path
) -> Experiment:
    """The cross-validation that a reproduction starts with.

    Args:
        config: of `configs/reproduce.py`'s form.
        data: the data set.
        out: the folder for everything.

    Raises:
        InputError: a config that is not there, or a field that it has not.
    """
    changes = {
        "seed": config.seed,
        "data.root": str(data),
        "data.cache": str(out / "cache"),
        "data.folds": config.folds,
        "data.test": config.test,
    }
    phases = tuple(_phase(file, changes) for file in (config.phase1, config.phase2))
    return Experiment(out, phases, (), ("--save_raw",), config.workers)


def _phase(file: str, changes: Mapping[str, object]) -> Phase:
    path = Path(file) if Path(file).is_file() else ROOT / file
    if not path.is_file():
        raise InputError(file, "no such config", "name a file of configs/")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.update_from_flattened_dict(changes)
    return Phase(str(path), changes, config)


def plan(recipe: Recipe) -> list[Job]:
    """All jobs after the folds are frozen, each after those that it builds on."""
    every = range(len(recipe.folds.folds))
    jobs = crossval.plan(recipe.experiment, recipe.folds, every)
    masks = tuple(f"fold {fold}, masks" for fold in every)
    jobs.append(_gathering(recipe, masks))
    jobs.append(_tuning(recipe, masks))
    jobs += _registered(recipe)
    jobs += [_ablation(recipe, name) for name in recipe.config.ablations]
    for one in predictions(recipe):
        jobs += [_prediction(recipe, one), _scoring(recipe, one.name)]
    for name in (*CLEANINGS, "tuned"):
        jobs += [_cleaning(recipe, name), _scoring(recipe, f"clean_{name}", "clean")]
    return jobs


def predictions(recipe: Recipe) -> list[Predicted]:
    """Whose masks the tables compare; what each is for stands in `comparisons`."""
    fold = recipe.config.fold
    first, plain = recipe.run(fold, "phase1"), recipe.run(fold, "phase2")
    of_fold = (f"fold {fold}, phase 2",)
    stages = ("--save_stages", "--save_raw")
    found = [
        Predicted("plain", (first,), (plain,), stages, of_fold),
        Predicted("checkpoint", (first,), (plain,), ("--fast",), of_fold),
        Predicted(
            "flips", (first,), (plain,), (f"--flips={recipe.config.flips}",), of_fold
        ),
        Predicted("whole", (), (plain,), ("--whole_ct",), of_fold),
    ]
    for name in recipe.config.ablations:
        run, after = recipe.ablation(name), (f"ablation {name}",)
        found.append(Predicted(name, (first,), (run,), (), after))
    return found + _ensembles(recipe)


def _ensembles(recipe: Recipe) -> Iterator[Predicted]:
    """Registration, different models, different folds, and all of them (5.1)."""
    fold, count = recipe.config.fold, len(recipe.folds.folds)
    first, stages = recipe.run(fold, "phase1"), ("--save_stages",)
    own, of_own = _best_of(recipe, fold)
    models = tuple(recipe.ablation(name) for name in recipe.config.models)
    of_models = tuple(f"ablation {name}" for name in recipe.config.models)
    firsts = tuple(recipe.run(k, "phase1") for k in range(count))
    folds = [_best_of(recipe, k) for k in range(count)]
    seconds, of_folds = (tuple(part) for part in zip(*folds, strict=True))
    found = []
    if fold in recipe.config.register.folds:
        found.append(Predicted("registered", (first,), (own,), (), (of_own,)))
    found.append(
        Predicted("models", (first,), (own, *models), (), (of_own, *of_models))
    )
    found.append(Predicted("folds", firsts, seconds, stages, of_folds))
    everything = (*seconds, *models)
    found.append(Predicted("all", firsts, everything, stages, (*of_folds, *of_models)))
    return found


def _best_of(recipe: Recipe, fold: int) -> tuple[Path, str]:
    """A fold's phase 2 and the job that trains it: with warped cases where it has."""
    if fold in recipe.config.register.folds:
        return recipe.run(fold, "registered"), f"fold {fold}, registered"
    return recipe.run(fold, "phase2"), f"fold {fold}, phase 2"


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
        argv=program(
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
        argv=program(
            "tune",
            *("--predictions", recipe.experiment.masks),
            *("--data", recipe.experiment.data.root),
            *(word for path in splits for word in ("--splits", path)),
            *("--out", out / "thresholds.json"),
            *("--workers", recipe.config.workers),
        ),
        log=out / "logs" / "tune.log",
        after=tuple(after),
        outputs=(out / "thresholds.json",),
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
            changes={"data.extra": (str(_warped(recipe, fold)),)},
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
        argv=program(
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
    changes = dict(text.split("=", 1) for text in recipe.config.ablations[name])
    fold = recipe.config.fold
    return training(
        recipe.experiment,
        recipe.folds,
        fold,
        phase=2,
        name=f"ablation {name}",
        workdir=recipe.ablation(name),
        changes=changes,
        after=(f"fold {fold}, phase 1",),
    )


def _prediction(recipe: Recipe, one: Predicted) -> Job:
    folder, names = recipe.out / "test" / one.name, recipe.folds.test
    endings = (".nii.gz", ".json")
    return Job(
        name=f"test {one.name}",
        argv=program(
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


def _cleaning(recipe: Recipe, name: str) -> Job:
    """The masks of "plain" before post-processing, cleaned in another way."""
    tuned = (f"--thresholds={recipe.out / 'thresholds.json'}",)
    folder = recipe.out / "test" / f"clean_{name}"
    return Job(
        name=f"clean {name}",
        argv=program(
            "postprocess",
            *("--predictions", recipe.out / "test" / "plain"),
            *("--data", recipe.experiment.data.root),
            *("--out", folder),
            *CLEANINGS.get(name, tuned),
        ),
        log=recipe.out / "logs" / f"clean_{name}.log",
        after=("test plain", *((TUNED,) if name == "tuned" else ())),
        outputs=tuple(folder / f"{case}.nii.gz" for case in recipe.folds.test),
        kind="cleaning",
    )


def _scoring(recipe: Recipe, name: str, made_by: str = "test") -> Job:
    after = (
        f"clean {name.removeprefix('clean_')}" if made_by == "clean" else f"test {name}"
    )
    return Job(
        name=f"scores {name}",
        argv=program(
            "evaluate",
            *("--predictions", recipe.out / "test" / name),
            *("--labels", recipe.experiment.data.root),
            *("--cases", ",".join(recipe.folds.test)),
            *("--out", recipe.scores(name).parent),
            *("--workers", recipe.config.workers),
        ),
        log=recipe.out / "logs" / f"scores_{name}.log",
        after=(after,),
        outputs=(recipe.scores(name),),
        kind="test scores",
    )
