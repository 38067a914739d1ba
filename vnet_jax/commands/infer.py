"""Masks, summaries and pictures of CTs, from trained phases.

    python bin/infer.py --input ct.nii.gz --output masks/ \
        --phase1 runs/phase1 --phase2 runs/phase2
    python bin/infer.py --input ct.nii.gz --output masks/ --bundle kidney.vnet

The 5 best checkpoints of a run are averaged, and several runs (folds, losses, variants)
where --phase2 is given several times; --tta adds mirror images. One network is in
memory at a time. Beside each mask (uint8; 1 kidney, 2 tumour; on the CT's own grid)
stand `.json` (docs/summary.md), `.png` and `.html` (docs/report.md), and for all of
them `report.html`. Cases whose CT, models and options have not changed are skipped.
--input may be DICOM (docs/dicom.md): then a DICOM-SEG, x_seg.dcm, stands there, too. A
CT that cannot be segmented is told in one line; the others go on, and the exit status
is 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from vnet_jax.commands import cleaning, dry_run, output, output_flags
from vnet_jax.ct import dicom
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, outlook
from vnet_jax.inference.case import Keep
from vnet_jax.inference.ensemble import validated_by
from vnet_jax.inference.load import open_phases
from vnet_jax.inference.segment import AXES, DTYPES, Segmenter
from vnet_jax.inference.thresholds import UNTUNED, Trust
from vnet_jax.reports import niivue
from vnet_jax.runs import sharding

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "input",
    None,
    "a NIfTI file, a folder of them, or a data set; or DICOM: a folder, a zip, a file",
)
flags.DEFINE_string(
    "series", None, "SeriesInstanceUID of the CT, where DICOM has several"
)
flags.DEFINE_bool("list_series", False, "list the series of --input (DICOM) and stop")
flags.DEFINE_bool(
    "dicom_seg", None, "write a DICOM-SEG, too; by default where the CT is DICOM"
)
flags.DEFINE_list("cases", [], "the names of those to take; all by default")
flags.DEFINE_string("output", None, "a folder, or the mask's name for a single file")
flags.DEFINE_multi_string(
    "phase1", ["runs/phase1"], "run folder of phase 1; several are averaged"
)
flags.DEFINE_multi_string(
    "phase2", ["runs/phase2"], "run folder of phase 2; several are averaged"
)
flags.DEFINE_string(
    "bundle",
    None,
    "a file of bin/bundle.py, in place of both run folders and of --thresholds",
)
flags.DEFINE_bool("fast", False, "the best checkpoint only, not the mean of the best 5")
flags.DEFINE_bool(
    "newest", False, "the newest checkpoint only, which no validation case has chosen"
)
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
flags.DEFINE_bool("save_raw", False, "also write the mask before post-processing")
flags.DEFINE_bool(
    "save_probability", False, "also write the mean probabilities of kidney and tumour"
)
flags.DEFINE_bool(
    "save_disagreement", False, "also write how much the ensemble's members differ"
)
flags.DEFINE_bool("tta", False, "phase 2 also predicts mirrored, along --flips")
flags.DEFINE_list(
    "flips",
    None,
    "axes to mirror along, of x (left-right), y and z, alone and together: all three "
    "take 8 times as long; implies --tta, which without it means x,y,z",
)
flags.adopt_module_key_flags(cleaning)
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)
flags.DEFINE_bool(
    "validation_only",
    False,
    "only the cases that every run given held out to validate on, for bin/tune.py",
)
flags.DEFINE_bool(
    "whole_ct", False, "phase 2 looks at the whole CT, tile by tile, without a phase 1"
)
flags.DEFINE_bool(
    "report", True, "also write a page to look at each case (x.html) and at all of them"
)
flags.DEFINE_bool("overwrite", False, "also cases that are done and unchanged")
flags.DEFINE_bool("strict", False, "stop at the first case that fails")
flags.DEFINE_string(
    "device", None, "cpu, gpu or cuda:N; the fastest there is by default"
)


def main(argv: list[str]) -> int:
    """Segments what --input names; see the module's docstring."""
    del argv
    if FLAGS.list_series and FLAGS.input:
        print(dicom.listing(dicom.find(FLAGS.input)))
        return 0
    for name in ("input", "output"):
        if not getattr(FLAGS, name):
            raise InputError(None, f"--{name} is missing", f"pass --{name}=PATH")
    phase1, phase2, tuned = _phases()
    only = _only(phase1, phase2)
    jobs = batch.plan(
        FLAGS.input,
        FLAGS.output,
        FLAGS.kidneys,
        FLAGS.cases,
        only,
        FLAGS.series,
        FLAGS.dicom_seg,
    )
    if FLAGS.device:
        sharding.use_device(FLAGS.device)
    trust = cleaning.asked(tuned)
    segmenter = Segmenter(
        phase1,
        phase2,
        FLAGS.fast,
        FLAGS.dtype,
        _flips(),
        trust,
        FLAGS.newest,
        FLAGS.whole_ct,
    )
    keep = Keep(
        FLAGS.save_stages,
        FLAGS.save_raw,
        FLAGS.save_probability,
        FLAGS.save_disagreement,
    )
    if FLAGS.dry_run:
        return _tell_plan(jobs, segmenter, keep)
    sharding.keep_compiled()
    if FLAGS.report and niivue.source() is None:
        output.note(f"the pages will have no viewer; {niivue.HINT}")
    failed = batch.run(
        jobs,
        segmenter,
        keep=keep,
        overwrite=FLAGS.overwrite,
        strict=FLAGS.strict,
        report=FLAGS.report,
    )
    reasons = {job.name: reason for job, reason in failed}
    output.tell(cases=[outlook.of_done(job, reasons.get(job.name)) for job in jobs])
    _report(len(jobs), failed)
    return 2 if failed else 0


