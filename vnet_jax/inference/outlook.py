"""What a batch would do, and what it did: facts for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median

from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import read_grid
from vnet_jax.data.progress import duration
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, followed, measured, needs
from vnet_jax.inference.case import Keep
from vnet_jax.inference.case_files import Job
from vnet_jax.inference.followed import Pair
from vnet_jax.inference.given import Labels
from vnet_jax.inference.segment import Segmenter
from vnet_jax.memory import available_memory


def of_jobs(
    jobs: Sequence[Job], segmenter: Segmenter, keep: Keep, overwrite: bool
) -> dict:
    """What `batch.run` would do; reads headers and summaries, writes nothing.

    Args:
        jobs: from `batch.plan`.
        segmenter: the models.
        keep: what else would be written.
        overwrite: also what is done.

    Returns:
        "cases": [{"case", "source", "mask", "done": it would be skipped, "shape",
        "wrong": why it cannot be read, or None}]; "seconds": of one case, the median of
        those that are done, or None; "needed_bytes" of memory for the largest CT to do;
        "available_bytes".
    """
    networks = needs.of_networks(segmenter)
    cases, needed, taken = [], 0, []
    for job in jobs:
        done = batch.is_done(job, segmenter, keep)
        if done:
            taken.append(sum(_summary(job)["timings_s"].values()))
        done = done and not overwrite
        grid, facts = _seen(job, done)
        if grid and not done:
            needed = max(needed, needs.of_case(segmenter, networks, grid))
        cases.append(facts)
    return {
        "cases": cases,
        "seconds": median(taken) if taken else None,
        "needed_bytes": needed,
        "available_bytes": available_memory(),
    }


def of_masks(jobs: Sequence[Job], labels: Labels, overwrite: bool) -> dict:
    """What `measured.run` would do; reads headers and summaries, writes nothing.

    Args:
        jobs: from `measured.plan`.
        labels: which value is what.
        overwrite: also what is done.

    Returns:
        "cases", as of `of_jobs`.
    """
    done = [not overwrite and measured.is_done(job, labels) for job in jobs]
    return {"cases": [_seen(*one)[1] for one in zip(jobs, done, strict=True)]}


def _seen(job: Job, done: bool) -> tuple[Grid | None, dict]:
    """The grid of a case, None where it cannot be read, and what is told of it."""
    grid, wrong = None, None
    try:
        grid = job.dicom.stacked().grid if job.dicom else read_grid(job.source)
    except (InputError, OSError) as error:
        wrong = str(error)
    return grid, {
        "case": job.name,
        "source": str(job.source),
        "mask": str(job.mask),
        "done": done,
        "shape": grid and list(grid.shape),
        "wrong": wrong,
    }


def of_pairs(pairs: Sequence[Pair], overwrite: bool) -> dict:
    """What `followed.run` would do; reads summaries, writes nothing.

    Args:
        pairs: from `followed.plan`.
        overwrite: also what is done.

    Returns:
        "cases": [{"case", "before", "after", "dates", "out", "done"}].
    """
    return {
        "cases": [
            {
                "case": pair.name,
                "before": str(pair.before),
                "after": str(pair.after),
                "dates": pair.dates and list(pair.dates),
                "out": str(pair.out),
                "done": not overwrite and followed.is_done(pair),
            }
            for pair in pairs
        ]
    }


def lines(found: Mapping, verb: str, past: str) -> list[str]:
    """What would be done, for people: a line a case, then the sum.

    Args:
        found: from `of_jobs`, `of_masks` or `of_pairs`.
        verb: what is done to a case, such as "segment".
        past: "segmented".
    """
    told, left = [], []
    for case in found["cases"]:
        state = "done, would be skipped" if case["done"] else f"would be {past}"
        wrong, place = case.get("wrong"), case.get("mask") or case["out"]
        told.append(f"{case['case']}: {wrong or state} -> {place}")
        left += [] if case["done"] or wrong else [case]
    line = f"{len(left)} of {len(found['cases'])} cases to {verb}"
    if "needed_bytes" not in found:
        return [*told, line]
    if found["seconds"] is not None and left:
        line += (
            f", about {duration(found['seconds'] * len(left))} as those that are done"
        )
    told.append(line)
    if left:
        told.append(
            f"about {found['needed_bytes'] / needs.GB:.1f} GB of memory, "
            f"{found['available_bytes'] / needs.GB:.1f} GB are free"
        )
    return told


def of_done(job: Job, reason: str | None) -> dict:
    """What came of one case.

    Args:
        job: the case.
        reason: why it failed, or None.

    Returns:
        {"case", "source", "mask", "summary", "failed"} and, where it did not fail, the
        summary's "status", "volumes_ml", "tumour_count", "warnings" (their codes) and
        "review".
    """
    facts = {"case": job.name, "source": str(job.source), "mask": str(job.mask)}
    if reason is not None:
        return {**facts, "failed": reason}
    found = _summary(job)
    return {
        **facts,
        "summary": str(job.beside(".json")),
        "failed": None,
        **{name: found[name] for name in ("status", "volumes_ml", "tumour_count")},
        "warnings": [warning["code"] for warning in found["warnings"]],
        "review": found["review"],
    }


def _summary(job: Job) -> dict:
    return json.loads(job.beside(".json").read_text(encoding="utf-8"))
