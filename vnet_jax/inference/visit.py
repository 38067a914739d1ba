"""One date of a patient: a summary, and the mask and the CT that it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np

from vnet_jax.ct.files import is_nifti_name, stem
from vnet_jax.ct.geometry import Volume, bounding_box
from vnet_jax.ct.nifti import read_ct, read_labels
from vnet_jax.errors import InputError
from vnet_jax.inference.components import find_components
from vnet_jax.inference.given import ENDINGS
from vnet_jax.inference.rules import KIDNEY, TUMOUR
from vnet_jax.inference.summary import SCHEMA
from vnet_jax.measures.kidney import surface_mm

SIDES = ("left", "right")
MAKE = "make it with bin/infer.py or bin/measure.py"
#: What a comparison reads of a summary, and of each of its tumours.
FIELDS = (
    "case",
    "volumes_ml",
    "kidneys",
    "tumours",
    "tumour_count",
    "input",
    "outputs",
)
OF_TUMOURS = ("side", "ml", "diameter_mm", "centre_mm", "axial_diameter_mm")


@dataclass(frozen=True, eq=False)
class Visit:
    """One date.

    Attributes:
        path: of the summary.
        facts: the summary.
        mask: the mask that it was made from, or None where that is not there.
        tumours: (n listed) the components of the mask, in the summary's order: voxels
            (k, 3) of each; empty without a mask.
        ct: the CT, or None.
        warnings: what is missing.
    """

    path: Path
    facts: Mapping
    mask: Volume | None
    tumours: list[np.ndarray]
    ct: Volume | None
    warnings: list[str]

    @property
    def slices_mm(self) -> float:
        """The CT's largest spacing."""
        return float(max(self.facts["input"]["spacing_mm"]))


def summary_of(path: str | Path) -> Path:
    """The summary that is meant by its own name or by its mask's.

    Raises:
        InputError: nothing there, or a mask without a summary.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file or folder", "give a summary, x.json")
    if not is_nifti_name(path):
        return path
    beside = path.with_name(stem(path) + ".json")
    if not beside.is_file():
        raise InputError(
            path,
            f"no summary {beside.name} beside it",
            f"make one: bin/measure.py --image CT --mask {path}",
        )
    return beside


def read_summary(path: Path) -> dict:
    """A summary of infer or measure, with all that a comparison needs.

    Raises:
        InputError: no JSON, or no summary of this version.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"no JSON ({error})", MAKE) from None
    if not isinstance(facts, dict) or "schema" not in facts:
        raise InputError(path, "no summary of a mask", MAKE)
    if facts["schema"] != SCHEMA:
        wrong = f"a summary of schema {facts['schema']!r:.20}, and not {SCHEMA}"
        raise InputError(path, wrong, MAKE + " anew")
    try:
        missing = [name for name in FIELDS if name not in facts]
        missing += [n for one in facts["tumours"] for n in OF_TUMOURS if n not in one]
        missing += [n for n in SIDES if n not in facts["kidneys"]]
    except (KeyError, TypeError):
        missing = missing or ["tumours"]
    if missing:
        raise InputError(path, f"a summary without {missing[0]}", MAKE + " anew")
    return facts


def read_visit(path: str | Path) -> Visit:
    """Reads one date, with mask and CT where they can be found.

    Args:
        path: a summary, or the mask beside it.

    Raises:
        InputError: no summary, or a mask that has changed since it was measured.
    """
    path = summary_of(path)
    facts = read_summary(path)
    mask, warnings = _mask(path, facts)
    ct = None
    if mask is not None:
        ct, told = _ct(path, facts, mask)
        warnings += told
    return Visit(path, facts, mask, _tumours(path, facts, mask), ct, warnings)


def _mask(path: Path, facts: Mapping) -> tuple[Volume | None, list[str]]:
    files = [path.with_name(path.stem + end) for end in ENDINGS]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return None, [f"{path.name}: no mask {files[0].name} beside it"]
    with open(file, "rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()
    if facts["outputs"].get(file.name, digest) != digest:
        raise InputError(
            file,
            f"has changed since {path.name} was written",
            f"measure it: bin/measure.py --image CT --mask {file}",
        )
    return read_labels(file).volume, []


def _ct(path: Path, facts: Mapping, mask: Volume) -> tuple[Volume | None, list[str]]:
    """The CT where the summary says it was; a picture is not worth an error."""
    named = facts["input"].get("path")
    places = [Path(named), path.parent / named] if named else []
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        return None, [f"{path.name}: its CT {named} is not there: no picture"]
    try:
        scan = read_ct(file)
    except InputError as error:
        return None, [f"{error}: no picture"]
    if scan.sha256 != facts["input"].get("sha256"):
        return None, [
            f"{file} is another CT than {path.name} was made from: no picture"
        ]
    if not scan.volume.grid.same_place(mask.grid, 0.1):
        return None, [f"{file} has another grid than its mask: no picture"]
    return scan.volume, []


def _tumours(path: Path, facts: Mapping, mask: Volume | None) -> list[np.ndarray]:
    if mask is None:
        return []
    found = find_components(mask.array == TUMOUR)
    if len(found) != facts["tumour_count"]:
        raise InputError(
            path,
            f"tells of {facts['tumour_count']} tumours, its mask has {len(found)}",
            MAKE + " anew",
        )
    boxes = found.boxes()[: len(facts["tumours"])]
    return [
        np.argwhere(found.index[box] == i + 1)
        + found.start
        + [part.start for part in box]
        for i, box in enumerate(boxes)
    ]


def kidney_surfaces(visit: Visit) -> dict[str, np.ndarray]:
    """Side -> (n, 3) mm, the surface of its parenchyma; only sides that are there.

    A voxel is that side's whose centre is nearer: kidneys do not cross over.
    """
    mask = visit.mask
    centres = {s: k["centre_mm"] for s, k in visit.facts["kidneys"].items() if k}
    box = None if mask is None else bounding_box(mask.array == KIDNEY)
    if box is None or not centres:
        return {}
    part = tuple(slice(s, s + n) for s, n in zip(*box, strict=True))
    surface = surface_mm(mask.array[part] == KIDNEY, box[0], mask.grid)
    names = list(centres)
    apart = [np.linalg.norm(surface - centres[name], axis=1) for name in names]
    nearest = np.argmin(apart, axis=0)
    return {name: surface[nearest == i] for i, name in enumerate(names)}
