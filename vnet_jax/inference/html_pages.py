"""The pages beside the masks: one for each case, and one for all of the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import Scan, read_labels, stem
from vnet_jax.errors import InputError
from vnet_jax.reports.case_report import case_report
from vnet_jax.reports.cohort_report import cohort_report

#: The page of all cases, beside theirs.
COHORT = "report.html"


def refuse_same_name(jobs: Sequence) -> None:
    """No case's page may be the folder's.

    Args:
        jobs: of `batch.plan`.

    Raises:
        InputError: a case is called "report".
    """
    for job in filter(_among_others, jobs):
        if job.beside(".html").name.lower() == COHORT:
            wrong = f"its page and that of all cases would both be {COHORT}"
            raise InputError(job.source, wrong, "rename it, or pass --noreport")


def write_page(
    job, ct: Volume, mask: np.ndarray, facts: Mapping, raw: np.ndarray | None = None
) -> None:
    """Writes a case's page.

    Args:
        job: one of `batch.plan`.
        ct: (D, H, W) HU.
        mask: (D, H, W) uint8 labels on its grid.
        facts: the summary.
        raw: the mask before post-processing.
    """
    png = job.beside(".png")
    picture = png if png.is_file() else None
    back = COHORT if _among_others(job) else ""
    page = job.beside(".html")
    case_report(page, ct, mask, facts, raw=raw, picture=picture, back=back)


def write_missing(job, read: Callable[[], Scan]) -> bool:
    """Writes the page of a case that is done already, from what lies there.

    Args:
        job: one of `batch.plan`.
        read: reads its CT.

    Returns:
        Whether it was missing.

    Raises:
        InputError: the CT or the mask cannot be read.
    """
    if job.beside(".html").is_file():
        return False
    facts = json.loads(job.beside(".json").read_text(encoding="utf-8"))
    raw = job.extra("raw")
    before = read_labels(raw).volume.array if raw.name in facts["outputs"] else None
    mask = read_labels(job.mask).volume.array
    write_page(job, read().volume, mask, facts, before)
    return True


def write_cohorts(jobs: Sequence, failed: Sequence[tuple]) -> None:
    """Writes the page of all cases that lie in the folder, those of earlier runs too.

    A mask whose name the user gave stands alone.

    Args:
        jobs: of `batch.plan`.
        failed: those that failed now, each with its reason in one line.
    """
    failures = {
        stem(job.mask): {
            "case": job.name,
            "status": "failed",
            "reason": _without_folders(job, reason),
        }
        for job, reason in failed
    }
    for folder in sorted({job.mask.parent for job in filter(_among_others, jobs)}):
        found = dict(_summaries(folder)) | failures
        cases = []
        for name, facts in sorted(found.items()):
            there = name not in failures and (folder / f"{name}.html").is_file()
            cases.append((facts, f"{name}.html" if there else ""))
        cohort_report(folder / COHORT, cases)


def _among_others(job) -> bool:
    """Whether the mask is named after its case, and not by the user."""
    return job.mask.name == f"{job.name}.nii.gz"


def _summaries(folder: Path) -> Iterator[tuple[str, dict]]:
    for path in sorted(folder.glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and {"case", "schema", "status"} <= facts.keys():
            yield path.stem, facts


def _without_folders(job, reason: str) -> str:
    """A reason with the files' names alone: the page may be handed on."""
    for path in (job.source, job.kidneys, job.mask):
        if path is not None:
            reason = reason.replace(str(path), path.name)
    return reason
