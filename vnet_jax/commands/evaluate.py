"""Scores predictions against labels as a KiTS challenge does.

    python bin/evaluate.py --predictions masks --labels data/kits19 --out scores

Writes scores.json and scores.csv, all tables (the paper's Tables 1 and 2 among them) as
tables.md, tables.json and tables.tex, and distribution.png. With --compare the same
labels are scored with another folder of predictions, and each score is tested between
the two. Exit status 2 when a prediction is missing or could not be scored; the others
are scored all the same.
"""

from __future__ import annotations

import os
import sys

from absl import flags

from vnet_jax.commands import BAD_INPUT, dry_run, output, output_flags
from vnet_jax.errors import InputError
from vnet_jax.reports import evaluation, score_tables, tables
from vnet_jax.scores.challenges import CHALLENGES
from vnet_jax.scores.folder import Report, compare, find_pairs, score_folder

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of masks, as bin/infer.py writes it")
flags.DEFINE_string(
    "labels", None, "the truth: a KiTS tree, an nnU-Net folder, or <case>.nii.gz"
)
flags.DEFINE_string("out", None, "folder for the scores")
flags.DEFINE_enum(
    "challenge",
    "kits19",
    list(CHALLENGES),
    "kits19: kidney, tumour; kits21 and kits23: kidney and masses, masses, tumour",
)
flags.DEFINE_list(
    "label_classes",
    None,
    "value in the label files : class (0 background, 1 kidney, 2 tumour, 3 cyst); by "
    "default the challenge's; for KiTS23's labels and --challenge=kits19, to which a "
    "cyst is kidney: 0:0,1:1,2:2,3:1",
)
flags.DEFINE_list("cases", [], "the names of those to score; every label by default")
flags.DEFINE_string("compare", "", "another folder of predictions, to test against")
flags.DEFINE_boolean("surface", True, "also surface Dice, HD95 and average distance")
flags.DEFINE_boolean("allow_missing", False, "exit 0 although predictions are missing")
flags.DEFINE_enum(
    "chosen_on",
    "",
    ["", "same cases", "cross-fitted", "held out"],
    "which cases chose checkpoints and thresholds; stands beside the scores",
)
flags.DEFINE_integer("bootstrap_seed", 0, "seed of bootstrap and permutations")
flags.DEFINE_integer("workers", 0, "processes; each holds one case; 0: one a core", 0)
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)
flags.mark_flags_as_required(["predictions", "labels", "out"])


def main(argv: list[str]) -> int:
    """Scores, writes, prints the means; see the module's docstring."""
    del argv
    if FLAGS.dry_run:
        return _tell_plan()
    report = _score(FLAGS.predictions)
    if FLAGS.compare:
        other = _score(FLAGS.compare)
        _complain(other)
        report.comparison = compare(report, other, FLAGS.compare, FLAGS.bootstrap_seed)
    report.chosen_on = FLAGS.chosen_on
    evaluation.write(FLAGS.out, report)
    if report.summary:
        print(
            tables.markdown(*score_tables.means(report.summary, report.challenge)),
            end="",
        )
    _complain(report)
    output.tell(
        out=FLAGS.out,
        challenge=report.challenge,
        scored=[case["id"] for case in report.cases],
        missing=report.missing,
        failed=report.failed,
        extra=report.extra,
        summary=report.summary,
        comparison=report.comparison,
    )
    print(f"{len(report.cases)} cases scored: {FLAGS.out}/tables.md, scores.json")
    incomplete = report.missing and not FLAGS.allow_missing
    return BAD_INPUT if report.failed or incomplete else 0


def _tell_plan() -> int:
    """What --dry_run tells."""
    names = FLAGS.cases or None
    for folder in filter(None, (FLAGS.predictions, FLAGS.compare)):
        pairs = find_pairs(folder, FLAGS.labels, names)
        missing = [name for name, (mask, _) in pairs.items() if mask is None]
        told = f"{folder}: {len(pairs) - len(missing)} of {len(pairs)} cases to score"
        print(told + (f", no prediction for {', '.join(missing)}" if missing else ""))
        if folder == FLAGS.predictions:
            found = [name for name in pairs if name not in missing]
            output.tell(dry_run=True, out=FLAGS.out, to_score=found, missing=missing)
    return 0


def _score(predictions: str) -> Report:
    challenge = CHALLENGES[FLAGS.challenge]
    pairs = FLAGS.label_classes
    classes = parse_classes(pairs) if pairs is not None else challenge.labels
    return score_folder(
        predictions,
        FLAGS.labels,
        challenge=challenge.name,
        classes=classes,
        surfaces=FLAGS.surface,
        names=FLAGS.cases or None,
        seed=FLAGS.bootstrap_seed,
        workers=FLAGS.workers or os.cpu_count() or 1,
        shown=True,
    )


def parse_classes(pairs: list[str]) -> dict[int, int]:
    """The flag `--label_classes` as a dict: ["0:0", "3:1"] -> {0: 0, 3: 1}.

    Raises:
        InputError: for a pair that is not two integers, or a class that is not 0 to 3.
    """
    classes = {}
    for pair in pairs:
        value, _, kind = pair.partition(":")
        if not value.strip().isdigit() or kind.strip() not in ("0", "1", "2", "3"):
            raise InputError(
                None,
                f"--label_classes: {pair!r} is not value:class with a class 0 to 3",
                "write it as 0:0,1:1,2:2",
            )
        classes[int(value)] = int(kind)
    return classes


def _complain(report: Report) -> None:
    for case in report.failed:
        print(f"vnet_jax: {case['reason']}", file=sys.stderr)
    if report.missing:
        names = ", ".join(report.missing)
        print(f"vnet_jax: no prediction for {names}", file=sys.stderr)
    if report.extra:
        count = len(report.extra)
        print(f"{count} predictions without a label were left out", file=sys.stderr)
