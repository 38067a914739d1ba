"""What a batch would do, and what it did: facts for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median

from vnet_jax.ct.nifti import read_grid
from vnet_jax.data.progress import duration
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, needs
from vnet_jax.inference.case import Keep
from vnet_jax.inference.case_files import Job
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
        shape, wrong = None, None
        try:
            grid = job.dicom.stacked().grid if job.dicom else read_grid(job.source)
            shape = list(grid.shape)
            if not done:
                needed = max(needed, needs.of_case(segmenter, networks, grid))
        except (InputError, OSError) as error:
            wrong = str(error)
        facts = {"case": job.name, "source": str(job.source), "mask": str(job.mask)}
        cases.append({**facts, "done": done, "shape": shape, "wrong": wrong})
    return {
        "cases": cases,
        "seconds": median(taken) if taken else None,
        "needed_bytes": needed,
        "available_bytes": available_memory(),
    }


def lines(found: Mapping) -> list[str]:
    """`of_jobs` for people: a line a case, then the sum."""
    told = []
    for case in found["cases"]:
        state = "done, would be skipped" if case["done"] else "would be segmented"
        told.append(f"{case['case']}: {case['wrong'] or state} -> {case['mask']}")
    left = [case for case in found["cases"] if not case["done"] and not case["wrong"]]
    line = f"{len(left)} of {len(found['cases'])} cases to segment"
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
