"""The story of a folder: one mask, summary and picture a CT, whatever happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path

import jax
from tqdm import tqdm

from vnet_jax.ct.dicom import DicomCase
from vnet_jax.ct.nifti import (
    Scan,
    is_nifti_name,
    read_ct,
    read_labels,
    stem,
    write_mask,
    write_scaled,
)
from vnet_jax.data.files import write_json
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference import html_pages, inputs, needs, summary
from vnet_jax.inference.case import NOTHING, Clock, Keep, Result, Tell
from vnet_jax.inference.dicom_masks import (
    read_study,
    wants_seg,
    write_case_seg,
    write_straight,
)
from vnet_jax.inference.segment import Segmenter
from vnet_jax.memory import peak_bytes
from vnet_jax.reports.label_files import write_label_files
from vnet_jax.reports.pictures import case_picture
from vnet_jax.runs.folder import versions
from vnet_jax.runs.sharding import device_in_use

#: What ends a case but not the batch: bad input, a full disk, too little memory.
FAILURES = (InputError, OSError, MemoryError, jax.errors.JaxRuntimeError)
#: A tilted CT's mask on straight axes, for programs that know no others.
STRAIGHT = "straight"
#: What may be written beside a mask: other masks and maps of numbers.
EXTRAS = ("phase1", "stage1", "raw", "probability", "disagreement", STRAIGHT)


@dataclass(frozen=True)
class Job:
    """One CT and where what comes of it goes.

    Attributes:
        name: what the case is called.
        source: the CT; of DICOM the folder or zip, as it may be told.
        mask: the mask's path; summary and picture stand beside it.
        kidneys: another program's kidney mask, or None.
        dicom: the study, where the CT is DICOM.
        with_seg: a DICOM-SEG is written, too.
    """

    name: str
    source: Path
    mask: Path
    kidneys: Path | None = None
    dicom: DicomCase | None = None
    with_seg: bool = False

    @property
    def seg(self) -> Path:
        """The DICOM-SEG's path."""
        return self.beside("_seg.dcm")

    def beside(self, ending: str) -> Path:
        """A path beside the mask: `x.nii.gz` and ".json" give `x.json`."""
        return self.mask.with_name(stem(self.mask) + ending)

    def extra(self, name: str) -> Path:
        """What is kept beside the mask: `x_phase1.nii.gz`."""
        return self.beside(f"_{name}.nii.gz")

    def outputs(self) -> list[Path]:
        """Everything that may be written for this case."""
        ends = [self.beside(end) for end in (".json", ".png", ".html")]
        ends.append(self.seg)
        return [self.mask, *ends, *map(self.extra, EXTRAS)]


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


def refuse_overwriting(jobs: Sequence[Job]) -> None:
    """No output may take the place of an input, or of another case's output."""
    files = [file for job in jobs for file in (job.source, job.kidneys) if file]
    read = {file.resolve() for file in files}
    written: dict[Path, str] = {}
    for job in jobs:
        for path in job.outputs():
            if path.resolve() in read:
                raise InputError(
                    path, "the output would replace an input", "give another --output"
                )
            if job.dicom and job.dicom.holds(path):
                raise InputError(
                    path,
                    "the output would lie among the DICOM",
                    "give another --output",
                )
            if path in written:
                raise InputError(
                    path,
                    f"{written[path]} and {job.name} would both write it",
                    "rename one of the inputs",
                )
            written[path] = job.name


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
    stream = sys.stderr if stream is None else stream
    if report:
        html_pages.refuse_same_name(jobs)
    failed: list[tuple[Job, str]] = []
    with Progress("infer", len(jobs), unit="case", stream=stream) as bar:
        networks = needs.of_networks(segmenter)
        for job in jobs:
            try:
                tell = partial(_under_way, bar, job.name, time.monotonic())
                line = _one(
                    job, segmenter, keep, overwrite, tell, networks, bar, report
                )
            except FAILURES as error:
                if not (reason := _reason(job, error)):
                    raise
                if strict:
                    raise InputError(None, reason) from error
                failed.append((job, reason))
                line = f"failed: {reason}"
            bar.say(f"{job.name}: {line}")
            bar.advance()
    if report:
        html_pages.write_cohorts(jobs, failed)
    return failed


def read(job: Job) -> Scan:
    """The CT of a job, NIfTI or DICOM.

    Raises:
        InputError: it cannot be read, or its DICOM-SEG could not be written.
    """
    return read_study(job.dicom, job.with_seg) if job.dicom else read_ct(job.source)


def _under_way(bar: Progress, name: str, began: float, step, done, total) -> None:
    """Shows the windows of a case; some take minutes on a CPU."""
    taken = tqdm.format_interval(time.monotonic() - began)
    bar.note(f"{name}: {step}, window {done}/{total}, {taken} so far")


