"""What a reproduction is about to take: steps, time and disk, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from vnet_jax.data.loader import steps_per_epoch
from vnet_jax.experiments.jobs import Job
from vnet_jax.experiments.recipe import Recipe
from vnet_jax.experiments.recipe_jobs import plan
from vnet_jax.reports import tables
from vnet_jax.reports.demo_page import duration
from vnet_jax.training import needs, setup

#: Of a program's arguments: a changed field of its config.
CHANGE = "--config."


@dataclass(frozen=True)
class Row:
    """One kind of job.

    Attributes:
        kind: which.
        jobs: how many there are, and how many of them are done.
        done: how many of them are done.
        steps: of the optimiser in all of them; 0 where nothing is trained.
        seconds: of those that are left; None where nothing is known.
        disk: bytes of checkpoints at the most.
    """

    kind: str
    jobs: int
    done: int
    steps: int = 0
    seconds: float | None = None
    disk: float = 0.0


def forecast(recipe: Recipe) -> list[Row]:
    """One row a kind of job, in the order in which they start.

    The time of a kind is the mean of those of it that are done, that of a training the
    time of their steps; before, of the config's `step_s`.
    """
    kinds: dict[str, list[Job]] = {}
    for job in plan(recipe):
        kinds.setdefault(job.kind, []).append(job)
    return [_row(recipe, kind, jobs) for kind, jobs in kinds.items()]


def _row(recipe: Recipe, kind: str, jobs: Sequence[Job]) -> Row:
    took = [seconds for job in jobs if (seconds := job.seconds()) is not None]
    left = len(jobs) - len(took)
    steps, disk, seconds = 0, 0.0, None
    phase = {"phase 1": 1, "phase 2": 2}.get(kind)
    if phase:
        each = [_steps(recipe, phase, job) for job in jobs]
        steps = sum(each)
        disk = len(jobs) * _checkpoints(recipe, phase)
        step_s = _step_s(recipe, phase, each, jobs)
        waiting = [n for n, job in zip(each, jobs, strict=True) if not job.seconds()]
        seconds = step_s * sum(waiting) if step_s else None
    elif took:
        seconds = mean(took) * left
    return Row(kind, len(jobs), len(took), steps, seconds, disk)


def _steps(recipe: Recipe, phase: int, job: Job) -> int:
    """Optimiser steps of a training, as many cases warped as were asked for."""
    config = recipe.experiment.phases[phase - 1].config
    changes = [word[len(CHANGE) :] for word in job.argv if word.startswith(CHANGE)]
    given = dict(change.split("=", 1) for change in changes)
    cases = len(recipe.folds.splits(0).train) + recipe.phantoms * (phase == 2)
    folds = range(len(recipe.folds.folds))
    own = {str(recipe.experiment.extra(fold, phase)) for fold in folds}
    if given["data.extra"] not in own:
        cases += recipe.config.register.hard * recipe.config.register.per_hard
    epochs = int(given.get("epochs", config.epochs))
    return epochs * steps_per_epoch(cases, config.batch_size)


def _step_s(
    recipe: Recipe, phase: int, steps: Sequence[int], jobs: Sequence[Job]
) -> float:
    """Seconds a step of the trainings that are done, else the config's; 0: unknown."""
    took = [(n, s) for n, job in zip(steps, jobs, strict=True) if (s := job.seconds())]
    if took:
        return sum(s for _, s in took) / sum(n for n, _ in took)
    return recipe.config.step_s[f"phase{phase}"]


def _checkpoints(recipe: Recipe, phase: int) -> float:
    """Bytes of one run's checkpoints at the most."""
    config = recipe.experiment.phases[phase - 1].config
    config = setup.with_dtype(config, recipe.run(0, f"phase{phase}"))
    return needs.most_on_disk(setup.needs_of(config), config.keep_best)


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a table, and their sum."""
    header = ["Jobs", "Number", "Done", "Steps", "Time left", "Checkpoints, GB"]
    cells = [
        [
            row.kind,
            str(row.jobs),
            str(row.done),
            str(row.steps) if row.steps else tables.NOTHING,
            duration(row.seconds) if row.seconds is not None else "not measured",
            tables.number(row.disk / 1e9, 2) if row.disk else tables.NOTHING,
        ]
        for row in rows
    ]
    known = sum(row.seconds or 0.0 for row in rows)
    disk = sum(row.disk for row in rows)
    unknown = any(row.seconds is None for row in rows)
    return (
        tables.markdown(header, cells)
        + f"In all {'at least ' if unknown else ''}{duration(known)}"
        + f" and {disk / 1e9:.1f} GB of checkpoints, beside cache and masks.\n"
        + (
            "What was not measured is known when one of its kind is done.\n"
            if unknown
            else ""
        )
    )
