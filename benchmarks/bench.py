"""This program against its PyTorch twin, in one run on one machine.

    python bin/bench.py --suite quick
    python bin/bench.py --suite cpu --torch_python .venv-baseline/bin/python

Each side runs in a process of its own and both are called in turn, A B A B. A row is
printed and written as soon as it is measured; what cannot run here says 'not run' and
why. ratio = PyTorch's time / ours: above 1 this program is faster. See
docs/benchmarks.md.

    quick  small shapes on the CPU, about a minute without PyTorch
    cpu    two sizes, every way to run PyTorch, the full region of interest forward
    gpu    the full region of interest, within 8 minutes
    layers each convolution of the V-Net by itself, in every form
    loader batches from the cache beside PyTorch's DataLoader
    race   both learn one task to one Dice from the same start
    multi  1, 2 and 4 devices against DistributedDataParallel
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from absl import flags

from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "suite",
    "quick",
    ["quick", "cpu", "gpu", "layers", "loader", "race", "multi"],
    "what to measure",
)
flags.DEFINE_string("out", "", "folder for the results; runs/bench/SUITE by default")
flags.DEFINE_string(
    "torch_python", "", "the Python that has PyTorch; the one running by default"
)
flags.DEFINE_enum(
    "device", "", ["", "cpu", "gpu"], "of layers, race, multi; a GPU where there is one"
)
flags.DEFINE_float("minutes", None, "begin nothing after so long; 8 for gpu")
flags.DEFINE_string("only", "", "only rows with this text; 'around' for those parts")


def main(argv: list[str]) -> int:
    """Runs a suite; see the module's docstring."""
    del argv
    from benchmarks.run import Run

    if FLAGS.torch_python and not shutil.which(FLAGS.torch_python):
        wrong = "--torch_python: not a program"
        raise InputError(FLAGS.torch_python, wrong, "name the Python that has PyTorch")
    # The workers are in process groups of their own and would outlive a plain SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = Path(FLAGS.out or f"runs/bench/{FLAGS.suite}")
    with Run(
        FLAGS.suite,
        out,
        torch_python=FLAGS.torch_python,
        device=FLAGS.device,
        minutes=FLAGS.minutes,
        only=FLAGS.only,
    ) as bench:
        bench.run()
    return 0
