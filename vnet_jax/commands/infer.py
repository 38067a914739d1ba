"""Masks, summaries and pictures of CTs, from trained phases.

    python bin/infer.py --input ct.nii.gz --output masks/ \
        --phase1 runs/phase1 --phase2 runs/phase2
    python bin/infer.py --input ct.nii.gz --output masks/ --bundle kidney.vnet

Beside each mask (uint8; 1 kidney, 2 tumour; on the CT's own grid) stand `.json`
(docs/summary.md) and `.png`. Cases whose CT, models and options have not changed are
skipped. A CT that cannot be segmented is told in one line; the others go on, and the
exit status is 2.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.errors import InputError
from vnet_jax.inference import batch
from vnet_jax.inference.load import open_phases
from vnet_jax.inference.segment import DTYPES, Segmenter
from vnet_jax.runs import sharding

FLAGS = flags.FLAGS
flags.DEFINE_string("input", None, "a NIfTI file, a folder of them, or a data set")
flags.DEFINE_string("output", None, "a folder, or the mask's name for a single file")
flags.DEFINE_string("phase1", "runs/phase1", "run folder of phase 1")
flags.DEFINE_multi_string(
    "phase2", ["runs/phase2"], "run folder of phase 2; several are averaged"
)
flags.DEFINE_string(
    "bundle", None, "a file of bin/bundle.py, in place of both run folders"
)
flags.DEFINE_bool("fast", False, "the best checkpoint only, not the mean of the best 5")
flags.DEFINE_enum(
    "dtype",
    "trained",
    DTYPES,
    "what the networks compute in; auto: bfloat16 where the device is faster in it",
)
flags.DEFINE_string(
    "kidneys",
    None,
    "another program's kidney mask in place of phase 1, or a folder of such masks "
    "named like the outputs",
)
flags.DEFINE_bool(
    "save_stages", False, "also write the masks of phase 1 and of phase 2's stage 1"
)
flags.DEFINE_bool("overwrite", False, "also cases that are done and unchanged")
flags.DEFINE_bool("strict", False, "stop at the first case that fails")
flags.DEFINE_string(
    "device", None, "cpu, gpu or cuda:N; the fastest there is by default"
)


def main(argv: list[str]) -> int:
    """Segments what --input names; see the module's docstring."""
    del argv
    for name in ("input", "output"):
        if not getattr(FLAGS, name):
            raise InputError(None, f"--{name} is missing", f"pass --{name}=PATH")
    jobs = batch.plan(FLAGS.input, FLAGS.output, FLAGS.kidneys)
    if FLAGS.device:
        sharding.use_device(FLAGS.device)
    sharding.keep_compiled()
    segmenter = Segmenter(*_phases(), FLAGS.fast, FLAGS.dtype)
    failed = batch.run(
        jobs,
        segmenter,
        save_stages=FLAGS.save_stages,
        overwrite=FLAGS.overwrite,
        strict=FLAGS.strict,
    )
    _report(len(jobs), failed)
    return 2 if failed else 0


def _phases() -> tuple:
    """Phase 1 is not needed, and need not exist, where kidney masks are given."""
    phase1, phase2 = FLAGS.phase1, FLAGS.phase2
    if FLAGS.bundle:
        for name in ("phase1", "phase2"):
            if FLAGS[name].present:
                wrong = f"--bundle and --{name} both name a phase {name[-1]}"
                raise InputError(None, wrong, "pass one of them")
        phase1, phase2 = open_phases(FLAGS.bundle)
    return None if FLAGS.kidneys else phase1, phase2


def _report(total: int, failed: list) -> None:
    if failed:
        print(f"vnet_jax: {len(failed)} of {total} cases failed:", file=sys.stderr)
        for _, reason in failed:
            print(f"vnet_jax: {reason}", file=sys.stderr)
    print(f"{total - len(failed)} of {total} cases are in {FLAGS.output}")
