"""What the jobs of a reproduction took, and how its trainings went."""

from __future__ import annotations

import json
from pathlib import Path

from vnet_jax.experiments.job import Job
from vnet_jax.experiments.recipe import Recipe
from vnet_jax.experiments.recipe_jobs import plan
from vnet_jax.runs.log import read_log


def durations(recipe: Recipe) -> dict[str, list[float]]:
    """Seconds of each job that is done, by what it is.

    A job that was stopped and went on counts from its last start.

    Returns:
        Kind -> seconds, in the order of the jobs; trainings of ablations are a kind of
        their own, and what made the data set comes first, under its log's name.
    """
    jobs = plan(recipe)
    own = {job.marker for job in jobs}
    logs = recipe.out / "logs"
    others = [path for path in sorted(logs.glob("*.done")) if path not in own]
    found = {path.stem: [_seconds(path)] for path in others}
    for job in jobs:
        if job.marker.is_file():
            found.setdefault(_kind(job), []).append(_seconds(job.marker))
    return found


def _seconds(marker: Path) -> float:
    return float(json.loads(marker.read_text(encoding="utf-8"))["seconds"])


def _kind(job: Job) -> str:
    return "ablation" if job.name.startswith("ablation") else job.kind


def validations(recipe: Recipe) -> list[dict]:
    """Every validation of every training: its job, step, epochs, Dice and boxes."""
    keys = ("step", "epoch", "kidney", "tumour", "mean", "boxes")
    return [
        {"training": job.name, **{key: row.get(key) for key in keys}}
        for job in plan(recipe)
        if job.kind.startswith("phase")
        for row in read_log(_run_folder(job))
        if row["kind"] == "validation"
    ]


def _run_folder(job: Job) -> Path:
    """Of a training: where its config lies."""
    return job.outputs[0].parent
