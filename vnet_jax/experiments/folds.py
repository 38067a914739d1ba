"""The story of a cross-validation: frozen folds, two phases and masks for each of them.

<out>/folds.json         who is predicted by which fold; never changed once it is there
<out>/fold_K/phase1, 2   run folders of fold K
<out>/oof/               out-of-fold masks, summaries and pictures of all folds
<out>/logs/              what the programs said
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_collections

from vnet_jax import programs
from vnet_jax.data.cache import GridSpec, build_caches, root_folder
from vnet_jax.data.cases import Case, find_cases, is_nnunet
from vnet_jax.data.extra import find_extra, refuse_leaks, refuse_warped
from vnet_jax.data.folds import Folds, draw_folds, read_folds, write_folds
from vnet_jax.errors import InputError
from vnet_jax.experiments.jobs import Job

#: In a path of `data.extra`: the number of the fold.
FOLD = "{fold}"


@dataclass(frozen=True, eq=False)
class Phase:
    """How one phase is trained.

    Attributes:
        file: its config.
        changes: fields that the command line changed.
        config: the two together.
    """

    file: str
    changes: Mapping[str, object]
    config: ml_collections.ConfigDict


@dataclass(frozen=True, eq=False)
class Experiment:
    """A cross-validation as its user asked for it.

    The data set, its cache and its further data sets are phase 1's; phase 2 may have
    more of the last. Of `data.extra` each path may hold "{fold}".

    Attributes:
        out: the folder for everything.
        phases: phase 1 and phase 2.
        train_args: further arguments of every training.
        infer_args: further arguments of every prediction.
        workers: processes that build what the cache lacks.
    """

    out: Path
    phases: tuple[Phase, Phase]
    train_args: tuple[str, ...] = ()
    infer_args: tuple[str, ...] = ()
    workers: int = 1

    @property
    def data(self) -> ml_collections.ConfigDict:
        """The data of both phases."""
        return self.phases[0].config.data

    @property
    def specs(self) -> list[GridSpec]:
        """The grids of the phases."""
        grids = [phase.config.data for phase in self.phases]
        found = [GridSpec(g.spacing_mm, g.downsample, g.labels) for g in grids]
        return list(dict.fromkeys(found))

    @property
    def masks(self) -> Path:
        """The folder of the out-of-fold predictions."""
        return self.out / "oof"

    def run_folder(self, fold: int, phase: int) -> Path:
        """Where a fold's run of a phase lies."""
        return self.out / f"fold_{fold}" / f"phase{phase}"

    def extra(self, fold: int, phase: int) -> tuple[str, ...]:
        """The further data sets of a fold: phase 1's, for phase 2 its own as well."""
        roots = [r for p in self.phases[:phase] for r in p.config.data.extra]
        return tuple(root.replace(FOLD, str(fold)) for root in dict.fromkeys(roots))


def check(experiment: Experiment) -> None:
    """Refuses configs of the wrong phases.

    Raises:
        InputError: names the flag.
    """
    flags = ("--config", "--config2")
    for number, (flag, phase) in enumerate(zip(flags, experiment.phases, strict=True)):
        if phase.config.phase != number + 1:
            raise InputError(
                None,
                f"{flag}: {phase.file} is a config of phase {phase.config.phase}",
                f"pass one of phase {number + 1}",
            )


def freeze(experiment: Experiment) -> tuple[Folds, list[str]]:
    """The folds: those in the folder, else a given file's, else drawn anew.

    Every case that can be used is drawn, so the cache is built first, for both phases
    and for all folds at once.

    Returns:
        The folds, in `<out>/folds.json` from now on, and a line about each case that
        is left out.

    Raises:
        InputError: no usable data, a case of frozen folds is missing, or folds in the
            folder that are not the ones asked for.
    """
    found = find_cases(experiment.data.root)
    refuse_warped(experiment.data.root)
    path = experiment.out / "folds.json"
    folds = read_folds(path) if path.is_file() else _given(experiment)
    labelled = [case for case in found if case.label is not None]
    if folds:
        _refuse_others(path, folds, experiment)
        chosen = _cases_of(folds, labelled, experiment.data.root)
        _, refused = _cache(experiment, experiment.data.root, chosen)
        if refused:
            raise refused[0]
        later = folds.strangers(case.id for case in labelled)
        left = [f"{name}: in no fold, it came after they were drawn" for name in later]
    else:
        usable, refused = _cache(experiment, experiment.data.root, labelled)
        folds = drawn(experiment, usable, [case.id for case in found])
        left = [str(error) for error in refused]
    if not path.is_file():
        write_folds(path, folds)
    return folds, left


def check_extra(experiment: Experiment, folds: Folds, chosen: Sequence[int]) -> None:
    """Refuses, before hours of training, further data sets that no fold may have.

    Raises:
        InputError: a copy of a scored patient, or a case that cannot be used.
    """
    own = [case.id for case in find_cases(experiment.data.root)]
    for fold in chosen:
        others = find_extra(experiment.extra(fold, 2), own)
        refuse_leaks(others, own, folds.splits(fold))
        for one in others:
            _, refused = _cache(experiment, str(one.root), one.cases)
            if refused:
                raise refused[0]


def plan(experiment: Experiment, folds: Folds, chosen: Sequence[int]) -> list[Job]:
    """The programs of the folds: phase 1, phase 2 on it, masks by both.

    Args:
        experiment: what is asked for.
        folds: all of them.
        chosen: which to run.
    """
    jobs = []
    for fold in chosen:
        first, second = (training(experiment, folds, fold, n) for n in (1, 2))
        jobs += [first, second, _prediction(experiment, folds, fold)]
    return jobs


