"""What a reproduction of the paper trains, and whose masks it compares.

<out>/phantoms            synthetic CTs of no patient that train with every fold
<out>/folds.json, fold_K/phase1, phase2, oof/, scores/   as of `bin/crossval.py`
<out>/registered/fold_K   the data set of warped cases (paper, section 2.3)
<out>/fold_K/registered   phase 2, trained with them as well
<out>/ablations/NAME      phase 2 with one change; "reference": with none, where
                          ablations are shorter than the folds' own
<out>/thresholds.json     chosen out of fold
<out>/test/NAME           masks of the cases set apart, by the models of a row
<out>/test_scores/NAME    their scores
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import ml_collections

from vnet_jax import programs
from vnet_jax.data.folds import Folds
from vnet_jax.errors import InputError
from vnet_jax.experiments.folds import Experiment, Phase

#: The ablations' training without a change, where they are shorter than the folds'.
REFERENCE = "reference"
#: Post-processing of the same masks: name -> arguments of bin/postprocess.py.
CLEANINGS = {
    "raw": ("--keep_all",),
    "components": ("--postprocess=components",),
    "hu": ("--postprocess=hu",),
    "both": ("--postprocess=components,hu",),
}
#: What `bin/postprocess.py` takes, with whatever rules.
TO_CLEAN = ("--save_raw", "--save_probability")
#: Rows whose masks are also made with what was chosen out of fold, as "tuned_<row>".
TUNED_ROWS = ("plain", "folds", "all")


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


@dataclass(frozen=True)
class Cleaned:
    """Masks of the test cases, cleaned anew.

    Attributes:
        name: of their folder.
        of: the row whose masks they are.
        flags: of `bin/postprocess.py`.
        tuned: whether they need what was chosen out of fold.
    """

    name: str
    of: str
    flags: tuple[str, ...]
    tuned: bool = False


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

    @property
    def ablations(self) -> dict[str, dict[str, str]]:
        """Name -> changes of phase 2's config, the common ones of all among them."""
        common = tuple(self.config.shorter)
        named = {REFERENCE: ()} if common else {}
        named.update(self.config.ablations)
        return {name: _fields([*common, *own]) for name, own in named.items()}

    @property
    def reference(self) -> str:
        """The row that an ablation is compared with."""
        return REFERENCE if self.config.shorter else "plain"

    def ablation(self, name: str) -> Path:
        """The run folder of an ablation."""
        return self.out / "ablations" / name

    def length_with_warped(self, fold: int) -> dict[str, object]:
        """Changes that give a training with warped cases the steps of one without.

        An epoch with them is longer, so the training has fewer of them, to the nearest
        whole one. Empty where the config asks for the paper's number of epochs.
        """
        asked, phase2 = self.config.register, self.phase2
        if not asked.equal_steps:
            return {}
        own = len(self.folds.splits(fold).train) + self.phantoms
        share = own / (own + asked.hard * asked.per_hard)

        def fewer(epochs: int) -> int:
            return max(1, round(epochs * share))

        return {
            "epochs": fewer(phase2.epochs),
            "decay_epochs": tuple(map(fewer, phase2.decay_epochs)),
            "eval_every": fewer(phase2.eval_every),
        }

    @property
    def phantoms(self) -> int:
        """How many phantoms of no patient train phase 2 beside each fold's cases."""
        return self.config.phantoms.get("cases", 0)

    @property
    def thresholds(self) -> Path:
        """What is chosen out of fold."""
        return self.out / "thresholds.json"

    def scores(self, name: str) -> Path:
        """Where the scores of a row stand."""
        return self.out / "test_scores" / name / "scores.json"


def _fields(changes: Iterable[str]) -> dict[str, str]:
    """Such as ("epochs=3",), the last of a field counting."""
    return dict(change.split("=", 1) for change in changes)


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
    more = {"data.extra": (str(phantoms_folder(out)),)} if config.phantoms else {}
    phases = (
        _phase(config.phase1, changes),
        _phase(config.phase2, {**changes, **more}),
    )
    return Experiment(out, phases, workers=config.workers)


def phantoms_folder(out: Path) -> Path:
    """Where the phantoms of no patient lie, which train beside each fold's cases.

    Phase 2 alone has them: they end near the kidneys, and phase 1 must know what is
    none in the whole of a CT.
    """
    return out / "phantoms"


def _phase(file: str, changes: Mapping[str, object]) -> Phase:
    path = Path(programs.config_file(file))
    if not path.is_file():
        raise InputError(file, "no such config", "name a file of configs/")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.update_from_flattened_dict(changes)
    return Phase(str(path), changes, config)


def predictions(recipe: Recipe) -> list[Predicted]:
    """Whose masks the tables compare; what each is for stands in `comparisons`."""
    fold = recipe.config.fold
    first, plain = recipe.run(fold, "phase1"), recipe.run(fold, "phase2")
    of_fold = (f"fold {fold}, phase 2",)
    kept = ("--save_stages", *TO_CLEAN)
    found = [
        Predicted("plain", (first,), (plain,), kept, of_fold),
        Predicted("checkpoint", (first,), (plain,), ("--fast",), of_fold),
        Predicted(
            "flips", (first,), (plain,), (f"--flips={recipe.config.flips}",), of_fold
        ),
        # One checkpoint: the whole CT is many windows, and "checkpoint" is its rival.
        Predicted("whole", (), (plain,), ("--whole_ct", "--fast"), of_fold),
    ]
    for name in recipe.ablations:
        run, after = recipe.ablation(name), (f"ablation {name}",)
        found.append(Predicted(name, (first,), (run,), (), after))
    return found + _ensembles(recipe)


def _ensembles(recipe: Recipe) -> Iterator[Predicted]:
    """Registration, different models, different folds, and all of them (5.1)."""
    fold, count = recipe.config.fold, len(recipe.folds.folds)
    first, kept = recipe.run(fold, "phase1"), ("--save_stages", *TO_CLEAN)
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
    found.append(Predicted("folds", firsts, seconds, kept, of_folds))
    everything = (*seconds, *models)
    found.append(Predicted("all", firsts, everything, kept, (*of_folds, *of_models)))
    return found


def cleanings(recipe: Recipe) -> list[Cleaned]:
    """What becomes of the same masks under other rules."""
    tuned = (f"--thresholds={recipe.thresholds}",)
    return [
        *(Cleaned(f"clean_{name}", "plain", CLEANINGS[name]) for name in CLEANINGS),
        *(Cleaned(f"tuned_{row}", row, tuned, tuned=True) for row in TUNED_ROWS),
    ]


def _best_of(recipe: Recipe, fold: int) -> tuple[Path, str]:
    """A fold's phase 2 and the job that trains it: with warped cases where it has."""
    if fold in recipe.config.register.folds:
        return recipe.run(fold, "registered"), f"fold {fold}, registered"
    return recipe.run(fold, "phase2"), f"fold {fold}, phase 2"
