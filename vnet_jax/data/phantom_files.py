"""A data set of phantoms on disk, in KiTS19's layout."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.data.files import PART, write_json
from vnet_jax.data.phantom import draw_case
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError

#: Goes up when the same seed would give other voxels: older cases are drawn anew.
VERSION = 1
FILES = ("imaging.nii.gz", "segmentation.nii.gz", "cysts.nii.gz", "case.json")


@dataclass(frozen=True)
class Recipe:
    """What a case is made from; an existing case of the same recipe is kept.

    Attributes:
        id: its folder, such as case_00000.
        seed: (seed of the data set, number of the case).
        spacing_mm: (z, y, x), without a label map.
        labels: the label map to paint around, or "".
        version: of the drawing.
    """

    id: str
    seed: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    labels: str = ""
    version: int = VERSION


def write_cases(
    out: str | Path, recipes: Sequence[Recipe], workers: int = 1, shown: bool = True
) -> int:
    """Writes the cases that are not there yet, each whole or not at all.

    Args:
        out: the data set's folder; made when missing.
        recipes: what to draw. The files do not depend on the order or on `workers`.
        workers: processes; each holds one case, up to 1 GB.
        shown: whether to show progress.

    Returns:
        How many were written; the others were there.

    Raises:
        InputError: the folder cannot be written, a label map is bad, or a worker died.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        missing = [recipe for recipe in recipes if not is_there(out, recipe)]
        with Progress(len(missing), "phantoms", "case", shown) as progress:
            for name in _written(out, missing, min(workers, len(missing))):
                progress.advance(name)
    except OSError as error:
        wrong = f"cannot be written: {error.strerror or error}"
        raise InputError(out, wrong, "make room or name another --out") from error
    except BrokenProcessPool:
        wrong = "a worker died, most likely for want of memory"
        raise InputError(out, wrong, "start again with fewer --workers") from None
    return len(missing)


def is_there(out: Path, recipe: Recipe) -> bool:
    """Whether a case of this recipe is complete on disk."""
    folder = out / recipe.id
    try:
        facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        same = facts["recipe"] == json.loads(json.dumps(asdict(recipe)))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and all((folder / name).is_file() for name in FILES)


def _written(out: Path, recipes: Sequence[Recipe], workers: int) -> Iterator[str]:
    if workers <= 1:
        yield from (write_case(out, recipe) for recipe in recipes)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        futures = [pool.submit(write_case, out, recipe) for recipe in recipes]
        yield from (future.result() for future in as_completed(futures))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; a worker ends when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def write_case(out: Path, recipe: Recipe) -> str:
    """Draws one case into a folder beside its place, then renames it; its id."""
    ct, labels, cysts, grid, facts = _draw(recipe)
    part = out / f".{recipe.id}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        write_image(part / "imaging.nii.gz", ct, grid)
        write_mask(part / "segmentation.nii.gz", labels, grid)
        write_mask(part / "cysts.nii.gz", cysts, grid)
        write_json(part / "case.json", {**facts, "recipe": asdict(recipe)})
        if (out / recipe.id).exists():  # of another recipe, or incomplete
            shutil.rmtree(out / recipe.id)
        os.replace(part, out / recipe.id)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return recipe.id


def _draw(recipe: Recipe):
    return draw_case(recipe.seed, recipe.spacing_mm)


def drawn_recipes(count: int, seed: int, spacing_mm) -> list[Recipe]:
    """Recipes of `count` patients, case_00000 and on."""
    spacing = tuple(float(s) for s in np.asarray(spacing_mm))
    return [Recipe(f"case_{k:05d}", (seed, k), spacing) for k in range(count)]
