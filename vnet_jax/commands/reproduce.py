"""The paper as a command: from a data set to its tables, one for each of its claims.

    python bin/reproduce.py --config configs/reproduce.py --data data/kits19 --out paper

Folds, phase 1, out-of-fold masks, registration, phase 2, ablations, ensembles,
thresholds, and scores on cases set apart. Each step is another program of bin/, whose
command stands in logs/; what is done is not done again. The tables are in
tables/tables.md, .tex and .json. --dry_run tells steps, time and disk.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from vnet_jax.commands import BAD_INPUT, dry_run
from vnet_jax.data.cases import find_cases
from vnet_jax.experiments import comparisons, devices, folds, forecast, jobs, recipe
from vnet_jax.experiments.painting import drawing, painted_ids, painting
from vnet_jax.experiments.recipe import Recipe
from vnet_jax.experiments.recipe_jobs import plan
from vnet_jax.reports import paper_tables

FLAGS = flags.FLAGS
CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a file of configs/; --config.FIELD=... changes a field"
)
flags.DEFINE_string("data", None, "the data set: KiTS19's tree or nnU-Net's raw folder")
flags.DEFINE_string(
    "labels", "", "KiTS19 tree of label maps: CTs are painted around them, into --data"
)
flags.DEFINE_string("out", None, "folder for everything that comes of it")
flags.DEFINE_integer(
    "devices_per_job",
    0,
    "run jobs side by side, each on so many GPUs (processor cores where there is no "
    "GPU); 0: one after another, each on all there are",
)
flags.adopt_module_key_flags(dry_run)
flags.DEFINE_bool("tables", False, "run nothing; write the tables of what is there")
flags.mark_flags_as_required(["config", "data", "out"])

NOTICE = "Measured on synthetic CTs: nothing here is a result on patients."


def main(argv: list[str]) -> int:
    """Plans, runs, compares; see the module's docstring."""
    del argv
    config, out = CONFIG.value, Path(FLAGS.out)
    experiment = recipe.experiment_of(config, FLAGS.data, out)
    folds.check(experiment)
    if FLAGS.dry_run:
        return _tell(config, experiment)
    slots = devices.slots(FLAGS.devices_per_job)
    if status := 0 if FLAGS.tables else _status(jobs.run(_made(config, out))):
        return status
    frozen, refused = folds.freeze(experiment)
    folds.check_extra(experiment, frozen, range(len(frozen.folds)))
    for error in refused:
        print(f"left out: {error}", file=sys.stderr)
    asked = Recipe(config, experiment, frozen)
    status = 0 if FLAGS.tables else _status(jobs.run(plan(asked), slots))
    return status or _tables(asked)


def _made(config, out: Path) -> list[jobs.Job]:
    """The synthetic CTs that come before all else."""
    found = [painting(config, FLAGS.labels, FLAGS.data, out)] if FLAGS.labels else []
    return found + ([drawing(config, out)] if config.phantoms else [])


def _tell(config, experiment) -> int:
    """What `--dry_run` prints."""
    if FLAGS.labels:
        ids = painted_ids(config, FLAGS.labels)
    else:
        ids = [case.id for case in find_cases(FLAGS.data) if case.label is not None]
    frozen = folds.drawn(experiment, ids, ids)
    asked = Recipe(config, experiment, frozen)
    print(forecast.as_text(forecast.forecast(asked)), end="")
    return 0


def _status(outcome: jobs.Outcome) -> int:
    """The exit status of jobs, and what went wrong in words."""
    if outcome.signal:
        print("stopped; the same command goes on", file=sys.stderr)
        return 128 + outcome.signal
    for failure in outcome.failed:
        print(f"vnet_jax: {failure}", file=sys.stderr)
    for name in outcome.left:
        print(f"vnet_jax: {name} did not start", file=sys.stderr)
    return BAD_INPUT if outcome.failed else 0


def _tables(asked: Recipe) -> int:
    facts = comparisons.collect(asked, seed=asked.config.seed)
    cases = {case.id: case for case in find_cases(asked.experiment.data.root)}
    synthetic = any(cases[name].synthetic for name in asked.folds.test)
    folder = asked.out / "tables"
    paper_tables.write(folder, facts, NOTICE if synthetic else "")
    for table in paper_tables.build(facts):
        print(table.markdown())
    if facts["missing"]:
        print(f"not made yet, and left out: {', '.join(facts['missing'])}")
    print(f"all of it: {folder}/tables.md, tables.tex, tables.json, claims.png")
    return 0
