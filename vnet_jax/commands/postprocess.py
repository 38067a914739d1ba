"""Cleans masks anew, without the networks that made them.

    python bin/postprocess.py --predictions masks --data data/kits19 --out cleaned \
        --postprocess components

`--predictions` holds `<case>_raw.nii.gz`, as `bin/infer.py --save_raw` writes them, and
`--data` their CTs. Another weight of the tumour than they were made with takes
`<case>_probability.nii.gz` as well (`--save_probability`). A case that cannot be
cleaned is told in one line, the others go on, and the exit status is 2.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.commands import BAD_INPUT, cleaning, output, output_flags
from vnet_jax.inference.recleaned import clean_folder

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of <case>_raw.nii.gz")
flags.DEFINE_string("data", None, "their CTs: a folder of NIfTI files, or a data set")
flags.DEFINE_string("out", None, "folder for the masks")
flags.adopt_module_key_flags(cleaning)
flags.adopt_module_key_flags(output_flags)
flags.mark_flags_as_required(["predictions", "data", "out"])


def main(argv: list[str]) -> int:
    """Cleans, says how many; see the module's docstring."""
    del argv
    rules = cleaning.asked().rules
    count, failed = clean_folder(FLAGS.predictions, FLAGS.data, FLAGS.out, rules)
    output.tell(out=FLAGS.out, written=count, failed=list(failed))
    for reason in failed:
        print(f"vnet_jax: {reason}", file=sys.stderr)
    print(f"{count} masks are in {FLAGS.out}")
    return BAD_INPUT if failed else 0
