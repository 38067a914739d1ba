"""Cleans masks anew, without the networks that made them.

    python bin/postprocess.py --predictions masks --data data/kits19 --out cleaned \
        --postprocess components

`--predictions` holds `<case>_raw.nii.gz`, as `bin/infer.py --save_raw` writes them, and
`--data` their CTs. A case that cannot be cleaned is told in one line, the others go on,
and the exit status is 2.
"""

from __future__ import annotations

import sys

from absl import flags

from vnet_jax.commands import BAD_INPUT
from vnet_jax.inference.recleaned import clean_folder
from vnet_jax.inference.thresholds import NEEDS, UNTUNED, changed, read_thresholds

FLAGS = flags.FLAGS
flags.DEFINE_string("predictions", None, "folder of <case>_raw.nii.gz")
flags.DEFINE_string("data", None, "their CTs: a folder of NIfTI files, or a data set")
flags.DEFINE_string("out", None, "folder for the masks")
flags.DEFINE_string("thresholds", None, "file of bin/tune.py")
flags.DEFINE_list(
    "postprocess",
    None,
    "steps in place of the paper's components,hu: of components, hu, small, holes",
)
flags.DEFINE_bool("keep_all", False, "no post-processing at all")
flags.DEFINE_float("second_share", None, "components: the second's least share (0.05)")
flags.DEFINE_float("cyst_hu", None, "hu: mean HU below which a tumour is a cyst (10)")
flags.DEFINE_float("min_tumour_ml", None, "small: volume below which a tumour is none")
flags.mark_flags_as_required(["predictions", "data", "out"])


def main(argv: list[str]) -> int:
    """Cleans, says how many; see the module's docstring."""
    del argv
    tuned = read_thresholds(FLAGS.thresholds) if FLAGS.thresholds else UNTUNED
    given = {name: getattr(FLAGS, name) for name in NEEDS}
    given = {name: value for name, value in given.items() if value is not None}
    trust = changed(tuned, FLAGS.postprocess, FLAGS.keep_all, given)
    count, failed = clean_folder(FLAGS.predictions, FLAGS.data, FLAGS.out, trust.rules)
    for reason in failed:
        print(f"vnet_jax: {reason}", file=sys.stderr)
    print(f"{count} masks are in {FLAGS.out}")
    return BAD_INPUT if failed else 0
