"""A mask from outside on the CT's grid: corrected by hand, or another program's.

Programs store masks in other axis orders, cropped to the organ, or as float numbers;
TotalSegmentator writes one file an organ. What comes out is what inference would have
written: uint8, 0 background, 1 kidney, 2 tumour, 3 cyst, on the CT's own voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.ct.interpolate import facing
from vnet_jax.ct.labels import to_classes
from vnet_jax.ct.nifti import Scan, read_labels
from vnet_jax.ct.resample import on_grid
from vnet_jax.errors import InputError
from vnet_jax.inference.rules import BACKGROUND, CYST, KIDNEY, TUMOUR

#: What --labels may name.
CLASSES = {
    "background": BACKGROUND,
    "kidney": KIDNEY,
    "tumour": TUMOUR,
    "tumor": TUMOUR,
    "cyst": CYST,
}
#: A folder with a mask for each organ: the later go before the earlier.
ORGANS = {
    "kidney_left": KIDNEY,
    "kidney_right": KIDNEY,
    "kidney_cyst_left": CYST,
    "kidney_cyst_right": CYST,
    "tumor": TUMOUR,
    "tumour": TUMOUR,
    "kidney_tumor": TUMOUR,
    "kidney_tumour": TUMOUR,
}
ENDINGS = (".nii.gz", ".nii")
#: Voxels; a mask whose voxels lie nearer than this to the CT's is on its voxels. Some
#: programs round origins to hundredths of a mm.
SAME_VOXELS = 0.05


@dataclass(frozen=True)
class Labels:
    """Which value of a mask is which class.

    Attributes:
        classes: value -> class 0 to 3.
        complete: other values are refused, and not background.
    """

    classes: Mapping[int, int]
    complete: bool = True

    def as_dict(self) -> dict:
        """Plain types, for JSON."""
        return {str(value): kind for value, kind in sorted(self.classes.items())}


#: As inference writes them, and KiTS.
OWN = Labels({0: BACKGROUND, 1: KIDNEY, 2: TUMOUR, 3: CYST})


def parse_labels(pairs: Sequence[str] | None) -> Labels:
    """The flag --labels: ["kidney=1", "tumour=2"]; None for `OWN`.

    Raises:
        InputError: another name, a value that is no whole number, or one named twice.
    """
    if pairs is None:
        return OWN
    classes = {0: BACKGROUND}
    for pair in pairs:
        name, _, value = (part.strip() for part in pair.partition("="))
        kind = CLASSES.get(name.lower())
        if kind is None or not value.isdigit():
            raise InputError(
                None,
                f"--labels: {pair!r} is not name=value with kidney, tumour or cyst",
                "write it as kidney=1,tumour=2",
            )
        if classes.setdefault(int(value), kind) != kind:
            raise InputError(None, f"--labels: {value} is two things", "name it once")
    return Labels(classes, complete=False)


@dataclass(frozen=True, eq=False)
class Given:
    """A mask as it lies on the CT.

    Attributes:
        mask: (D, H, W) uint8, classes 0 to 3 on the CT's grid.
        facts: of the mask's file, ready for JSON.
        warnings: {"code", "text"}: what was done to it.
    """

    mask: np.ndarray
    facts: dict
    warnings: list[dict]


def organ_files(folder: Path) -> dict[Path, int]:
    """The masks of a folder with one for each organ, and their classes."""
    files = {
        folder / f"{name}{end}": kind
        for name, kind in ORGANS.items()
        for end in ENDINGS
    }
    return {file: kind for file, kind in files.items() if file.is_file()}


def read_given(path: Path, labels: Labels, ct: Scan) -> Given:
    """Reads a mask and lays it on the CT's grid.

    Args:
        path: a NIfTI file, or a folder with a mask for each organ.
        labels: which value is what; a folder needs none.
        ct: the CT.

    Raises:
        InputError: a damaged file, values that nobody named, or labels that all lie
            outside the CT.
    """
    if path.is_dir():
        scan, warnings = _organs(path)
    else:
        scan = read_labels(path)
        array, warnings = _classes(scan.volume.array, labels, path)
        scan = Scan(Volume(array, scan.volume.grid), path, scan.sha256, scan.warnings)
    warnings = [_warning("mask", text) for text in scan.warnings] + warnings
    mask, fit, moved = _laid_over(scan, ct)
    grid = scan.volume.grid
    facts = {
        "path": str(path),
        "sha256": scan.sha256,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "axis_codes": "".join(grid.axis_codes),
        "fit": fit,
    }
    return Given(mask, facts, warnings + moved)


def _organs(folder: Path) -> tuple[Scan, list[dict]]:
    """One mask of a file an organ, all on one grid."""
    files = organ_files(folder)
    if not files:
        raise InputError(
            folder,
            "holds no kidney_left.nii.gz or kidney_right.nii.gz",
            "give a mask as one NIfTI file, or a folder with one for each organ",
        )
    out, first, seen = None, None, sha256()
    for file, kind in files.items():
        organ = read_labels(file)
        if out is None:
            first, out = organ, np.zeros(organ.volume.grid.shape, np.uint8)
        if not organ.volume.grid.same_place(first.volume.grid, 0.01):
            raise InputError(file, f"lies on another grid than {first.path.name}")
        out[organ.volume.array > 0] = kind
        seen.update(f"{file.name} {organ.sha256}\n".encode())
    return Scan(Volume(out, first.volume.grid), folder, seen.hexdigest(), ()), []


def _classes(array: np.ndarray, labels: Labels, path) -> tuple[np.ndarray, list[dict]]:
    """The classes of label values, and what was taken for background."""
    unknown = sorted(set(np.unique(array).tolist()) - labels.classes.keys())
    told = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
    if unknown and labels.complete:
        raise InputError(
            path,
            f"has the label values {told}, and --labels does not say what they are",
            "name what counts, such as --labels kidney=1,tumour=2",
        )
    out = to_classes(array, labels.classes.items())
    text = f"label values {told} were taken for background"
    return out, [_warning("mask_labels", text)] if unknown else []


def _laid_over(mask: Scan, ct: Scan) -> tuple[np.ndarray, str, list[dict]]:
    """The mask on the CT's voxels, how it fits, and what that took."""
    source, grid = mask.volume, ct.volume.grid
    fit = _fit(source, grid)
    outside_ml = _outside_ml(source, grid, mask.path)
    if fit == "same":
        return source.array, fit, []
    array = on_grid(source, grid, "nearest", 0).array
    warnings = []
    if fit == "resampled":
        before, after = (
            np.count_nonzero(a) * g.voxel_ml
            for a, g in ((source.array, source.grid), (array, grid))
        )
        text = (
            f"the mask lay on other voxels {source.grid.shape} than the CT's "
            f"{grid.shape}: each took its nearest label ({before:.1f} ml became "
            f"{after:.1f} ml)"
        )
        warnings.append(_warning("mask_resampled", text))
    if outside_ml:
        text = f"{outside_ml:.1f} ml of the mask lie outside the CT and are not counted"
        warnings.append(_warning("mask_cut", text))
    return array, fit, warnings


