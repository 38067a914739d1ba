"""`predictions.zip` as the KiTS19 site takes it: the masks of its 90 test cases.

They are called `prediction_00210.nii.gz` to `prediction_00299.nii.gz`, each on the grid
of its CT, with 0 for background, 1 for kidney and 2 for tumour.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import read_grid, read_labels, write_mask
from vnet_jax.data.files import whole_file
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.scores.challenges import CHALLENGES, classed
from vnet_jax.scores.labels import nifti_named

#: KiTS19's test cases.
TEST_CASES = range(210, 300)
#: Of each file in the archive, so that the same masks give the same bytes.
DATE = (2019, 7, 29, 0, 0, 0)


def write_submission(
    path: str | Path,
    predictions: str | Path,
    cts: str | Path,
    *,
    numbers: Sequence[int] = TEST_CASES,
    allow_missing: bool = False,
    shown: bool = False,
) -> list[int]:
    """Checks every mask and writes the archive, whole or not at all.

    Args:
        path: the archive, by custom `predictions.zip`.
        predictions: folder of `case_00210.nii.gz` or `prediction_00210.nii.gz` and on.
        cts: the KiTS19 tree of the test cases, or a folder of `case_00210.nii.gz`: each
            mask must lie on the grid of its CT.
        numbers: the cases wanted.
        allow_missing: write although some are missing.
        shown: whether to show on stderr how far it is.

    Returns:
        The numbers of the missing cases.

    Raises:
        InputError: a missing prediction or CT, a mask on another grid, or a value that
            is no class. A cyst, 3, is kidney to KiTS19 and written as 1.
        OSError: disk full; nothing stays behind.
    """
    predictions, cts = Path(predictions), Path(cts)
    for folder, option in ((predictions, "--predictions"), (cts, "--cts")):
        if not folder.is_dir():
            raise InputError(folder, "no such folder", f"check {option}")
    found = {number: _prediction(predictions, number) for number in numbers}
    missing = [number for number, file in found.items() if file is None]
    if missing and (not allow_missing or len(missing) == len(found)):
        raise InputError(
            predictions,
            f"{len(missing)} of {len(found)} predictions are missing: "
            f"{listed(missing)}",
            "predict these, too; --allow_missing leaves them out",
        )
    with (
        whole_file(Path(path)) as file,
        zipfile.ZipFile(file, "w") as archive,
        _progress(len(found) - len(missing), shown) as progress,
    ):
        for number, mask in found.items():
            if mask is not None:
                name = f"prediction_{number:05d}.nii.gz"
                # The masks are compressed already.
                archive.writestr(
                    zipfile.ZipInfo(name, DATE), _checked(mask, cts, number)
                )
                progress.advance(note=name)
    return missing


def _progress(cases: int, shown: bool) -> Progress:
    return Progress("submission", cases, unit="case", shown=shown)


def listed(numbers: Sequence[int]) -> str:
    """Numbers in words, runs of them joined: [1, 2, 3, 7] gives "1 to 3, 7"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs
    )


def _prediction(folder: Path, number: int) -> Path | None:
    names = (f"prediction_{number:05d}", f"case_{number:05d}")
    files = (nifti_named(folder, name) for name in names)
    return next((file for file in files if file is not None), None)


def _checked(file: Path, cts: Path, number: int) -> bytes:
    """The bytes of a mask as KiTS19 wants it."""
    ct = _ct(cts, number)
    mask, grid = read_labels(file, allowed=(0, 1, 2, 3)).volume, read_grid(ct)
    if not mask.grid.same_place(grid):
        raise InputError(
            file,
            f"{_shape(mask.grid)} voxels, not on the grid of {ct} ({_shape(grid)})",
            "predict on that CT: the site compares voxel by voxel",
        )
    classes = classed(mask.array, CHALLENGES["kits19"].predictions)
    return _as_bytes(classes.astype(np.uint8, copy=False), grid)


def _ct(folder: Path, number: int) -> Path:
    name = f"case_{number:05d}"
    trees = (folder, folder / "data")
    places = [(tree / name, "imaging") for tree in trees] + [(folder, name)]
    files = (nifti_named(*place) for place in places)
    ct = next((file for file in files if file is not None), None)
    if ct is None:
        wrong = f"holds no CT of {name}, whose mask is to be checked against it"
        raise InputError(folder, wrong, f"expected {name}/imaging.nii.gz")
    return ct


def _as_bytes(mask: np.ndarray, grid: Grid) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.nii.gz"
        write_mask(path, mask, grid)
        return path.read_bytes()


def _shape(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))
