"""Compares two dates of a patient: which tumour is which, and how each has grown.

    python bin/compare.py 2024/ct.json 2025/ct.json --dates 2024-01-05,2025-02-01
    python bin/compare.py masks2024 masks2025 --dates dates.csv --out compared

BEFORE and AFTER are summaries of bin/infer.py or bin/measure.py (x.json, or the mask
beside it), or folders of them, whose cases are compared name by name. Writes the
numbers as `.json` (docs/measures.md), a page and, where the CTs are still where they
were, a picture. A case that cannot be compared is told in one line; the others go on,
and the exit status is 2.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from vnet_jax.commands import BAD_INPUT, dry_run, output, output_flags
from vnet_jax.errors import InputError
from vnet_jax.inference import followed, outlook
from vnet_jax.reports import followup

#: BEFORE and AFTER are no flags.
ARGUMENTS = True
FLAGS = flags.FLAGS
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)
flags.DEFINE_string("out", "compared", "folder for numbers, pages and pictures")
flags.DEFINE_list(
    "dates",
    [],
    "of BEFORE and AFTER, such as 2024-01-05,2025-02-01, for growth a year; or a CSV "
    "file with the columns case, before, after",
)
flags.DEFINE_bool("overwrite", False, "also cases that are done and unchanged")
flags.DEFINE_bool("strict", False, "stop at the first case that fails")


def main(argv: list[str]) -> int:
    """Compares, prints a single case's tables; see the module's docstring."""
    if len(argv) != 3:
        wrong = f"{len(argv) - 1} files or folders given"
        raise InputError(None, wrong, "give two: bin/compare.py BEFORE AFTER")
    pairs, alone = followed.plan(argv[1], argv[2], FLAGS.out, FLAGS.dates)
    if alone:
        print(f"{len(alone)} cases are in one folder alone: {', '.join(alone[:5])}")
    if FLAGS.dry_run:
        found = outlook.of_pairs(pairs, FLAGS.overwrite)
        output.tell(dry_run=True, **found)
        print("\n".join(outlook.lines(found, "compare", "compared")))
        return 0
    told, failed = followed.run(pairs, overwrite=FLAGS.overwrite, strict=FLAGS.strict)
    output.tell(cases=dict(told), failed=failed)
    for reason in failed:
        print(f"vnet_jax: {reason}", file=sys.stderr)
    if len(pairs) == 1 and told:
        print(followup.as_text(told[0][1]))
    elif told:
        followed.write_table(Path(FLAGS.out) / "tumours.csv", dict(told))
    print(f"{len(told)} of {len(pairs)} comparisons are in {FLAGS.out}")
    return BAD_INPUT if failed else 0
