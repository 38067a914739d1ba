"""Multiplies the hard training cases of a fold by registration (paper, section 2.3).

    python bin/register.py --scores oof/scores.json --splits splits.json --fold 0 \
        --data data/kits19 --out data/registered0 --workers 4

The worst training cases by out-of-fold Dice are references; other training cases of
the fold are drawn, aligned with them (affine, then non-rigid) and warped, CT and label.
What folds, loses its tumour or becomes no more alike is refused and drawn again. --out
is a data set in KiTS19's layout with `provenance.json`, a table (`pairs.md`,
`pairs.csv`) and a picture a pair. Stopped, it goes on where it was.
"""

from __future__ import annotations

import os
import sys

from absl import flags

from vnet_jax.data.cases import find_cases
from vnet_jax.data.prepare import GridSpec
from vnet_jax.errors import InputError
from vnet_jax.registration.augment import Outcome, Plan, augment
from vnet_jax.registration.engines import ENGINES, make
from vnet_jax.registration.folds import read_fold
from vnet_jax.registration.pairs import MOST, SCORES, hardest, read_scores
from vnet_jax.registration.studies import Region

FLAGS = flags.FLAGS
flags.DEFINE_string("scores", None, "out-of-fold scores.json of bin/evaluate.py")
flags.DEFINE_enum("by", "tumour", SCORES, "which Dice makes a case hard")
flags.DEFINE_string("splits", None, "the frozen folds, or a run's splits.json")
flags.DEFINE_integer("fold", 0, "whose training cases; folds only", 0)
flags.DEFINE_string("data", "data/kits19", "folder: KiTS19's tree or nnU-Net's raw")
flags.DEFINE_string("out", None, "folder of the new data set")
flags.DEFINE_integer("hard", 20, "references: so many of the worst", 1, MOST)
flags.DEFINE_integer("per_hard", 10, "warped cases for each reference", 1, MOST)
flags.DEFINE_enum("engine", "greedy", sorted(ENGINES), "what aligns")
flags.DEFINE_integer("workers", 1, "pairs at a time; 1 to 3 GB each", 1)
flags.DEFINE_integer("threads", 0, "of each engine; 0: the cores over --workers", 0)
flags.DEFINE_integer("seed", 0, "of the draw", 0)
flags.DEFINE_bool(
    "allow_fewer",
    False,
    "exit 0 although a reference has fewer than --per_hard, unless none has any",
)
flags.DEFINE_string("spacing", "3,0.78162497,0.78162497", "z,y,x in mm")
flags.DEFINE_string("roi", "80,240,384", "z,y,x voxels around the kidneys")
flags.DEFINE_float("margin", 10.0, "mm around the kidneys at least", 0)
flags.DEFINE_bool("whole", False, "the whole CT, not the region of interest")
flags.DEFINE_string("labels", "0:0,1:1,2:2", "value in the label file:class pairs")


def main(argv: list[str]) -> int:
    """Makes what is missing and says where it is; 2 where pairs ran out."""
    del argv
    for name in ("scores", "splits", "out"):
        if not getattr(FLAGS, name):
            raise InputError(None, f"--{name} is missing", f"pass --{name}=PATH")
    region = _region()
    fold = read_fold(FLAGS.splits, FLAGS.fold)
    hard = hardest(read_scores(FLAGS.scores, FLAGS.by), fold, FLAGS.hard)
    cases = find_cases(FLAGS.data, option="--data")
    engine = make(FLAGS.engine, FLAGS.threads or _threads(FLAGS.workers))
    plan = Plan(hard, fold, FLAGS.per_hard, FLAGS.seed)
    outcome = augment(cases, plan, region, engine, FLAGS.out, FLAGS.workers)
    return _report(outcome)


def _report(outcome: Outcome) -> int:
    for name, count in outcome.short.items():
        wrong = f"{count} of {FLAGS.per_hard} pairs are good, and no case is left"
        print(f"vnet_jax: {name}: {wrong}", file=sys.stderr)
    print(
        f"{outcome.kept} warped cases in {FLAGS.out}, {outcome.refused} pairs refused: "
        f"{FLAGS.out}/pairs.md"
    )
    if not outcome.kept:
        print(f"vnet_jax: {FLAGS.out}: not one pair is good", file=sys.stderr)
        return 2
    return 2 if outcome.short and not FLAGS.allow_fewer else 0


def _threads(workers: int) -> int:
    return max(1, (os.cpu_count() or 1) // workers)


def _region() -> Region:
    labels = _labels(FLAGS.labels)
    window = None if FLAGS.whole else _triple("roi", int)
    return Region(
        GridSpec(_triple("spacing", float), labels=labels), window, FLAGS.margin
    )


def _triple(flag: str, kind: type) -> tuple:
    text = FLAGS[flag].value
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or min(numbers) <= 0:
        wrong = f"--{flag}={text} is not z,y,x"
        raise InputError(None, wrong, "3 positive numbers with commas")
    return numbers


def _labels(text: str) -> tuple[tuple[int, ...], ...]:
    try:
        pairs = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    except ValueError:
        pairs = [()]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(None, f"--labels={text}", "value:class pairs, such as 0:0,1:1")
    return tuple(pairs)
