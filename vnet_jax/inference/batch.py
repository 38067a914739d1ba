"""The story of a folder: one mask, summary and picture a CT, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vnet_jax.ct.nifti import is_nifti_name, read_labels
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference import (
    case_files,
    each_case,
    html_pages,
    inputs,
    needs,
    summary,
)
from vnet_jax.inference.case import NOTHING, Clock, Keep
from vnet_jax.inference.case_files import Job, refuse_overwriting
from vnet_jax.inference.dicom_masks import wants_seg
from vnet_jax.inference.segment import Segmenter
from vnet_jax.reports.label_files import write_label_files


def plan(
    source,
    target,
    kidneys=None,
    names: Sequence[str] = (),
    only: Set[str] | None = None,
    series: str | None = None,
    with_seg: bool | None = None,
) -> list[Job]:
    """Finds the CTs and names what comes of each.

    Args:
        source: a NIfTI file, a folder of them, or a data set; or DICOM: a folder, a zip
            or a file.
        target: a folder, made when missing; or, for a single CT, the mask itself.
        kidneys: for a single CT its kidney mask; else a folder of masks named like
            the outputs; None for phase 1.
        names: of the cases to take, each of which is there; all by default.
        only: names of those that are wanted, there or not; None wants all.
        series: SeriesInstanceUID of the one series of DICOM to take.
        with_seg: whether to write a DICOM-SEG; None: where the CT is DICOM.

    Returns:
        The jobs, sorted by name.

    Raises:
        InputError: nothing to do, a name that no case has, a missing kidney mask, or
            an output that would replace an input or another output.
    """
    source, target = Path(source), Path(target)
    found = _chosen(inputs.find(source, series), source, names, only)
    single = source.is_file() or (len(found) == 1 and found[0].dicom is not None)
    if target.exists() and not target.is_dir() and not is_nifti_name(target):
        raise InputError(target, "neither a folder nor a NIfTI", "check --output")
    if is_nifti_name(target) and not target.is_dir():
        if not single:
            raise InputError(
                target, f"one mask for {len(found)} CTs", "name a folder as --output"
            )
        masks = [target]
    else:
        masks = [target / f"{one.name}.nii.gz" for one in found]
    jobs = [
        Job(
            one.name,
            one.source,
            mask,
            _kidneys_of(kidneys, one.name, single),
            one.dicom,
            wants_seg(one, with_seg),
        )
        for one, mask in zip(found, masks, strict=True)
    ]
    refuse_overwriting(jobs)
    return jobs


def _chosen(
    found: list, source: Path, names: Sequence[str], only: Set[str] | None
) -> list:
    there = {one.name for one in found}
    if unknown := sorted(set(names) - there):
        raise InputError(
            source, f"has no case {', '.join(unknown[:5])}", "check --cases"
        )
    wanted = set(names) or there
    wanted = wanted if only is None else wanted & only
    if not wanted:
        raise InputError(source, "none of its cases is wanted", "check --input")
    return [one for one in found if one.name in wanted]


def _kidneys_of(kidneys, name: str, single: bool) -> Path | None:
    if kidneys is None:
        return None
    kidneys = Path(kidneys)
    if kidneys.is_dir():
        found = [kidneys / f"{name}{end}" for end in (".nii.gz", ".nii")]
        return next((file for file in found if file.is_file()), found[0])
    if not single:
        raise InputError(
            kidneys, "not a folder, but --input is one", "name a folder of masks"
        )
    return kidneys


def run(
    jobs: Sequence[Job],
    segmenter: Segmenter,
    *,
    keep: Keep = NOTHING,
    overwrite: bool = False,
    strict: bool = False,
    report: bool = False,
    stream=None,
) -> list[tuple[Job, str]]:
    """Segments every case; one that fails is told and the others go on.

    Args:
        jobs: from `plan`.
        segmenter: the models.
        keep: what else is written beside each mask.
        overwrite: also the cases whose input, models and options have not changed.
        strict: stop at the first failure.
        report: also write a page for each case and one for the folder.
        stream: where progress goes; stderr by default.

    Returns:
        The cases that failed, each with its reason in one line.

    Raises:
        InputError: with `strict`, the first failure.
    """
    work = _Work(segmenter, keep, overwrite, report, needs.of_networks(segmenter))
    return each_case.run(
        "infer",
        jobs,
        partial(_one, work),
        less=needs.LESS,
        strict=strict,
        report=report,
        stream=stream,
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """What `run` was asked for, and what all cases share."""

    segmenter: Segmenter
    keep: Keep
    overwrite: bool
    report: bool
    networks: Mapping[int, int]  # bytes that each phase's takes


def _under_way(bar: Progress, name: str, began: float, step, done, total) -> None:
    """Shows the windows of a case; some take minutes on a CPU."""
    taken = tqdm.format_interval(time.monotonic() - began)
    bar.note(f"{name}: {step}, window {done}/{total}, {taken} so far")


def is_done(job: Job, segmenter: Segmenter, keep: Keep = NOTHING) -> bool:
    """Whether the same CT, models and options gave what lies there now."""
    options = _options(job, segmenter, keep)
    facts = case_files.kept(job, options)
    return facts is not None and (
        _weights(facts["models"], options) == _weights(segmenter.models, options)
    )


def _options(job: Job, segmenter: Segmenter, keep: Keep) -> dict:
    return {
        **segmenter.options,
        **{f"save_{what}": wanted for what, wanted in asdict(keep).items()},
        "kidneys_sha256": case_files.sha256(job.kidneys) if job.kidneys else None,
        "dicom_seg": job.with_seg,
    }


def _one(work: _Work, job: Job, bar: Progress) -> str:
    """Segments and writes one case; returns what to tell about it."""
    if job.kidneys and not job.kidneys.is_file():
        raise InputError(job.kidneys, "no such kidney mask", "check --kidneys")
    segmenter, keep = work.segmenter, work.keep
    if not work.overwrite and is_done(job, segmenter, keep):
        again = work.report and html_pages.write_missing(
            job, partial(case_files.read, job)
        )
        return "unchanged, its page written" if again else "unchanged, skipped"
    clock = Clock()
    with clock("read"):
        scan = case_files.read(job)
        kidneys = read_labels(job.kidneys) if job.kidneys else None
    needed = needs.of_case(segmenter, work.networks, scan.volume.grid)
    if line := needs.too_little(needed):
        bar.say(f"{job.name}: {line}")
    tell = partial(_under_way, bar, job.name, time.monotonic())
    result = segmenter.segment(scan, kidneys, keep, tell)
    options = _options(job, segmenter, keep)
    facts = {"case": job.name, **result.summary, "options": options}
    case_files.write(job, scan, result, facts, clock, work.report)
    write_label_files(job.mask.parent, segmenter.phase2.classes)
    return summary.in_one_line(facts)


def _weights(models: Mapping, options: Mapping) -> list[str]:
    """SHA-256 of the models that count: not of phase 1 where masks were given."""
    used = [] if options["kidneys_sha256"] else models["phase1"]
    return [model["sha256"] for model in [*used, *models["phase2"]]]
