"""From one case's files to what the cache holds of it: arrays and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume, bounding_box, to_canonical
from vnet_jax.ct.labels import to_classes
from vnet_jax.ct.nifti import Scan, check_same_grid, read_ct, read_labels
from vnet_jax.ct.resample import block_majority, block_mean, to_spacing
from vnet_jax.data.cases import Case
from vnet_jax.errors import InputError

#: HU histograms count [-300, -290), ..., [290, 300); what lies outside is not counted.
HISTOGRAM_HU = (-300, 300)
BIN_HU = 10
KIDNEY, TUMOUR = 1, 2


@dataclass(frozen=True)
class GridSpec:
    """What a cache holds: the grid it is resampled to, and the classes of its labels.

    Attributes:
        spacing_mm: (z, y, x) to resample to; 0 keeps each CT's own along that axis.
        downsample: (z, y, x) blocks of voxels to merge after that: block means of the
            image, the majority of the label.
        labels: (value in the file, class) pairs; any other value refuses the case.
    """

    spacing_mm: tuple[float, float, float]
    downsample: tuple[int, int, int] = (1, 1, 1)
    labels: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (2, 2))

    def __post_init__(self):
        """Tuples of plain numbers, so that equal specs have equal names; then check."""
        object.__setattr__(self, "spacing_mm", tuple(float(s) for s in self.spacing_mm))
        object.__setattr__(self, "downsample", tuple(int(f) for f in self.downsample))
        pairs = sorted((int(value), int(cls)) for value, cls in self.labels)
        object.__setattr__(self, "labels", tuple(pairs))
        if len(self.spacing_mm) != 3 or not all(0 <= s < 1e3 for s in self.spacing_mm):
            raise InputError(
                None,
                f"spacing {self.spacing_mm} is not 3 lengths in mm (0: the CT's own)",
            )
        if len(self.downsample) != 3 or min(self.downsample) < 1:
            raise InputError(None, f"downsample {self.downsample} is not 3 factors")
        values, classes = zip(*self.labels, strict=True)
        twice = len(set(values)) < len(values)
        if twice or min(classes) < 0 or max(classes) > 255:
            raise InputError(None, f"labels {self.labels} do not map values to classes")

    @property
    def name(self) -> str:
        """A folder name that two specs share only when they are equal."""
        spacing = "x".join(str(s) for s in self.spacing_mm)
        factors = "x".join(str(f) for f in self.downsample)
        labels = "_".join(f"{value}to{cls}" for value, cls in self.labels)
        return f"{spacing}mm-{factors}-{labels}"

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return 1 + max(cls for _, cls in self.labels)


@dataclass(frozen=True, eq=False)
class Source:
    """A case as it was read: canonical axes, its own spacing.

    Attributes:
        ct: HU.
        label: values as in the file, on the CT's grid; None for a test case.
        cysts: mask of the cysts on the same grid, or None.
        grid: the CT's grid as the file has it.
        sha256: of each file, by "image", "label", "cysts".
        warnings: what the readers said.
    """

    ct: Volume
    label: Volume | None
    cysts: Volume | None
    grid: Grid
    sha256: dict[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case on one grid of the cache.

    Attributes:
        image: (D, H, W) int16, HU.
        label: (D, H, W) uint8, classes; None for a test case.
        grid: where the voxels are.
        facts: counts and boxes for the header, ready for JSON.
    """

    image: np.ndarray
    label: np.ndarray | None
    grid: Grid
    facts: dict


def source_files(case: Case) -> dict[str, Path]:
    """The files that a cached case is made from, by role."""
    files = {"image": case.image, "label": case.label, "cysts": case.cysts}
    return {role: path for role, path in files.items() if path is not None}


def read_source(case: Case, values: Sequence[int]) -> Source:
    """Reads a case and checks that its files belong together.

    Args:
        case: which files.
        values: the label values that are allowed.

    Raises:
        InputError: a file that cannot be used, a label value outside `values`, or a
            label on another grid than the image.
    """
    scans = {"image": read_ct(case.image)}
    if case.label is not None:
        scans["label"] = read_labels(case.label, allowed=values)
    if case.cysts is not None:
        scans["cysts"] = read_labels(case.cysts)
    for scan in scans.values():
        check_same_grid(scans["image"], scan)
    canonical = {role: to_canonical(scan.volume) for role, scan in scans.items()}
    return Source(
        ct=canonical["image"],
        label=canonical.get("label"),
        cysts=canonical.get("cysts"),
        grid=scans["image"].volume.grid,
        sha256={role: scan.sha256 for role, scan in scans.items()},
        warnings=_warnings(scans),
    )


