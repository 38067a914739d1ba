"""A folder in which the commands of the documentation run at the size of a test."""

import shutil
from pathlib import Path

from tests.dicom_writer import write_series
from tests.docs.pages import ROOT
from tests.training.conftest import write_case

#: A config of the repository, made small: itself, but for what takes its time.
SMALL = """\
import runpy

# By its path: `from configs import {name}` would be this very file.
FULL = runpy.run_path({path!r})["get_config"]


def get_config(*args):
    config = FULL(*args)
    if "sample" not in config:
        return config
    config.data.spacing_mm, config.data.downsample = (4.0, 4.0, 4.0), (1, 1, 1)
    config.data.folds, config.data.test = 2, 0
    config.sample.shape = (16, 32, 32)
    config.model.width = 2 * config.model.classes
    config.epochs, config.decay_epochs, config.eval_every = 2, (1,), 1
    config.keep_best = 2
    return config
"""
#: Name -> what it is in this folder, where pages call one thing by several names.
ALSO = {
    "oof": "crossval/oof",
    "splits.json": "crossval/folds.json",
    "scores.json": "crossval/scores/scores.json",
    "runs/fold0": "crossval/fold_0",
    "runs/fold1": "crossval/fold_1",
    "runs/dice_loss": "crossval/fold_1/phase2",
    "data/kits23": "data/kits19",
    "data/mine": "data/kits19",
    "2024": "measures",
    "2025": "measures",
}


def fill(folder: Path) -> Path:
    """Data, configs and programs; returns the folder."""
    for number in range(8):
        write_case(folder / "data" / "kits19", number)
    shutil.copy(
        folder / "data" / "kits19" / "case_00007" / "imaging.nii.gz",
        folder / "ct.nii.gz",
    )
    shutil.copy(
        folder / "data" / "kits19" / "case_00007" / "segmentation.nii.gz",
        folder / "corrected.nii.gz",
    )
    # Of the challenge's test cases, one.
    shutil.copytree(
        folder / "data" / "kits19" / "case_00007",
        folder / "data" / "kits19_test" / "case_00210",
    )
    (folder / "test_masks").mkdir()
    (folder / "data" / "kits19_test" / "case_00210" / "segmentation.nii.gz").rename(
        folder / "test_masks" / "case_00210.nii.gz"
    )
    (folder / "cts").mkdir()
    (folder / "cts" / "ct.nii.gz").symlink_to(folder / "ct.nii.gz")
    write_series(folder / "study")
    (folder / "bin").symlink_to(ROOT / "bin")
    (folder / "configs").mkdir()
    for config in (ROOT / "configs").glob("*.py"):
        text = SMALL.format(name=config.stem, path=str(config))
        (folder / "configs" / config.name).write_text(text)
    (folder / "runs").mkdir()
    for name, target in ALSO.items():
        (folder / name).symlink_to(folder / target)
    return folder
