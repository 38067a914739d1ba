"""One pair: aligned, warped, checked, and left on disk whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.ct.resample import AIR_HU, on_grid
from vnet_jax.data.cases import Case
from vnet_jax.data.files import write_json
from vnet_jax.registration.engines import Engine
from vnet_jax.registration.jacobian import determinant
from vnet_jax.registration.pairs import Pair
from vnet_jax.registration.programs import ProgramFailed, Usage
from vnet_jax.registration.quality import Quality, measure, refusal
from vnet_jax.registration.studies import (
    SLACK_MM,
    Region,
    Study,
    read_study,
    write_study,
)
from vnet_jax.reports import registration as report

#: In the output folder; none of them holds a case directly.
WORK, RECORDS, PICTURES = ".work", "pairs", "pictures"
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Aligned:
    """What an engine made of a pair, on the reference's grid.

    Attributes:
        moved: name of a step -> HU (float32) and label (uint8) of the floating image.
        jacobian: (D, H, W) determinant of the full transform.
        usage: of the engine, all its programs together.
    """

    moved: dict[str, Arrays]
    jacobian: np.ndarray
    usage: Usage


def align(reference: Study, floating: Study, engine: Engine, folder: Path) -> Aligned:
    """Aligns a floating study with a reference.

    Args:
        reference: whose grid the result has.
        floating: with some slack around.
        engine: does it.
        folder: empty, for its files.

    Raises:
        ProgramFailed: the engine gave up on this pair.
        InputError: it was killed.
    """
    fixed = write_study(reference, folder, "fixed")["clipped"]
    files = write_study(floating, folder, "moving")
    usage = engine.register(fixed, files["clipped"], folder)
    moved = {"floating": _before(reference, floating)}
    for step, title in (("affine", "affine"), ("full", "non-rigid")):
        arrays = []
        for kind, order, outside in (
            ("image", "linear", AIR_HU),
            ("label", "nearest", 0.0),
        ):
            out = folder / f"{step}_{kind}.nii"
            usage += engine.warp(
                fixed,
                files[kind],
                out,
                folder,
                step=step,
                order=order,
                outside=outside,
            )
            arrays.append(_read(out))
        moved[title] = (arrays[0], np.rint(arrays[1]).astype(np.uint8))
    positions = engine.positions(fixed, folder)
    jacobian = determinant(positions, reference.grid.spacing_mm)
    return Aligned(moved, jacobian, usage)


def make_pair(
    pair: Pair, cases: tuple[Case, Case], region: Region, engine: Engine, out: Path
) -> dict:
    """Makes the warped case of a pair, or says why there is none.

    The case, its picture and at last its record are written; with the record the pair
    is done.

    Args:
        pair: which.
        cases: the reference and the floating case.
        region: what of them.
        engine: aligns them.
        out: the data set's folder.

    Returns:
        The record, for JSON.

    Raises:
        InputError: a case cannot be read, or the engine was killed.
        OSError: the folder cannot be written.
    """
    folder = out / WORK / uuid.uuid4().hex[:12]
    folder.mkdir(parents=True)
    try:
        reference = read_study(cases[0], region)
        floating = read_study(cases[1], region, SLACK_MM)
        try:
            aligned = align(reference, floating, engine, folder)
        except ProgramFailed as error:
            record = _record(pair, engine, (reference, floating), reason=str(error))
        else:
            record = _judged(pair, engine, (reference, floating), aligned)
            if record["accepted"]:
                _write_case(out, folder, record, reference, aligned.moved["non-rigid"])
            _draw(out, record, reference, aligned)
        write_json(out / RECORDS / f"{pair.name}.json", record)
        return record
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _before(reference: Study, floating: Study) -> Arrays:
    """The floating study on the reference's grid, kidney middle on kidney middle."""
    image = floating.volume(floating.image)
    label = floating.volume(floating.label)
    return (
        on_grid(image, reference.frame, "linear", AIR_HU).array,
        on_grid(label, reference.frame, "nearest", 0).array,
    )


def _read(path: Path) -> np.ndarray:
    """(D, H, W) float32 of an engine's file."""
    return np.asarray(nib.load(path).dataobj, np.float32)


def _judged(pair: Pair, engine: Engine, studies, aligned: Aligned) -> dict:
    reference, floating = studies
    quality = measure(
        (reference.image, reference.label),
        list(aligned.moved.values()),
        aligned.jacobian,
        floating.label,
    )
    return _record(pair, engine, studies, quality, aligned.usage, refusal(quality))


def _record(
    pair: Pair,
    engine: Engine,
    studies: tuple[Study, Study],
    quality: Quality | None = None,
    usage: Usage | None = None,
    reason: str = "",
) -> dict:
    used = asdict(usage) if usage else {}
    return {
        "name": pair.name,
        **asdict(pair),
        "accepted": not reason,
        "reason": reason,
        "engine": engine.name,
        "version": engine.version,
        "threads": engine.threads,
        "settings": engine.settings(),
        "synthetic": any(study.synthetic for study in studies),
        "sha256": {study.id: study.sha256 for study in studies},
        "quality": quality.facts() if quality else {},
        "usage": {name: round(value, 1) for name, value in used.items()},
    }


def _write_case(out: Path, folder: Path, record: dict, reference: Study, moved) -> None:
    """The warped case in KiTS19's layout, renamed into place once it is whole."""
    part = folder / "case"
    part.mkdir()
    limits = np.iinfo(np.int16)
    image = np.rint(moved[0]).clip(limits.min, limits.max).astype(np.int16)
    write_image(part / "imaging.nii.gz", image, reference.grid)
    write_mask(part / "segmentation.nii.gz", moved[1], reference.grid)
    facts = {"synthetic": record["synthetic"], "registration": record}
    write_json(part / "case.json", facts)
    place = out / record["name"]
    if place.exists():  # of a run that was killed before it wrote the record
        shutil.rmtree(place)
    os.replace(part, place)


def _draw(out: Path, record: dict, reference: Study, aligned: Aligned) -> None:
    quality = record["quality"]
    steps = ("similarity_before", "similarity_affine", "similarity")
    gained = " to ".join(f"{quality[step]:.3f}" for step in steps)
    report.picture(
        out / PICTURES / f"{record['name']}.png",
        (Volume(reference.image, reference.grid), reference.label),
        aligned.moved,
        title=record["name"],
        subtitle=f"{record['floating']} onto {record['reference']}, "
        f"{record['engine']}; correlation {gained}",
        notice=f"refused: {record['reason']}" if record["reason"] else "",
    )
