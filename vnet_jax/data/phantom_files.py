"""A data set of phantoms on disk, in KiTS19's layout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume, from_canonical, to_canonical
from vnet_jax.ct.nifti import read_labels, write_image, write_mask
from vnet_jax.ct.resample import on_grid
from vnet_jax.data.files import PART, write_json
from vnet_jax.data.phantom import draw_case, paint_labels
from vnet_jax.data.phantom_kidney import SIZES, TumourSizes
from vnet_jax.data.processes import results
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError

#: Goes up when the same seed would give other voxels: older cases are drawn anew.
VERSION = 2
KIDNEY = 1
FILES = ("imaging.nii.gz", "segmentation.nii.gz", "cysts.nii.gz", "case.json")


@dataclass(frozen=True)
class Recipe:
    """What a case is made from; an existing case of the same recipe is kept.

    Attributes:
        id: its folder, such as case_00000.
        seed: (seed of the data set, number of the case).
        spacing_mm: (z, y, x), or None with a label map, which has its own.
        labels_sha256: of the file of the label map to paint around, or "".
        labels: that file.
        cyst_value: of cysts in the label map: 1, kidney, as in KiTS19; 3 as in KiTS23.
        slice_mm: slice thickness that a label map is brought to; None for its own.
        sizes: how large drawn tumours are.
    """

    id: str
    seed: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None = None
    labels_sha256: str = ""
    labels: Path | None = None
    cyst_value: int = KIDNEY
    slice_mm: float | None = None
    sizes: TumourSizes = SIZES

    def facts(self) -> dict:
        """What the voxels follow from, for JSON."""
        facts = {
            "version": VERSION,
            "seed": list(self.seed),
            "spacing_mm": self.spacing_mm and list(self.spacing_mm),
            "labels_sha256": self.labels_sha256,
        }
        own = {} if self.cyst_value == KIDNEY else {"cyst_value": self.cyst_value}
        thick = {} if self.slice_mm is None else {"slice_mm": self.slice_mm}
        sizes = {} if self.sizes == SIZES else {"tumour_sizes": asdict(self.sizes)}
        return facts | own | thick | sizes


def drawn_recipes(
    count: int, seed: int, spacing_mm: Sequence[float], first: int = 0
) -> list[Recipe]:
    """Recipes of `count` patients; the number in the first one's name is `first`."""
    spacing = tuple(float(s) for s in spacing_mm)
    return [Recipe(f"case_{first + k:05d}", (seed, k), spacing) for k in range(count)]


def painted_recipes(
    root: str | Path, count: int, seed: int, slices_mm: Sequence[float] = ()
) -> list[Recipe]:
    """Recipes for the first `count` label maps of a KiTS19 tree, by name.

    Args:
        root: the tree.
        count: how many.
        seed: of the data set.
        slices_mm: slice thickness of each map in turn; its own by default.

    Raises:
        InputError: no such folder, or no label map in it.
    """
    root, recipes = Path(root), []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        files = (folder / name for name in ("segmentation.nii.gz", "segmentation.nii"))
        file = next((file for file in files if file.is_file()), None)
        if file is not None and len(recipes) < count:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            seeds = (seed, len(recipes))
            thick = slices_mm[len(recipes) % len(slices_mm)] if slices_mm else None
            recipe = Recipe(folder.name, seeds, None, digest, file, slice_mm=thick)
            recipes.append(recipe)
    if not recipes:
        wrong = "holds no case_*/segmentation.nii.gz"
        raise InputError(root, wrong, "pass --labels=DIR, a KiTS19 tree of label maps")
    return recipes


def write_cases(
    out: str | Path, recipes: Sequence[Recipe], workers: int = 1, shown: bool = True
) -> tuple[int, list[InputError]]:
    """Writes the cases that are not there yet, each whole or not at all.

    Args:
        out: the data set's folder; made when missing.
        recipes: what to draw. The files do not depend on the order or on `workers`.
        workers: processes; each holds one case, up to 1 GB.
        shown: whether to show progress.

    Returns:
        How many were written, and one InputError for each label map that is bad; the
        other cases were there.

    Raises:
        InputError: the folder cannot be written, or a worker died.
    """
    out, refused = Path(out), []
    try:
        out.mkdir(parents=True, exist_ok=True)
        missing = [recipe for recipe in recipes if not is_there(out, recipe)]
        with Progress("phantoms", len(missing), unit="case", shown=shown) as progress:
            jobs = [(out, recipe) for recipe in missing]
            for name, wrong in results(_attempt, jobs, workers):
                progress.advance(note=name)
                refused += [InputError(*wrong)] if wrong else []
    except OSError as error:
        wrong = f"cannot be written: {error.strerror or error}"
        raise InputError(out, wrong, "make room or name another --out") from error
    except BrokenProcessPool:
        wrong = "a worker died, most likely for want of memory"
        raise InputError(out, wrong, "start again with fewer --workers") from None
    return len(missing) - len(refused), sorted(refused, key=str)


def is_there(out: Path, recipe: Recipe) -> bool:
    """Whether a case of this recipe is complete on disk."""
    folder = out / recipe.id
    try:
        facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        same = facts["recipe"] == recipe.facts()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and all((folder / name).is_file() for name in FILES)


def _attempt(out: Path, recipe: Recipe) -> tuple[str, tuple | None]:
    """(id, None or the parts of an InputError) of a case."""
    try:
        write_case(out, recipe)
    except InputError as error:
        return recipe.id, (error.path, error.wrong, error.remedy)
    return recipe.id, None


def write_case(out: Path, recipe: Recipe) -> None:
    """Draws one case into a folder beside its place, then renames it.

    Raises:
        InputError: the label map is bad.
        OSError: the folder cannot be written.
    """
    ct, labels, cysts, grid, record = _draw(recipe)
    labels = np.where(cysts > 0, np.uint8(recipe.cyst_value), labels)
    part = out / f".{recipe.id}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        write_image(part / "imaging.nii.gz", ct, grid)
        write_mask(part / "segmentation.nii.gz", labels, grid)
        write_mask(part / "cysts.nii.gz", cysts, grid)
        write_json(part / "case.json", {**record, "recipe": recipe.facts()})
        if (out / recipe.id).exists():  # of another recipe, or incomplete
            shutil.rmtree(out / recipe.id)
        os.replace(part, out / recipe.id)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _draw(recipe: Recipe) -> tuple:
    """CT, labels, cysts, grid and record of a recipe."""
    if recipe.labels is None:
        return draw_case(recipe.seed, recipe.spacing_mm, sizes=recipe.sizes)
    given = read_labels(recipe.labels, allowed=(0, 1, 2)).volume
    if recipe.slice_mm is not None:
        given = _resliced(given, recipe.slice_mm)
    volume, grid = to_canonical(given), given.grid
    ct, cysts, record = paint_labels(volume.array, volume.grid.spacing_mm, recipe.seed)
    ct, cysts = (from_canonical(array, grid) for array in (ct, cysts))
    return ct, given.array, cysts, grid, record


def _resliced(labels: Volume, slice_mm: float) -> Volume:
    """The labels at another slice thickness: where more than half of a voxel is one."""
    source = to_canonical(labels)
    grid = source.grid.resampled((slice_mm, *source.grid.spacing_mm[1:]))
    out = np.zeros(grid.shape, np.uint8)
    for value in (1, 2):  # a tumour is part of its kidney
        part = Volume((source.array >= value).astype(np.uint8), source.grid)
        out[on_grid(part, grid, "linear", 0).array > 0.5] = value
    return Volume(out, grid)