def _fit(source: Volume, grid: Grid) -> str:
    """Same: voxel for voxel. Moved: other order or extent. Resampled: other voxels."""
    view, transform = facing(source.array, source.grid, grid)
    linear, shift = transform[:, :3], transform[:, 3]
    drift = np.abs(linear - np.eye(3)) @ np.array(view.shape)
    if max(drift.max(), np.abs(shift - np.rint(shift)).max()) > SAME_VOXELS:
        return "resampled"
    tolerance = SAME_VOXELS * min(grid.spacing_mm)
    return "same" if source.grid.same_place(grid, tolerance) else "moved"


def _outside_ml(source: Volume, grid: Grid, path) -> float:
    """How much of a mask has no voxel of the CT under it."""
    points = np.argwhere(source.array)
    if not len(points):
        return 0.0
    at = grid.to_index(source.grid.to_mm(points))
    out = (
        (at < -0.5 - SAME_VOXELS) | (at > np.array(grid.shape) - 0.5 + SAME_VOXELS)
    ).any(axis=1)
    if out.all():
        centre = source.grid.to_mm(points.mean(axis=0)).round().astype(int).tolist()
        raise InputError(
            path,
            f"its labels, around {centre} mm, lie outside the CT",
            "give the mask of this CT, with the CT's own affine",
        )
    return float(np.count_nonzero(out) * source.grid.voxel_ml)


def _warning(code: str, text: str) -> dict:
    return {"code": code, "text": text}