def _tell_plan(jobs, segmenter: Segmenter, keep: Keep) -> int:
    """What --dry_run tells."""
    found = outlook.of_jobs(jobs, segmenter, keep, FLAGS.overwrite)
    output.tell(dry_run=True, **found)
    print("\n".join(outlook.lines(found, "segment", "segmented")))
    return 0


def _only(phase1: Sequence | None, phase2: Sequence) -> set[str] | None:
    """The cases of --validation_only."""
    if not FLAGS.validation_only:
        return None
    return validated_by([*(phase1 or ()), *phase2])


def _flips() -> str:
    """The axes of --tta and --flips, such as "xy"."""
    if FLAGS.flips is None:
        return "xyz" if FLAGS.tta else ""
    axes = "".join(axis.strip().lower() for axis in FLAGS.flips)
    if not set(axes) <= set(AXES):
        raise InputError(
            None, f"--flips={','.join(FLAGS.flips)}: no such axis", "give some of x,y,z"
        )
    return axes


def _phases() -> tuple[Sequence | None, Sequence, Trust]:
    """No phase 1 is needed, or need exist, for given masks or for the whole CT."""
    phase1, phase2, tuned = FLAGS.phase1, FLAGS.phase2, UNTUNED
    if FLAGS.bundle:
        for name in ("phase1", "phase2"):
            if FLAGS[name].present:
                wrong = f"--bundle and --{name} both name a phase {name[-1]}"
                raise InputError(None, wrong, "pass one of them")
        if FLAGS.validation_only:
            wrong = "--validation_only with a bundle, which names no cases"
            raise InputError(None, wrong, "predict with the run folders")
        phase1, phase2, tuned = open_phases(FLAGS.bundle)
    if FLAGS.kidneys and FLAGS.whole_ct:
        raise InputError(None, "--kidneys and --whole_ct", "pass one of them")
    needless = FLAGS.kidneys or FLAGS.whole_ct
    return None if needless else phase1, phase2, tuned


def _report(total: int, failed: list) -> None:
    if failed:
        print(f"vnet_jax: {len(failed)} of {total} cases failed:", file=sys.stderr)
        for _, reason in failed:
            print(f"vnet_jax: {reason}", file=sys.stderr)
    print(f"{total - len(failed)} of {total} cases are in {FLAGS.output}")
