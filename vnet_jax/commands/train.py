"""Trains one phase, or goes on where it was stopped."""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from vnet_jax.commands import dry_run, output, output_flags

FLAGS = flags.FLAGS
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "a file of configs/; --config.FIELD=... changes a field",
    lock_config=True,
)
flags.DEFINE_string("workdir", "", "the run folder; runs/<config.name> by default")
flags.DEFINE_bool(
    "strict_resume", False, "refuse a damaged newest checkpoint, take none before it"
)
flags.DEFINE_bool(
    "distributed",
    False,
    "train together with the other processes of this Slurm, Open MPI or Kubernetes job",
)
flags.DEFINE_string(
    "coordinator", "", "host:port of process 0, to train together without any of them"
)
flags.DEFINE_integer("processes", 0, "with --coordinator: how many processes there are")
flags.DEFINE_integer(
    "process", -1, "with --coordinator: the number of this one, from 0"
)
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> int:
    """Runs `vnet_jax.training.fit` with the config; returns the exit status."""
    del argv
    from vnet_jax.data.loader import LoaderError
    from vnet_jax.runs import hosts
    from vnet_jax.training import outlook
    from vnet_jax.training.fit import fit
    from vnet_jax.training.report import Diverged

    if FLAGS.distributed or FLAGS.coordinator:
        hosts.join(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
    config = CONFIG.value
    workdir = FLAGS.workdir or f"runs/{config.name}"
    if FLAGS.dry_run:
        found = outlook.of_run(config, Path(workdir))
        output.tell(dry_run=True, **found)
        print("\n".join(outlook.lines(found)))
        return 0
    try:
        status = fit(config, workdir, strict_resume=FLAGS.strict_resume)
    except (Diverged, LoaderError) as error:
        print(f"vnet_jax: {error}", file=sys.stderr)
        output.tell(error={"line": str(error)})
        return 1
    if FLAGS.json and hosts.is_lead():
        output.tell(**outlook.of_end(Path(workdir)))
    return status
