"""Draws what augmentation makes of a sample, as a config asks for it.

    python bin/augment.py --config configs/phase2_strong.py --config.data.root DIR

One picture: the sample of a case as it is, under each change alone, and under all of
them as training draws them. With --phantom the case is a synthetic one, drawn for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from absl import flags
from ml_collections import config_flags

from vnet_jax.data.augment_views import views
from vnet_jax.data.cache import GridSpec, build_cache, root_folder
from vnet_jax.data.cached_case import CachedCase
from vnet_jax.data.cases import find_cases
from vnet_jax.data.phantom_files import drawn_recipes, write_cases
from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "a file of configs/; --config.FIELD=... changes a field",
    lock_config=True,
)
flags.DEFINE_string("out", "augmentation.png", "the picture")
flags.DEFINE_string("case", "", "such as case_00003; the first by default")
flags.DEFINE_bool("phantom", False, "a synthetic CT in the place of --config.data.root")
flags.DEFINE_integer("seed", 0, "of the draws, and of the phantom", 0)
flags.mark_flag_as_required("config")

TOGETHER = 6


def main(argv: list[str]) -> int:
    """Draws the picture and says where it is."""
    del argv
    from vnet_jax.reports import augmentation
    from vnet_jax.training import setup

    config = CONFIG.value
    setup.check_augment(config)
    out = Path(FLAGS.out)
    if out.suffix != ".png" or not out.parent.is_dir():
        raise InputError(out, "no .png in a folder that is there", "pass another --out")
    with tempfile.TemporaryDirectory() as folder:
        cached = _case(config, Path(folder))
        rng = np.random.default_rng(FLAGS.seed)
        image, label = setup.plain_sample_of(config)(cached, rng)
        spacing_mm = cached.grid.spacing_mm
        settings = config.augment.to_dict()
        seen = views(image, label, spacing_mm, settings, FLAGS.seed, TOGETHER)
        augmentation.sheet(out, seen, spacing_mm)
    print(f"{len(seen)} views of {cached.id} in {out}")
    return 0


def _case(config, folder: Path) -> CachedCase:
    """The case on the config's grid, from the cache or built into it."""
    data = config.data
    spec = GridSpec(data.spacing_mm, data.downsample, data.labels)
    root, cache = data.root, data.cache
    if FLAGS.phantom:
        root, cache = folder / "phantoms", folder / "cache"
        write_cases(root, drawn_recipes(1, FLAGS.seed, data.spacing_mm))
    cases = find_cases(root)
    names = [case.id for case in cases]
    if FLAGS.case and FLAGS.case not in names:
        wrong = f"holds no case {FLAGS.case}"
        raise InputError(root, wrong, f"choose from {names[0]} to {names[-1]}")
    chosen = [case for case in cases if case.id == (FLAGS.case or names[0])]
    cached, refused = build_cache(chosen, root_folder(cache, root), spec)
    if refused:
        raise refused[0]
    return cached[0]
