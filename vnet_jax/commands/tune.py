"""Chooses the thresholds of the post-processing on out-of-fold predictions.

    python bin/tune.py --predictions oof --data data/kits19 --out thresholds.json \
        --splits runs/fold0/splits.json --splits runs/fold1/splits.json

`--predictions` holds `<case>_raw.nii.gz` and `<case>.json` of cases that their network
did not train on, as `bin/infer.py --save_raw` writes them; with
`<case>_probability.nii.gz` of all of them (`--save_probability`) the weight of the
tumour's probability is chosen as well. The file goes to
`bin/infer.py --thresholds`: with the thresholds it brings 90 % intervals of the volumes
and the limit of the confidence for the flag "review". A report lies beside it (.md).
Exit status 2 when a case could not be read; the others are used all the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from vnet_jax.commands import BAD_INPUT, output, output_flags
from vnet_jax.data.files import whole_file, write_json
from vnet_jax.errors import InputError
from vnet_jax.experiments.tuning import tune
from vnet_jax.experiments.tuning_cases import find_sources, folds_of
from vnet_jax.reports import tuning

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of out-of-fold <case>_raw.nii.gz")
flags.DEFINE_string("data", None, "the data set: CTs and labels")
flags.DEFINE_multi_string(
    "splits",
    [],
    "splits.json of a training; give those of all folds: cases are checked against "
    "them, and their folds are those of the cross-fit",
)
flags.DEFINE_string("out", "thresholds.json", "the file to write")
flags.DEFINE_integer("folds", 5, "without --splits: folds to draw", lower_bound=2)
flags.DEFINE_integer("seed", 0, "of the drawn folds and the bootstrap")
flags.DEFINE_float(
    "poor_dice", 0.7, "mean Dice below which a case should be flagged for review"
)
flags.DEFINE_integer("workers", 1, "processes", lower_bound=1)
flags.adopt_module_key_flags(output_flags)
flags.mark_flags_as_required(["predictions", "data"])


def main(argv: list[str]) -> int:
    """Tunes, writes, prints the report; see the module's docstring."""
    del argv
    out = Path(FLAGS.out)
    if out.suffix != ".json":
        raise InputError(out, "no .json file", "give --out=thresholds.json")
    sources = find_sources(FLAGS.predictions, FLAGS.data)
    folds = folds_of([s.id for s in sources], FLAGS.splits, FLAGS.folds, FLAGS.seed)
    facts, failures = tune(
        sources,
        folds,
        poor_dice=FLAGS.poor_dice,
        seed=FLAGS.seed,
        workers=FLAGS.workers,
        shown=True,
    )
    write_json(out, facts)
    report = tuning.as_markdown(facts)
    with whole_file(out.with_suffix(".md")) as file:
        file.write(report.encode())
    output.tell(out=str(out), **facts, failed=list(failures))
    print(report, end="")
    for reason in failures:
        print(f"vnet_jax: {reason}", file=sys.stderr)
    return BAD_INPUT if failures else 0
