"""Scores predictions against labels as the KiTS19 challenge does.

    python bin/evaluate.py --predictions masks --labels data/kits19 --out scores

Writes scores.json, scores.csv, tables.md (the paper's Tables 1 and 2 in their form) and
distribution.png. Exit status 2 when a prediction is missing or could not be scored; the
others are scored all the same.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.commands import BAD_INPUT
from vnet_jax.errors import InputError
from vnet_jax.reports import evaluation, tables
from vnet_jax.scores.folder import KITS19_CLASSES, Report, score_folder

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of masks, as bin/infer.py writes it")
flags.DEFINE_string(
    "labels", None, "the truth: a KiTS19 tree, an nnU-Net folder, or <case>.nii.gz"
)
flags.DEFINE_string("out", None, "folder for the scores")
flags.DEFINE_list(
    "label_classes",
    [f"{value}:{kind}" for value, kind in KITS19_CLASSES.items()],
    "value in the label files : class (0 background, 1 kidney, 2 tumour); for labels "
    "with cysts as 3, which KiTS19 counts as kidney: 0:0,1:1,2:2,3:1",
)
flags.DEFINE_boolean("allow_missing", False, "exit 0 although predictions are missing")
flags.DEFINE_enum(
    "chosen_on",
    "",
    ["", "same cases", "cross-fitted", "held out"],
    "which cases chose checkpoints and thresholds; stands beside the scores",
)
flags.DEFINE_integer("bootstrap_seed", 0, "seed of the bootstrap intervals")
flags.mark_flags_as_required(["predictions", "labels", "out"])


def main(argv: list[str]) -> int:
    """Scores, writes, prints the means; see the module's docstring."""
    del argv
    report = score_folder(
        FLAGS.predictions,
        FLAGS.labels,
        classes=parse_classes(FLAGS.label_classes),
        seed=FLAGS.bootstrap_seed,
        shown=True,
    )
    report.chosen_on = FLAGS.chosen_on
    evaluation.write(FLAGS.out, report)
    if report.summary:
        print(tables.markdown(*evaluation.means(report.summary)), end="")
    _complain(report)
    print(f"{len(report.cases)} cases scored: {FLAGS.out}/tables.md, scores.json")
    incomplete = report.missing and not FLAGS.allow_missing
    return BAD_INPUT if report.failed or incomplete else 0


def parse_classes(pairs: list[str]) -> dict[int, int]:
    """The flag `--label_classes` as a dict: ["0:0", "3:1"] -> {0: 0, 3: 1}.

    Raises:
        InputError: for a pair that is not two integers, or a class that is not 0 to 2.
    """
    classes = {}
    for pair in pairs:
        value, _, kind = pair.partition(":")
        if not value.strip().isdigit() or kind.strip() not in ("0", "1", "2"):
            raise InputError(
                None,
                f"--label_classes: {pair!r} is not value:class with a class 0, 1 or 2",
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
