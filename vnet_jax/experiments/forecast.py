"""What a reproduction is about to take: steps, time and disk, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from vnet_jax.data.loader import steps_per_epoch
from vnet_jax.experiments.jobs import Job
from vnet_jax.experiments.recipe import Recipe, plan
from vnet_jax.reports import tables
from vnet_jax.reports.demo_page import duration
from vnet_jax.training import needs, setup


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

    The time of a kind is the mean of those of it that are done; before, that of a
    training is its steps times the config's `step_s`.
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
        steps = _steps(recipe, phase) * len(jobs)
        disk = len(jobs) * _checkpoints(recipe, phase)
        each = recipe.config.step_s[f"phase{phase}"] * _steps(recipe, phase)
        seconds = each * left if each else None
    if took:
        seconds = mean(took) * left
    return Row(kind, len(jobs), len(took), steps, seconds, disk)


def _steps(recipe: Recipe, phase: int) -> int:
    """Of one training without warped cases."""
    config = recipe.experiment.phases[phase - 1].config
    cases = len(recipe.folds.splits(0).train)
    return config.epochs * steps_per_epoch(cases, config.batch_size)


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
