"""The loader beside PyTorch's DataLoader, both over the same cached files.

Phase 1 patches and full regions of interest, plain and augmented, with 1 and 2 threads
(ours) or worker processes (PyTorch's). In turn, so that a slow minute falls on both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker

OURS, THEIRS = "benchmarks.loading_ours", "benchmarks.loading_theirs"
CASES = 4
BATCH = 4  # samples
ROUNDS = 3
PATCH, ROI = (64, 128, 128), (80, 240, 384)  # the paper's configs
WORKERS = (1, 2)
STEP_S = 0.1  # of a device, simulated by a sleep
#: cascade, training step at the full region on an H200: docs/benchmarks.md
GPU_STEP_S = 0.141


def asked() -> list[dict]:
    """What is timed: name, shape (D, H, W), augmented, workers, batches a round."""
    return [
        {
            "name": name,
            "shape": list(shape),
            "augmented": augmented,
            "workers": workers,
            "batches": 4 if augmented else 8,
        }
        for name, shape in (("patch", PATCH), ("region of interest", ROI))
        for augmented in (False, True)
        for workers in WORKERS
    ]


def run(launcher: Launcher, scratch: Path, done: Callable[[dict], None]) -> None:
    """Times every way to load.

    Args:
        launcher: starts the workers.
        scratch: folder for phantoms and cache.
        done: is given each row: what `asked` says; samples_per_s, rival_samples_per_s,
            ratio and spread, mb_per_s, gpus (that it could feed at GPU_STEP_S a
            sample), not_run; and one row of what a step of 0.1 s waits for.
    """
    try:
        ours = launcher.ours(OURS)
        cases = ours.ask("prepare", folder=str(scratch), count=CASES)["cases"]
    except NotRun as failure:
        done({"name": "loading", "not_run": str(failure)})
        return
    theirs, reason = None, ""
    try:
        theirs = launcher.torch(THEIRS)
        theirs.ask("prepare", cases=cases)
    except NotRun as failure:
        theirs, reason = None, str(failure)
    for what in asked():
        done(row(what, *_in_turn(ours, theirs, what), reason))
    waiting = ours.ask("waiting", shape=list(ROI), step_s=STEP_S)
    done({"name": "waiting", "not_run": "", "step_s": STEP_S, **waiting})


def _in_turn(ours: Worker, theirs: Worker | None, what: Mapping) -> tuple[list, list]:
    """Samples a second of each round, of both sides."""
    rates = ([], [])
    for _ in range(ROUNDS):
        for side, found in zip((ours, theirs), rates, strict=True):
            if side is not None:
                seconds = side.ask("time", what=dict(what), batch=BATCH)["seconds"]
                found.append(what["batches"] * BATCH / seconds)
    return rates


def row(what: Mapping, ours: list[float], theirs: list[float], reason: str) -> dict:
    """The medians of the rounds, the ratio and what follows from them."""
    mine = statistics.median(ours)
    voxels = what["shape"][0] * what["shape"][1] * what["shape"][2]
    ratios = [a / b for a, b in zip(ours, theirs, strict=False)]
    rival = statistics.median(theirs) if theirs else None
    return {
        **what,
        "samples_per_s": mine,
        "rival_samples_per_s": rival,
        "ratio": mine / rival if rival else None,
        "spread": [min(ratios), max(ratios)] if ratios else None,
        "mb_per_s": mine * voxels * 5 / 1e6,  # float32 image, uint8 label
        "gpus": mine * GPU_STEP_S,
        "not_run": reason,
    }
