"""A case as registration sees it: the paper's spacing, cropped, in its own frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vnet_jax.ct.boxes import roi_box
from vnet_jax.ct.geometry import Grid, Volume, bounding_box
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.data.cases import Case
from vnet_jax.data.prepare import GridSpec, prepare, read_source
from vnet_jax.errors import InputError

#: HU that the similarity sees (paper, section 2.2); what is warped is not clipped.
CLIP_HU = (-250, 250)
#: The floating image reaches this much further at each side, so that what moves inwards
#: brings tissue along and no air.
SLACK_MM = 30.0


@dataclass(frozen=True)
class Region:
    """The part of a case that is aligned.

    Attributes:
        spec: spacing and classes; no blocks are merged.
        window_vox: (z, y, x) the region of interest, or None for the whole CT.
        margin_mm: kept around the kidneys at least.
    """

    spec: GridSpec
    window_vox: tuple[int, int, int] | None
    margin_mm: float = 10.0

    def facts(self) -> dict:
        """For JSON."""
        return {
            "spacing_mm": list(self.spec.spacing_mm),
            "labels": [list(pair) for pair in self.spec.labels],
            "window_vox": self.window_vox and list(self.window_vox),
            "margin_mm": self.margin_mm,
        }

    def box(self, label: np.ndarray, slack_mm: float = 0.0):
        """(start, shape) of the box around the foreground of a (D, H, W) label map.

        Each axis is the window, or the foreground with its margin where that is longer;
        shifted to stay inside the volume, shorter only where the volume is.
        """
        if self.window_vox is None:
            return (0, 0, 0), label.shape
        start, shape = bounding_box(label > 0)
        spacing = np.array(self.spec.spacing_mm)
        least = np.array(shape) + np.ceil(2 * self.margin_mm / spacing)
        window = np.maximum(self.window_vox, least) + np.ceil(2 * slack_mm / spacing)
        return roi_box(start, shape, window.astype(int).tolist(), label.shape)


@dataclass(frozen=True, eq=False)
class Study:
    """A case's region.

    Attributes:
        id: the case's.
        image: (D, H, W) int16 HU, axes I, P, L.
        label: (D, H, W) uint8 classes.
        grid: the place of both.
        middle_vox: (3,) index of the middle of the kidneys' box.
        synthetic: whether it is a phantom.
        sha256: of the source files, by role.
    """

    id: str
    image: np.ndarray
    label: np.ndarray
    grid: Grid
    middle_vox: np.ndarray
    synthetic: bool = False
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> Grid:
        """The same voxels, mm along the array's axes from the kidneys' middle."""
        affine = np.diag([*self.grid.spacing_mm, 1.0])
        affine[:3, 3] = -self.middle_vox * self.grid.spacing_mm
        return Grid(self.grid.shape, affine)

    def clipped(self) -> np.ndarray:
        """(D, H, W) int16, what the similarity sees."""
        return np.clip(self.image, *CLIP_HU)

    def volume(self, array: np.ndarray) -> Volume:
        """An array of this study in its frame."""
        return Volume(array, self.frame)


def read_study(case: Case, region: Region, slack_mm: float = 0.0) -> Study:
    """Reads a case, resamples it and crops it.

    Args:
        case: with a label.
        region: which part.
        slack_mm: more of it at each side.

    Raises:
        InputError: a file that cannot be used, no label, or no kidney in it.
    """
    if case.label is None:
        raise InputError(case.image, "has no label", "only labelled cases are warped")
    source = read_source(case, [value for value, _ in region.spec.labels])
    on_grid = prepare(source, region.spec)
    found = bounding_box(on_grid.label > 0)
    if found is None:
        raise InputError(case.label, "labels no kidney", "leave it out of the split")
    start, shape = region.box(on_grid.label, slack_mm)
    part = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    return Study(
        id=case.id,
        image=on_grid.image[part],
        label=on_grid.label[part],
        grid=on_grid.grid.crop(start, shape),
        middle_vox=np.array(found[0]) + (np.array(found[1]) - 1) / 2 - start,
        synthetic=case.synthetic,
        sha256={role: source.sha256[role] for role in ("image", "label")},
    )


def write_study(study: Study, folder: Path, name: str) -> dict[str, Path]:
    """Writes a study for an engine, in its frame.

    Returns:
        Files by what they hold: "clipped" and "image", int16 HU, and "label", uint8.
    """
    kinds = ("clipped", "image", "label")
    files = {kind: folder / f"{name}_{kind}.nii" for kind in kinds}
    write_image(files["clipped"], study.clipped(), study.frame)
    write_image(files["image"], study.image, study.frame)
    write_mask(files["label"], study.label, study.frame)
    return files
