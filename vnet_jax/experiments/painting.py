"""Synthetic CTs around real label maps, where there are no CTs to train on."""

from __future__ import annotations

from pathlib import Path

from vnet_jax import programs
from vnet_jax.data.phantom_files import painted_recipes
from vnet_jax.experiments.jobs import Job


def painting(config, labels: str, data: str, out: Path) -> Job:
    """The job that paints them.

    Args:
        config: `paint.cases` of them, `paint.slices_mm` thick.
        labels: KiTS19 tree of label maps.
        data: the folder of the new data set.
        out: the reproduction's folder, for the log.
    """
    thick = ",".join(map(str, config.paint.slices_mm))
    last = painted_ids(config, labels)[-1]
    return Job(
        name="synthetic CTs",
        argv=programs.command(
            "phantom",
            *("--labels", labels),
            *("--n", config.paint.cases),
            *("--slices", thick),
            *("--seed", config.seed),
            *("--out", data),
            *("--workers", config.workers),
        ),
        log=out / "logs" / "phantoms.log",
        outputs=(Path(data) / last / "case.json",),
        kind="phantoms",
    )


def painted_ids(config, labels: str) -> list[str]:
    """The ids that the data set will have.

    Raises:
        InputError: no label maps.
    """
    recipes = painted_recipes(labels, config.paint.cases, config.seed)
    return [recipe.id for recipe in recipes]
