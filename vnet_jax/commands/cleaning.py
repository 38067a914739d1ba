"""The flags of the post-processing, which several programs have."""

from __future__ import annotations

from absl import flags

from vnet_jax.inference.thresholds import (
    NEEDS,
    UNTUNED,
    Trust,
    changed,
    read_thresholds,
)

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "thresholds", None, "file of bin/tune.py: post-processing, intervals, review flag"
)
flags.DEFINE_list(
    "postprocess",
    None,
    "steps in place of the paper's components,hu: of components, hu, small, holes",
)
flags.DEFINE_bool("keep_all", False, "no post-processing at all")
flags.DEFINE_float("second_share", None, "components: the second's least share (0.05)")
flags.DEFINE_float("cyst_hu", None, "hu: mean HU below which a tumour is a cyst (10)")
flags.DEFINE_float("min_tumour_ml", None, "small: volume below which a tumour is none")
flags.DEFINE_float(
    "tumour_weight",
    None,
    "times the tumour's probability before the likeliest class is taken (1)",
)


def asked(tuned: Trust = UNTUNED) -> Trust:
    """--thresholds in place of what came with the models, changed by the other flags.

    Args:
        tuned: what came with the models.

    Raises:
        InputError: no such file, or flags that contradict each other.
    """
    trust = read_thresholds(FLAGS.thresholds) if FLAGS.thresholds else tuned
    given = {name: getattr(FLAGS, name) for name in NEEDS}
    given = {name: value for name, value in given.items() if value is not None}
    return changed(trust, FLAGS.postprocess, FLAGS.keep_all, given)
