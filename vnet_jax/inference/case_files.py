"""The files of one case: its CT read, what came of it written or found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.ct.dicom import DicomCase
from vnet_jax.ct.nifti import Scan, read_ct, stem, write_mask, write_scaled
from vnet_jax.data.files import write_json
from vnet_jax.errors import InputError
from vnet_jax.inference import html_pages, summary
from vnet_jax.inference.case import Clock, Result
from vnet_jax.inference.dicom_masks import read_study, write_case_seg, write_straight
from vnet_jax.memory import peak_bytes
from vnet_jax.reports.pictures import case_picture
from vnet_jax.runs.folder import versions
from vnet_jax.runs.sharding import device_in_use

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


def read(job: Job) -> Scan:
    """The CT of a job, NIfTI or DICOM.

    Raises:
        InputError: it cannot be read, or its DICOM-SEG could not be written.
    """
    return read_study(job.dicom, job.with_seg) if job.dicom else read_ct(job.source)


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
        "outputs": {file.name: sha256(file) for file in files},
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


def kept(job: Job, options: Mapping) -> dict | None:
    """The summary that lies there, where it is of this CT and its files are whole.

    Args:
        job: where to look.
        options: what the summary's must be.

    Returns:
        The summary; None where there is none, or one of something else.
    """
    try:
        facts = json.loads(job.beside(".json").read_text(encoding="utf-8"))
        same = (
            facts["schema"] == summary.SCHEMA
            and facts["options"] == options
            and facts["input"]["sha256"] == input_sha256(job)
            and job.mask.name in facts["outputs"]
            and all(
                sha256(job.mask.with_name(name)) == digest
                for name, digest in facts["outputs"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not ours
        return None
    return facts if same else None


def input_sha256(job: Job) -> str:
    """Of the CT: of its file; of DICOM over those of its slices."""
    return job.dicom.series().digest if job.dicom else sha256(job.source)


def sha256(path: Path) -> str:
    """Of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
