"""Writes a data set of synthetic abdominal CTs, in KiTS19's layout.

    python bin/phantom.py --out data/phantoms --n 20

With --labels it paints CTs around given label maps instead. The same seed gives the
same files, whatever --workers. Stopped, it goes on where it was.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from absl import flags

from vnet_jax.data import phantom_files
from vnet_jax.data.phantom_kidney import TumourSizes
from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string("out", None, "folder of the data set", required=True)
flags.DEFINE_integer("n", 20, "cases; with --labels, the first so many maps", 1)
flags.DEFINE_integer(
    "first", 0, "number in the first case's name; not with --labels", 0, 99_999
)
flags.DEFINE_string("labels", "", "KiTS19 tree of segmentation.nii.gz to paint around")
flags.DEFINE_string("spacing", "3,0.78162497,0.78162497", "z,y,x in mm")
flags.DEFINE_list(
    "slices",
    [],
    "with --labels: slice thickness in mm of each map in turn, such as 1,3,5; each "
    "map's own by default",
)
flags.DEFINE_list(
    "tumour_ml",
    [],
    "median volume of the drawn tumours and the standard deviation of its natural "
    "logarithm, such as 30,1.8; they then have 1 to 1000 ml; not with --labels",
)
flags.DEFINE_enum(
    "cysts",
    "kidney",
    ["kidney", "own"],
    "label of cysts: 1 as in KiTS19, 3 as in KiTS23",
)
flags.DEFINE_integer("seed", 0, "of the data set", 0)
flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes; each up to 1 GB", 1)


def main(argv: list[str]) -> int:
    """Writes what is missing and says where it is; status 2 when a map was refused."""
    del argv
    for name in ("tumour_ml", "first"):
        if FLAGS.labels and FLAGS[name].present:
            wrong = f"--{name} with --labels, whose maps have names and tumours"
            raise InputError(None, wrong, "pass one of them")
    if FLAGS.labels:
        source = (FLAGS.labels, FLAGS.n, FLAGS.seed, _slices())
        recipes = phantom_files.painted_recipes(*source)
    else:
        drawn = (FLAGS.n, FLAGS.seed, _spacing(), FLAGS.first)
        recipes = phantom_files.drawn_recipes(*drawn)
    if FLAGS.tumour_ml:
        recipes = [replace(recipe, sizes=_sizes()) for recipe in recipes]
    if FLAGS.cysts == "own":
        recipes = [replace(recipe, cyst_value=3) for recipe in recipes]
    written, refused = phantom_files.write_cases(FLAGS.out, recipes, FLAGS.workers)
    for error in refused:
        print(f"refused: {error}", file=sys.stderr)
    whole = len(recipes) - len(refused)
    kept = whole - written
    print(f"{whole} synthetic cases in {Path(FLAGS.out)}, {kept} of them from before")
    return 2 if refused else 0


def _sizes() -> TumourSizes:
    try:
        median, spread = (float(part) for part in FLAGS.tumour_ml)
    except ValueError:
        median, spread = 0.0, 0.0
    if not (1 <= median <= 1000 and 0 < spread <= 3):
        wrong = f"--tumour_ml={','.join(FLAGS.tumour_ml)} is no median and spread"
        raise InputError(None, wrong, "1 to 1000 ml, then above 0 to 3")
    return TumourSizes(median, spread, 1.0, 1000.0)


def _slices() -> list[float]:
    try:
        slices = [float(part) for part in FLAGS.slices]
    except ValueError:
        slices = [0.0]
    if not all(0.3 <= s <= 10 for s in slices):
        wrong = f"--slices={','.join(FLAGS.slices)} is no list of lengths in mm"
        raise InputError(None, wrong, "numbers from 0.3 to 10, with commas")
    return slices


def _spacing() -> tuple[float, float, float]:
    try:
        spacing = tuple(float(part) for part in FLAGS.spacing.split(","))
    except ValueError:
        spacing = ()
    if len(spacing) != 3 or not all(0.3 <= s <= 10 for s in spacing):
        wrong = f"--spacing={FLAGS.spacing} is not z,y,x in mm"
        raise InputError(None, wrong, "3 numbers from 0.3 to 10, with commas")
    if spacing[1] != spacing[2]:
        wrong = f"--spacing={FLAGS.spacing} is not square in-plane"
        raise InputError(None, wrong, "a CT's y and x spacing are one")
    return spacing
