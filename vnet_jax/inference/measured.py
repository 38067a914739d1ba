"""The story of masks from outside: measured and reported as our own are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vnet_jax.ct.nifti import Scan
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference import case_files, each_case, html_pages, inputs, summary
from vnet_jax.inference.case import Clock, Result
from vnet_jax.inference.case_files import Job, refuse_overwriting
from vnet_jax.inference.confidence import assess
from vnet_jax.inference.given import (
    ENDINGS,
    Given,
    Labels,
    organ_files,
    read_given,
)
from vnet_jax.inference.measure import measure

#: Median HU of a kidney: without contrast about 30, at its brightest about 230.
KIDNEY_HU = (0.0, 350.0)
LESS = "close other programs, or raise the container's limit"
NOT_OURS = "a mask from outside: these networks did not draw it"


def plan(image, mask, out, names: Sequence[str] = ()) -> tuple[list[Job], list[str]]:
    """Finds the CTs and the mask of each.

    Args:
        image: a NIfTI file, a folder of them, a data set, or DICOM.
        mask: for a single CT its mask or a folder with one for each organ; else a
            folder that holds one of the two under each CT's name.
        out: a folder, made when missing.
        names: of the cases to take; all that have a mask by default.

    Returns:
        The jobs, sorted by name, `kidneys` being the mask; and the CTs without one.

    Raises:
        InputError: nothing to do, a name without a CT or a mask, or an output that
            would replace an input.
    """
    image, mask, out = Path(image), Path(mask), Path(out)
    if out.is_file():
        raise InputError(out, "no folder", "name a folder as --out")
    if not mask.exists():
        raise InputError(mask, "no such file or folder", "check --mask")
    images = [one for one in _images(image) if not names or one.name in names]
    single = len(images) == 1 and (image.is_file() or images[0].dicom is not None)
    found = {one.name: _mask_of(one.name, mask, single) for one in images}
    jobs = [
        Job(name, one.source, out / f"{name}.nii.gz", found[name], one.dicom)
        for one in images
        if found[name := one.name] is not None
    ]
    if unknown := sorted(set(names) - {job.name for job in jobs}):
        told = ", ".join(unknown[:5])
        raise InputError(mask, f"has no mask of {told}", "check --cases")
    if not jobs:
        raise InputError(
            mask, f"holds no mask of a CT in {image}", "name masks as their CTs are"
        )
    refuse_overwriting(jobs)
    return jobs, [name for name, mask in found.items() if mask is None]


def _images(image: Path) -> list[inputs.Input]:
    try:
        return inputs.find(image)
    except InputError as error:
        remedy = error.remedy.replace("--input", "--image")
        raise InputError(error.path, error.wrong, remedy) from None


def _mask_of(name: str, mask: Path, single: bool) -> Path | None:
    """The mask of a CT: a file, or a folder with one for each organ."""
    if mask.is_file():
        if not single:
            raise InputError(
                mask, "one mask, but several CTs", "name a folder of masks"
            )
        return mask
    if single and organ_files(mask):
        return mask
    places = [mask / f"{name}{end}" for end in ENDINGS]
    places += [mask / name / f"segmentation{end}" for end in ENDINGS]
    found = next((file for file in places if file.is_file()), None)
    if found is None and organ_files(mask / name):
        return mask / name
    return found


def run(
    jobs: Sequence[Job],
    labels: Labels,
    *,
    overwrite: bool = False,
    strict: bool = False,
    report: bool = False,
    stream=None,
) -> list[tuple[Job, str]]:
    """Measures every mask; one that fails is told and the others go on.

    Args:
        jobs: from `plan`.
        labels: which value is what.
        overwrite: also the cases whose CT, mask and labels have not changed.
        strict: stop at the first failure.
        report: also write a page for each case and one for the folder.
        stream: where progress goes; stderr by default.

    Returns:
        The cases that failed, each with its reason in one line.

    Raises:
        InputError: with `strict`, the first failure.
    """
    return each_case.run(
        "measure",
        jobs,
        partial(_one, labels, overwrite, report),
        less=LESS,
        strict=strict,
        report=report,
        stream=stream,
    )


def is_done(job: Job, labels: Labels) -> bool:
    """Whether the same CT, mask and labels gave what lies there now."""
    return case_files.kept(job, _options(job, labels)) is not None


def _options(job: Job, labels: Labels) -> dict:
    return {"labels": labels.as_dict(), "mask_sha256": _mask_sha256(job.kidneys)}


def _one(labels: Labels, overwrite: bool, report: bool, job: Job, bar: Progress) -> str:
    """Measures and writes one case; returns what to tell about it."""
    del bar
    if not overwrite and is_done(job, labels):
        again = report and html_pages.write_missing(job, partial(case_files.read, job))
        return "unchanged, its page written" if again else "unchanged, skipped"
    clock = Clock()
    with clock("read"):
        scan = case_files.read(job)
        given = read_given(job.kidneys, labels, scan)
    with clock("measure"):
        facts = summarise(scan, given)
    facts = {"case": job.name, **facts, "options": _options(job, labels)}
    result = Result(given.mask, {}, {}, facts, given.mask)
    case_files.write(job, scan, result, facts, clock, report)
    return summary.in_one_line(facts)


def summarise(scan: Scan, given: Given) -> dict:
    """The summary of a mask from outside, without what only networks have.

    Args:
        scan: the CT.
        given: its mask.
    """
    measured = measure(given.mask, scan.volume)
    warnings = [*given.warnings, *_misplaced(measured["kidney_median_hu"])]
    facts = summary.summarise(scan, given.mask, measured, None, (), warnings)
    return {
        **facts,
        **assess(facts, None, None, NOT_OURS),
        "mask": given.facts,
        "models": {"phase1": [], "phase2": []},
        **summary.synthetic_mark(False),
        "forward_passes": {},
        "timings_s": {},
    }


def _misplaced(median_hu: float | None) -> list[dict]:
    low, high = KIDNEY_HU
    if median_hu is None or low <= median_hu <= high:
        return []
    text = f"median HU of the kidney {median_hu:.0f}: the mask may not lie on this CT"
    return [{"code": "mask_misplaced", "text": text}]


def _mask_sha256(path: Path) -> str:
    """Of a file; of a folder, over its masks' names and digests."""
    if path.is_file():
        return case_files.sha256(path)
    seen = hashlib.sha256()
    for file in organ_files(path):
        seen.update(f"{file.name} {case_files.sha256(file)}\n".encode())
    return seen.hexdigest()
