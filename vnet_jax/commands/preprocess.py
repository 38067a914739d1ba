"""Builds the cache of a data set, checks every case, and writes a report on it.

    python bin/preprocess.py --data data/kits19 --cache cache --workers 8

Stopped, it goes on where it was; run again, it looks only at what has changed. Without
--config or --spacing it builds the two grids of the paper's phases, reading each CT
once.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import ml_collections
from absl import flags

from vnet_jax.commands import dry_run, output, output_flags
from vnet_jax.data.cache import GridSpec, build_caches, not_cached, root_folder
from vnet_jax.data.cases import find_cases
from vnet_jax.data.dataset_report import PAPER_ROI, gather
from vnet_jax.errors import InputError
from vnet_jax.reports import dataset

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "data/kits19", "folder: KiTS19's tree or nnU-Net's raw")
flags.DEFINE_string("cache", "cache", "folder for the memory-mapped volumes")
flags.DEFINE_integer("workers", 1, "processes; each holds one CT, 1 to 3 GB", 1)
flags.DEFINE_multi_string(
    "config", [], "a config file whose grid to build; may be given several times"
)
flags.DEFINE_string("spacing", "", "z,y,x in mm, in place of --config")
flags.DEFINE_string("downsample", "1,1,1", "z,y,x blocks to merge, with --spacing")
flags.DEFINE_string("labels", "0:0,1:1,2:2", "value:class pairs, with --spacing")
flags.adopt_module_key_flags(output_flags)
flags.adopt_module_key_flags(dry_run)

#: Phase 2's grid and phase 1's (configs/phase2.py, configs/phase1.py).
PAPER_GRIDS = (
    GridSpec((3.0, 0.78162497, 0.78162497), (1, 1, 1)),
    GridSpec((3.0, 0.78162497, 0.78162497), (1, 4, 4)),
)


def main(argv: list[str]) -> int:
    """Builds, reports, and says where; status 2 when a case was refused."""
    del argv
    specs, roi_vox = _grids()
    cases = find_cases(FLAGS.data, option="--data")
    folder = root_folder(FLAGS.cache, FLAGS.data)
    if FLAGS.dry_run:
        return _tell_plan(cases, folder, specs)
    columns, refused = build_caches(cases, folder, specs, FLAGS.workers)
    finest = min(range(len(specs)), key=lambda i: _voxel_mm3(specs[i]))
    figures = gather(cases, columns[finest], refused, roi_vox)
    report = dataset.write(folder / "report", figures, Path(FLAGS.data).resolve().name)
    output.tell(
        cache=str(folder),
        report=str(report),
        cached=[cached.id for cached in columns[finest]],
        refused=[str(error) for error in refused],
    )
    for error in refused:
        print(f"refused: {error}", file=sys.stderr)
    print(f"{len(columns[finest])} of {len(cases)} cases in {folder}, report: {report}")
    return 2 if refused else 0


def _tell_plan(cases, folder: Path, specs) -> int:
    """What --dry_run tells."""
    missing = [case.id for case in not_cached(cases, folder, specs)]
    labelled = sum(case.label is not None for case in cases)
    print(f"{len(cases)} cases in {FLAGS.data}, {labelled} of them with a label")
    for spec in specs:
        print(f"grid {spec.name}")
    print(f"{len(missing)} cases to read and to build in {folder}")
    output.tell(
        dry_run=True,
        cache=str(folder),
        grids=[spec.name for spec in specs],
        cases=len(cases),
        labelled=labelled,
        to_build=missing,
    )
    return 0


def _grids() -> tuple[list[GridSpec], tuple[int, ...]]:
    """The grids to build, and the region of interest to hold the foreground against."""
    if FLAGS.config and FLAGS.spacing:
        raise InputError(None, "--config and --spacing are both given", "pass one")
    if FLAGS.spacing:
        spacing, factors = _numbers("spacing", float), _numbers("downsample", int)
        return [GridSpec(spacing, factors, _label_pairs(FLAGS.labels))], PAPER_ROI
    if not FLAGS.config:
        return list(PAPER_GRIDS), PAPER_ROI
    configs = [_read_config(path) for path in FLAGS.config]
    grids = (config.data for config in configs)
    specs = [GridSpec(g.spacing_mm, g.downsample, g.labels) for g in grids]
    regions = [tuple(c.sample.shape) for c in configs if c.phase == 2]
    return list(dict.fromkeys(specs)), (regions or [PAPER_ROI])[0]


def _read_config(given: str) -> ml_collections.ConfigDict:
    """The config of a file, or of `file.py:argument`."""
    name, _, argument = given.partition(".py:")
    path = Path(f"{name}.py" if argument else given)
    if not path.is_file():
        raise InputError(path, "no such config file", "see configs/")
    names = runpy.run_path(str(path))
    if "get_config" not in names:
        raise InputError(path, "has no get_config()", "see configs/phase1.py")
    if not argument:
        return names["get_config"]()
    try:
        return names["get_config"](argument)
    except (TypeError, ValueError) as error:
        raise InputError(path, str(error), "see the file's first lines") from None


def _numbers(flag: str, kind: type) -> tuple:
    text = FLAGS[flag].value
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise InputError(None, f"--{flag}={text} is not z,y,x", "3 numbers with commas")
    return numbers


def _label_pairs(text: str) -> list[tuple[int, int]]:
    try:
        pairs = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
        if all(len(pair) == 2 for pair in pairs):
            return pairs
    except ValueError:
        pass
    raise InputError(None, f"--labels={text}", "value:class pairs, such as 0:0,1:1")


def _voxel_mm3(spec: GridSpec) -> float:
    size = 1.0
    for spacing, factor in zip(spec.spacing_mm, spec.downsample, strict=True):
        size *= spacing * factor
    return size
