"""Measures kidneys and tumours of any mask: corrected by hand, or another program's.

    python bin/measure.py --image ct.nii.gz --mask corrected.nii.gz --out measures
    python bin/measure.py --image cts/ --mask masks/ --out measures \
        --labels kidney=1,tumour=2,cyst=3

Writes what bin/infer.py writes beside a mask: the measures as `.json` (docs/summary.md,
docs/measures.md), a picture and a page to look at it, and the mask itself on the CT's
grid. The mask may have another axis order, extent or data type. A mask that cannot be
measured is told in one line; the others go on, and the exit status is 2.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.commands import BAD_INPUT, dry_run, output, output_flags
from vnet_jax.inference import measured, outlook
from vnet_jax.inference.given import parse_labels
from vnet_jax.reports import niivue
from vnet_jax.runs import sharding

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)
flags.DEFINE_string(
    "image", None, "the CT: a NIfTI file, a folder, a data set, or DICOM"
)
flags.DEFINE_string(
    "mask",
    None,
    "its mask: a NIfTI file, a folder with one for each organ (kidney_left.nii.gz), or "
    "a folder of either under the CTs' names",
)
flags.DEFINE_string("out", "measures", "folder for measures, masks and pictures")
flags.DEFINE_list(
    "labels",
    None,
    "what the values are, such as kidney=1,tumour=2; others are then background. "
    "Without: kidney=1,tumour=2,cyst=3, and others are refused",
)
flags.DEFINE_list("cases", [], "the names of those to take; all by default")
flags.DEFINE_bool(
    "report", True, "also write a page to look at each case (x.html) and at all of them"
)
flags.DEFINE_bool("overwrite", False, "also cases that are done and unchanged")
flags.DEFINE_bool("strict", False, "stop at the first case that fails")
flags.mark_flags_as_required(["image", "mask"])


def main(argv: list[str]) -> int:
    """Measures what --mask names; see the module's docstring."""
    del argv
    labels = parse_labels(FLAGS.labels)
    jobs, bare = measured.plan(FLAGS.image, FLAGS.mask, FLAGS.out, FLAGS.cases)
    if bare:
        print(f"{len(bare)} CTs without a mask were left out: {', '.join(bare[:5])}")
    if FLAGS.dry_run:
        found = outlook.of_masks(jobs, labels, FLAGS.overwrite)
        output.tell(dry_run=True, **found)
        print("\n".join(outlook.lines(found, "measure", "measured")))
        return 0
    if FLAGS.report and niivue.source() is None:
        output.note(f"the pages will have no viewer; {niivue.HINT}")
    sharding.use_device("cpu")  # nothing here needs another
    failed = measured.run(
        jobs,
        labels,
        overwrite=FLAGS.overwrite,
        strict=FLAGS.strict,
        report=FLAGS.report,
    )
    reasons = {job.name: reason for job, reason in failed}
    output.tell(cases=[outlook.of_done(job, reasons.get(job.name)) for job in jobs])
    if failed:
        print(f"vnet_jax: {len(failed)} of {len(jobs)} cases failed:", file=sys.stderr)
        for _, reason in failed:
            print(f"vnet_jax: {reason}", file=sys.stderr)
    print(f"{len(jobs) - len(failed)} of {len(jobs)} cases are in {FLAGS.out}")
    return BAD_INPUT if failed else 0