def _given(experiment: Experiment) -> Folds | None:
    path = experiment.data.splits
    return read_folds(path) if path else None


def _refuse_others(path: Path, folds: Folds, experiment: Experiment) -> None:
    """Folds never change: another number, seed or file is another experiment."""
    config, given = experiment.phases[0].config, _given(experiment)
    data = config.data
    asked = (config.seed, data.folds, data.test)
    frozen = (folds.seed, len(folds.folds), len(folds.test))
    if given != folds if given else asked != frozen:
        what = data.splits or "seed {}, {} folds, {} for testing".format(*asked)
        raise InputError(
            path,
            "holds other folds (seed {}, {} folds, {} for testing)".format(*frozen)
            + f" than {what}",
            "pass the same as before, or another --out",
        )


def _cases_of(folds: Folds, labelled: Sequence[Case], root: str) -> list[Case]:
    known = {case.id: case for case in labelled}
    if missing := [name for name in folds.ids if name not in known]:
        raise InputError(
            root,
            f"{len(missing)} cases of the folds are missing or have no label any more: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}",
            "put them back, or draw new folds into another --out",
        )
    return [known[name] for name in folds.ids]


def drawn(experiment: Experiment, usable: Sequence[str], found: Sequence[str]) -> Folds:
    """The folds that a start draws.

    Args:
        experiment: with the seed and the sizes.
        usable: ids of the cases that can train.
        found: ids of all that the data set has, for the record.
    """
    config = experiment.phases[0].config
    name = Path(config.data.root).resolve().name
    return draw_folds(
        usable,
        seed=config.seed,
        folds=config.data.folds,
        test=config.data.test,
        sources={name: list(found)},
    )


def _cache(
    experiment: Experiment, root: str, cases: Sequence[Case]
) -> tuple[list[str], list[InputError]]:
    """Builds what the cache lacks; the ids that can be used, and why others cannot."""
    folder = root_folder(experiment.data.cache, root)
    columns, refused = build_caches(cases, folder, experiment.specs, experiment.workers)
    return [cached.id for cached in columns[0]], refused


def training(
    experiment: Experiment,
    folds: Folds,
    fold: int,
    phase: int,
    *,
    name: str = "",
    workdir: Path | None = None,
    changes: Mapping[str, object] | None = None,
    after: Sequence[str] | None = None,
) -> Job:
    """One training of a fold.

    Args:
        experiment: whose configs and data.
        folds: all of them.
        fold: which one validates.
        phase: 1 or 2; phase 2 validates on the boxes of the fold's own phase 1.
        name: of the job, and of its log; "fold K, phase N" by default.
        workdir: the run folder; the fold's own of the phase by default.
        changes: further fields of the config.
        after: jobs that it builds on; for phase 2 the fold's phase 1 by default.
    """
    asked = experiment.phases[phase - 1]
    workdir = workdir or experiment.run_folder(fold, phase)
    name = name or f"fold {fold}, phase {phase}"
    fields = {
        **asked.changes,
        "data.root": experiment.data.root,
        "data.cache": experiment.data.cache,
        "data.extra": experiment.extra(fold, phase),
        "data.splits": str(experiment.out / "folds.json"),
        "data.folds": len(folds.folds),
        "data.test": len(folds.test),
        "data.fold": fold,
        "data.phase1": str(experiment.run_folder(fold, 1)) if phase == 2 else "",
        **(changes or {}),
    }
    if after is None:
        after = (f"fold {fold}, phase 1",) if phase == 2 else ()
    return Job(
        name=name,
        argv=programs.command(
            "train",
            *("--config", asked.file),
            *(f"--config.{field}={value}" for field, value in fields.items()),
            *("--workdir", workdir),
            *experiment.train_args,
        ),
        log=experiment.out / "logs" / f"{_file_name(name)}.log",
        after=tuple(after),
        outputs=(workdir / "config.json", workdir / "checkpoints"),
        kind=f"phase {phase}",
    )


def _prediction(experiment: Experiment, folds: Folds, fold: int) -> Job:
    names = folds.folds[fold]
    endings = (".nii.gz", ".json")
    return Job(
        name=f"fold {fold}, masks",
        argv=programs.command(
            "infer",
            *("--input", case_folder(experiment.data.root)),
            *("--cases", ",".join(names)),
            *("--output", experiment.masks),
            *("--phase1", experiment.run_folder(fold, 1)),
            *("--phase2", experiment.run_folder(fold, 2)),
            "--report=false",
            "--save_stages",
            *("--save_raw", "--save_probability"),  # for bin/tune.py
            *experiment.infer_args,
        ),
        log=experiment.out / "logs" / f"fold_{fold}_masks.log",
        after=(f"fold {fold}, phase 2",),
        outputs=tuple(experiment.masks / f"{n}{end}" for n in names for end in endings),
        kind="masks",
    )


def case_folder(root: str) -> Path:
    """The folder that holds the cases: a clone of KiTS19's has them in `data`."""
    own = Path(root)
    below = own / "data"
    has_cases = is_nnunet(own) or any(own.glob("case_*"))
    return below if below.is_dir() and not has_cases else own


def _file_name(name: str) -> str:
    """Of a job's log: "fold 0, phase 1" is fold_0_phase1."""
    return name.replace(", ", "_").replace("phase ", "phase").replace(" ", "_")
