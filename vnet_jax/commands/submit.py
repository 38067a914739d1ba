"""Packs predictions of KiTS19's test cases as the challenge's site takes them.

    python bin/submit.py --predictions masks --cts data/kits19 --out predictions.zip

Each of case_00210 to case_00299 is checked: a mask on the grid of its CT, with classes
0 to 2. The archive is written whole or not at all.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.reports.submission import TEST_CASES, listed, write_submission

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of masks, as bin/infer.py writes it")
flags.DEFINE_string("cts", None, "KiTS19's tree with the CTs of its test cases")
flags.DEFINE_string("out", "predictions.zip", "the archive")
flags.DEFINE_boolean("allow_missing", False, "write although predictions are missing")
flags.mark_flags_as_required(["predictions", "cts"])


def main(argv: list[str]) -> int:
    """Checks and packs; says what is missing."""
    del argv
    missing = write_submission(
        FLAGS.out,
        FLAGS.predictions,
        FLAGS.cts,
        allow_missing=FLAGS.allow_missing,
        shown=True,
    )
    if missing:
        print(f"vnet_jax: left out, missing: {listed(missing)}", file=sys.stderr)
    print(f"{len(TEST_CASES) - len(missing)} predictions in {FLAGS.out}")
    return 0