def is_done(job: Job, segmenter: Segmenter, keep: Keep = NOTHING) -> bool:
    """Whether the same CT, models and options gave what lies there now."""
    return _is_done(job, segmenter.models, _options(job, segmenter, keep))


def _options(job: Job, segmenter: Segmenter, keep: Keep) -> dict:
    return {
        **segmenter.options,
        **{f"save_{what}": wanted for what, wanted in asdict(keep).items()},
        "kidneys_sha256": _sha256(job.kidneys) if job.kidneys else None,
        "dicom_seg": job.with_seg,
    }


def _one(
    job: Job, segmenter, keep, overwrite, tell: Tell, networks, bar, report: bool
) -> str:
    """Segments and writes one case; returns what to tell about it."""
    if job.kidneys and not job.kidneys.is_file():
        raise InputError(job.kidneys, "no such kidney mask", "check --kidneys")
    options = _options(job, segmenter, keep)
    if not overwrite and _is_done(job, segmenter.models, options):
        again = report and html_pages.write_missing(job, partial(read, job))
        return "unchanged, its page written" if again else "unchanged, skipped"
    clock = Clock()
    with clock("read"):
        scan = read(job)
        kidneys = read_labels(job.kidneys) if job.kidneys else None
    needed = needs.of_case(segmenter, networks, scan.volume.grid)
    if line := needs.too_little(needed):
        bar.say(f"{job.name}: {line}")
    result = segmenter.segment(scan, kidneys, keep, tell)
    facts = {"case": job.name, **result.summary, "options": options}
    write(job, scan, result, facts, clock, report)
    write_label_files(job.mask.parent, segmenter.phase2.classes)
    return summary.in_one_line(facts)


def write(
    job: Job,
    scan: Scan,
    result: Result,
    facts: dict,
    clock: Clock,
    report: bool = False,
) -> None:
    """Writes what came of one case, each file whole or not at all, the summary last.

    Args:
        job: where to.
        scan: the CT.
        result: what was found.
        facts: the summary; outputs, times, device and versions are added to the file.
        clock: with the time it took to read.
        report: also write the case's page; without it an old one goes.
    """
    grid = scan.volume.grid
    job.mask.parent.mkdir(parents=True, exist_ok=True)
    with clock("write"):
        # First: headers that it cannot refer to are found here, with nothing written.
        study = job.dicom if job.with_seg else None
        also = write_case_seg(job.seg, result.mask, study)
        also += write_straight(job.extra(STRAIGHT), result.mask, grid)
        for name, mask in result.stages.items():
            write_mask(job.extra(name), mask, grid)
        for name, kept in result.maps.items():
            write_scaled(job.extra(name), kept.volumes, grid, kept.slope)
        write_mask(job.mask, result.mask, grid)
    with clock("picture"):
        case_picture(
            job.beside(".png"),
            scan.volume,
            result.mask,
            title=job.name,
            notice=facts["notice"],
        )
    extras = [*result.stages, *result.maps]
    files = [job.mask, job.beside(".png"), *map(job.extra, extras), *also]
    began = {"read": clock.seconds.pop("read"), **facts["timings_s"]}
    facts = {
        **facts,
        "outputs": {file.name: _sha256(file) for file in files},
        "timings_s": _rounded(began | clock.seconds),
        "device": device_in_use(),
        "peak_bytes": peak_bytes(),
        "versions": versions(),
    }
    with clock("report"):
        if report:
            html_pages.write_page(job, scan.volume, result.mask, facts, result.raw)
        else:
            job.beside(".html").unlink(missing_ok=True)
    facts["timings_s"] = _rounded(began | clock.seconds)
    write_json(job.beside(".json"), facts)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {step: round(s, 3) for step, s in seconds.items()}


def _is_done(job: Job, models: Mapping, options: Mapping) -> bool:
    try:
        facts = json.loads(job.beside(".json").read_text(encoding="utf-8"))
        return (
            facts["schema"] == summary.SCHEMA
            and facts["options"] == options
            and _weights(facts["models"], options) == _weights(models, options)
            and facts["input"]["sha256"] == _input_sha256(job)
            and job.mask.name in facts["outputs"]
            and all(
                _sha256(job.mask.with_name(name)) == sha256
                for name, sha256 in facts["outputs"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not ours
        return False


def _weights(models: Mapping, options: Mapping) -> list[str]:
    """SHA-256 of the models that count: not of phase 1 where masks were given."""
    used = [] if options["kidneys_sha256"] else models["phase1"]
    return [model["sha256"] for model in [*used, *models["phase2"]]]


def _input_sha256(job: Job) -> str:
    return job.dicom.series().digest if job.dicom else _sha256(job.source)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _reason(job: Job, error: Exception) -> str:
    """One line, or "" for a fault of the program; bad input tells its own."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, OSError):
        return f"{job.mask}: {text}; check the disk and its permissions"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"{job.source}: out of memory ({text}); {needs.LESS}"
    return ""
