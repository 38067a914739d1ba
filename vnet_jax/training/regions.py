"""Where phase 2 looks while it validates: phase 1's prediction, or the truth.

Phase 1's boxes are found once, when the run starts, and kept in its folder: a best list
means nothing when the boxes move under it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.data.cache import CachedCase, GridSpec, build_cache, root_folder
from vnet_jax.data.files import write_json
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference.ensemble import predictor_of
from vnet_jax.inference.kidneys import locate
from vnet_jax.runs.folder import RunFolder
from vnet_jax.training.validate import Target, truth_region

FILE = "validation_boxes.json"


def whole_targets(cases: Sequence[CachedCase]) -> list[Target]:
    """Phase 1: whole volumes."""
    return [Target(cached, whole=True) for cached in cases]


def truth_targets(cases: Sequence[CachedCase]) -> list[Target]:
    """Phase 2 without a phase 1: the truth's box, without jitter."""
    return [Target(cached, truth_region(cached)) for cached in cases]


def phase1_targets(
    cases: Sequence[CachedCase], phase1: str, workdir: Path, cache: str, root: str
) -> list[Target]:
    """Phase 2 after a phase 1: the box of its prediction.

    Args:
        cases: validation cases of phase 2.
        phase1: run folder of phase 1; not read again once the boxes are kept.
        workdir: run folder of phase 2, where the boxes are kept.
        cache: the folder of all caches.
        root: the data set.

    Raises:
        InputError: no such run, no phase 1, or boxes of other cases.
    """
    kept = workdir / FILE
    if not kept.is_file():
        run = open_phase1(phase1)
        boxes = _locate_all(run, cases, cache, root)
        write_json(kept, {"phase1": run.identity(1), "boxes": boxes})
    boxes = json.loads(kept.read_text(encoding="utf-8"))["boxes"]
    if set(boxes) != {cached.id for cached in cases}:
        raise InputError(
            kept, "holds the boxes of other cases", "remove it to find them anew"
        )
    return [Target(cached, _as_grid(boxes[cached.id])) for cached in cases]


def open_phase1(path: str) -> RunFolder:
    """The run folder of a phase 1.

    Raises:
        InputError: no run, no checkpoint in it, or a run of another phase.
    """
    run = RunFolder(path)
    if run.config.phase != 1:
        raise InputError(
            path, f"a run of phase {run.config.phase}", "--config.data.phase1 needs 1"
        )
    run.ensemble()
    return run


def _locate_all(
    run: RunFolder, cases: Sequence[CachedCase], cache: str, root: str
) -> dict:
    predictor = predictor_of(run)
    # The best checkpoint alone, as inference's `Segmenter` does.
    members = [run.checkpoints.variables(run.ensemble(1)[0])]
    boxes = {}
    with Progress("phase 1's boxes", len(cases), unit="case") as progress:
        for cached in _on_grid_of(run, cases, cache, root):
            region = locate(predictor, members, Volume(cached.image, cached.grid))
            boxes[cached.id] = _as_json(region)
            progress.advance()
    return boxes


def _on_grid_of(run: RunFolder, cases, cache: str, root: str) -> list[CachedCase]:
    """The cases on phase 1's grid: in the cache already where it trained on them."""
    data = run.config.data
    spec = GridSpec(data.spacing_mm, data.downsample, data.labels)
    sources = [cached.case for cached in cases]
    cached, refused = build_cache(sources, root_folder(cache, root), spec)
    if refused:
        raise refused[0]
    return cached


def _as_json(region: Grid | None) -> dict | None:
    if region is None:
        return None
    return {"shape": list(region.shape), "affine": np.asarray(region.affine).tolist()}


def _as_grid(box: dict | None) -> Grid | None:
    return box and Grid(tuple(box["shape"]), np.array(box["affine"], np.float64))
