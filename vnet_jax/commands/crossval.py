"""Cross-validation: masks of each case by models that never saw it, and their scores.

    python bin/crossval.py --config configs/phase1.py --config2 configs/phase2.py \
        --config.data.root data/kits19 --out crossval

Trains both phases for every fold, predicts, scores, and lists the labels to look at.
Run again, it goes on where it was stopped. In --out stand folds.json (frozen),
fold_K/phase1 and phase2 (run folders), oof/ (the masks), scores/, audit/audit.html and
logs/. The data, `data.folds`, `data.test` and `seed` of phase 1's config hold for both
phases; `data.splits` takes folds from a file. On a cluster: --prepare once, a job
--fold K each, then --gather.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from vnet_jax.commands import BAD_INPUT
from vnet_jax.errors import InputError
from vnet_jax.experiments import devices, folds, gather, jobs
from vnet_jax.experiments.folds import Experiment, Phase
from vnet_jax.reports import evaluation, tables

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "phase 1's config; --config.FIELD=... changes a field"
)
config_flags.DEFINE_config_file(
    "config2", None, "phase 2's config; --config2.FIELD=... changes a field"
)
flags.DEFINE_string("out", None, "folder for everything that comes of it")
flags.DEFINE_integer(
    "devices_per_fold",
    0,
    "run folds side by side, each on so many GPUs (processor cores where there is no "
    "GPU); 0: one fold after another, each on all there are",
)
flags.DEFINE_integer("fold", -1, "run this fold alone, as a job of its own")
flags.DEFINE_bool("prepare", False, "build the cache, freeze the folds, and stop")
flags.DEFINE_bool("gather", False, "run nothing; score and audit what is there")
flags.DEFINE_multi_string("train_args", [], "further flags of every bin/train.py")
flags.DEFINE_multi_string("infer_args", [], "further flags of every bin/infer.py")
flags.DEFINE_integer("workers", 1, "processes that build the cache, 1 to 3 GB each", 1)
flags.DEFINE_integer("audit_pictures", 20, "cases of the label audit to draw", 0)
flags.DEFINE_integer("bootstrap_seed", 0, "seed of the bootstrap intervals")
flags.mark_flags_as_required(["config", "config2", "out"])


def main(argv: list[str]) -> int:
    """Freezes the folds, runs them, gathers; see the module's docstring."""
    del argv
    if FLAGS.prepare + FLAGS.gather + (FLAGS.fold >= 0) > 1:
        raise InputError(
            None, "more than one of --prepare, --fold and --gather", "pass one"
        )
    experiment = Experiment(
        out=Path(FLAGS.out),
        phases=(_phase("config"), _phase("config2")),
        train_args=_split(FLAGS.train_args),
        infer_args=_split(FLAGS.infer_args),
        workers=FLAGS.workers,
    )
    folds.check(experiment)
    frozen = _freeze(experiment)
    status = 0
    if not (FLAGS.gather or FLAGS.prepare):
        status, stopped = _run(experiment, frozen)
        if stopped:
            return status
    if FLAGS.prepare or FLAGS.fold >= 0:
        return status
    return _gather(experiment, frozen) or status


def _phase(flag: str) -> Phase:
    config = FLAGS[flag]
    file = config_flags.get_config_filename(config)
    return Phase(file, config_flags.get_override_values(config), config.value)


def _split(texts: list[str]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in shlex.split(text))


def _freeze(experiment: Experiment) -> folds.Folds:
    frozen, refused = folds.freeze(experiment)
    for error in refused:
        print(f"left out: {error}", file=sys.stderr)
    sizes = ", ".join(str(len(fold)) for fold in frozen.folds)
    apart = f", {len(frozen.test)} set apart" if frozen.test else ""
    print(f"{experiment.out}/folds.json: folds of {sizes} cases{apart}", flush=True)
    return frozen


def _run(experiment: Experiment, frozen: folds.Folds) -> tuple[int, bool]:
    """Runs the folds asked for; (exit status, whether a signal stopped it)."""
    chosen = range(len(frozen.folds)) if FLAGS.fold < 0 else [FLAGS.fold]
    frozen.splits(chosen[0])  # a fold that is not there
    folds.check_extra(experiment, frozen, chosen)
    slots = devices.slots(FLAGS.devices_per_fold)
    outcome = jobs.run(folds.plan(experiment, frozen, chosen), slots)
    if outcome.signal:
        print("stopped; the same command goes on", file=sys.stderr)
        return 128 + outcome.signal, True
    for failure in outcome.failed:
        print(f"vnet_jax: {failure}", file=sys.stderr)
    for name in outcome.left:
        print(f"vnet_jax: {name} did not start", file=sys.stderr)
    return BAD_INPUT if outcome.failed else 0, False


def _gather(experiment: Experiment, frozen: folds.Folds) -> int:
    report = gather.gather(
        experiment, frozen, pictures=FLAGS.audit_pictures, seed=FLAGS.bootstrap_seed
    )
    out = experiment.out
    if report.summary:
        print(tables.markdown(*evaluation.means(report.summary)), end="")
        print(tables.markdown(*gather.fold_table(report, frozen)), end="")
    for case in report.failed:
        print(f"vnet_jax: {case['reason']}", file=sys.stderr)
    if report.missing:
        names = ", ".join(report.missing)
        print(f"vnet_jax: no prediction for {names}", file=sys.stderr)
    print(
        f"{len(report.cases)} of {len(frozen.ids)} cases scored out of fold: "
        f"{out}/scores/tables.md, {out}/audit/audit.html"
    )
    return BAD_INPUT if report.failed or report.missing else 0