def prepare(source: Source, spec: GridSpec) -> Prepared:
    """Resamples a case to a grid: the image linearly, its label to the nearest voxel.

    Args:
        source: from `read_source`; not modified.
        spec: the grid and the classes.
    """
    ct = block_mean(to_spacing(source.ct, spec.spacing_mm, "linear"), spec.downsample)
    limits = np.iinfo(np.int16)
    image = np.rint(ct.array).clip(limits.min, limits.max).astype(np.int16)
    label = None
    facts = {"warnings": list(source.warnings)}
    if source.label is not None:
        classes = _classes(source.label, spec.labels)
        label = _on_spec(classes, spec, spec.classes)
        facts |= _label_facts(label, spec.classes) | _cut(classes.array)
    cysts = source.cysts and _on_spec(_mask(source.cysts), spec, 2)
    facts["histograms"] = _histograms(image, label, cysts)
    return Prepared(image, label, ct.grid, facts)


def _warnings(scans: dict[str, Scan]) -> tuple[str, ...]:
    return tuple(
        f"{role}: {line}" for role, scan in scans.items() for line in scan.warnings
    )


def _classes(label: Volume, pairs: Sequence[tuple[int, int]]) -> Volume:
    """Label values to classes, uint8; the reader has refused every other value."""
    return Volume(to_classes(label.array, pairs), label.grid)


def _mask(volume: Volume) -> Volume:
    return Volume((volume.array > 0).astype(np.uint8), volume.grid)


def _on_spec(volume: Volume, spec: GridSpec, classes: int) -> np.ndarray:
    """(D, H, W) uint8 on the spec's grid."""
    resampled = to_spacing(volume, spec.spacing_mm, "nearest")
    merged = block_majority(resampled, spec.downsample, classes)
    return merged.array.astype(np.uint8, copy=False)


def _label_facts(label: np.ndarray, classes: int) -> dict:
    box = bounding_box(label > 0)
    counts = np.bincount(label.ravel(), minlength=classes)
    return {
        "voxels": counts.tolist(),
        "foreground_box": box and [[int(n) for n in part] for part in box],
    }


def _cut(classes: np.ndarray) -> dict:
    """Does the foreground touch the first or last slice, so that organ is missing?"""
    return {"cut_by_picture": bool(classes[0].any() or classes[-1].any())}


def _histograms(
    image: np.ndarray, label: np.ndarray | None, cysts: np.ndarray | None
) -> dict[str, list[int]]:
    """Voxels in each bin of `BIN_HU`, by tissue."""
    tissues = {"all": histogram_hu(image)}
    if label is not None:
        tissues["kidney"] = histogram_hu(image[label == KIDNEY])
        tissues["tumour"] = histogram_hu(image[label == TUMOUR])
    if cysts is not None:
        tissues["cyst"] = histogram_hu(image[cysts > 0])
    return {tissue: counts.tolist() for tissue, counts in tissues.items()}


def histogram_hu(image: np.ndarray) -> np.ndarray:
    """Counts whole HU in bins of `BIN_HU`; exact, in one pass.

    Args:
        image: int16 of any shape, HU.

    Returns:
        (60,) int64; bin i counts low + 10 i <= HU < low + 10 (i + 1).
    """
    low, high = HISTOGRAM_HU
    counts = np.zeros(high - low + 2, np.int64)
    for part in image.reshape(image.shape[0], -1) if image.ndim > 1 else (image,):
        # One HU a count, and one count at either end for all that lies beyond.
        clipped = part.clip(low - 1, high).astype(np.int64) - (low - 1)
        counts += np.bincount(clipped, minlength=counts.size)
    return counts[1:-1].reshape(-1, BIN_HU).sum(axis=1)
