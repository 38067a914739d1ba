"""Trains one phase, or goes on where it was stopped."""

from __future__ import annotations

import sys

from absl import flags
from ml_collections import config_flags

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
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> int:
    """Runs `vnet_jax.training.fit` with the config; returns the exit status."""
    del argv
    from vnet_jax.data.loader import LoaderError
    from vnet_jax.runs import hosts
    from vnet_jax.training.fit import fit
    from vnet_jax.training.report import Diverged

    if FLAGS.distributed or FLAGS.coordinator:
        hosts.join(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
    config = CONFIG.value
    workdir = FLAGS.workdir or f"runs/{config.name}"
    try:
        return fit(config, workdir, strict_resume=FLAGS.strict_resume)
    except (Diverged, LoaderError) as error:
        print(f"vnet_jax: {error}", file=sys.stderr)
        return 1
