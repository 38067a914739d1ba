"""Synthetic CTs: around label maps where there are no CTs, and drawn from nothing."""

from __future__ import annotations

from pathlib import Path

from vnet_jax import programs
from vnet_jax.data.phantom_files import painted_recipes
from vnet_jax.experiments.jobs import Job
from vnet_jax.experiments.recipe import phantoms_folder

#: Numbers that neither KiTS's patients nor warped cases have.
FIRST_PHANTOM = 80_000


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


def drawing(config, out: Path) -> Job:
    """The job that draws the phantoms of no patient, which only train.

    Args:
        config: `phantoms.cases` of them, of `phantoms.spacing_mm`, whose tumours are
            as `phantoms.tumour_ml` says.
        out: the reproduction's folder.
    """
    asked, folder = config.phantoms, phantoms_folder(out)
    return Job(
        name="phantoms",
        argv=programs.command(
            "phantom",
            *("--n", asked.cases),
            *("--first", FIRST_PHANTOM),
            *("--spacing", ",".join(map(str, asked.spacing_mm))),
            *("--tumour_ml", ",".join(map(str, asked.tumour_ml))),
            *("--seed", config.seed + 1),  # other patients than the painted ones
            *("--out", folder),
            *("--workers", config.workers),
        ),
        log=out / "logs" / "drawn.log",
        outputs=(folder / f"case_{FIRST_PHANTOM + asked.cases - 1:05d}" / "case.json",),
        kind="phantoms",
    )


def painted_ids(config, labels: str) -> list[str]:
    """The ids that the data set will have.

    Raises:
        InputError: no label maps.
    """
    recipes = painted_recipes(labels, config.paint.cases, config.seed)
    return [recipe.id for recipe in recipes]
