"""Figures of a data set, gathered from the headers of its cache.

They answer what the paper asks of its data: how thick are the slices (Fig. 2), what HU
have tumours and cysts (Fig. 5), and does every foreground fit the region of interest
(section 3.2)?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vnet_jax.data.cached_case import CachedCase
from vnet_jax.data.cases import Case
from vnet_jax.data.prepare import BIN_HU, HISTOGRAM_HU, KIDNEY, TUMOUR
from vnet_jax.errors import InputError

#: (z, y, x) voxels of the paper's region of interest (section 3.1).
PAPER_ROI = (80, 240, 384)


def gather(
    cases: Sequence[Case],
    cached: Sequence[CachedCase],
    refused: Sequence[InputError],
    roi_vox: Sequence[int] = PAPER_ROI,
) -> dict:
    """Gathers the figures; everything in them is ready for JSON.

    Args:
        cases: all that were found.
        cached: those that were not refused, on the finest grid.
        refused: why the others are left out.
        roi_vox: (z, y, x) of the region of interest, voxels of `spacing_mm`.

    Returns:
        counts, spacing_mm, slice_spacing_mm (by case), histograms, boxes, volumes_ml
        (by case), lists of cases to look at, refused, warnings (by case).
    """
    labelled = [c for c in cached if c.label is not None]
    with_foreground = [c for c in labelled if c.header["foreground_box"]]
    return {
        "counts": _counts(cases, cached, refused),
        "spacing_mm": _spacing(cached),
        "slice_spacing_mm": {
            c.id: round(c.header["source_spacing_mm"][0], 4) for c in cached
        },
        "histograms": _histograms(cached),
        "boxes": _boxes(with_foreground, roi_vox),
        "volumes_ml": {c.id: _volumes_ml(c) for c in labelled},
        "no_foreground": [c.id for c in labelled if not c.header["foreground_box"]],
        "no_tumour": [c.id for c in with_foreground if not _volumes_ml(c)["tumour"]],
        "cut_by_picture": [c.id for c in labelled if c.header["cut_by_picture"]],
        "refused": [
            {"path": str(error.path), "wrong": error.wrong, "remedy": error.remedy}
            for error in refused
        ],
        "warnings": {
            c.id: c.header["warnings"] for c in cached if c.header["warnings"]
        },
    }


def _counts(cases, cached, refused) -> dict[str, int]:
    return {
        "cases": len(cases),
        "labelled": sum(case.label is not None for case in cases),
        "test": sum(case.label is None for case in cases),
        "synthetic": sum(case.synthetic for case in cases),
        "cached": len(cached),
        "refused": len(refused),
    }


def _spacing(cached: Sequence[CachedCase]) -> list[float] | None:
    """(z, y, x) mm of the grid before blocks are merged."""
    return cached[0].header["spec"]["spacing_mm"] if cached else None


def _histograms(cached: Sequence[CachedCase]) -> dict:
    """Voxel counts over all cases, by tissue, with the mean HU inside the bins."""
    edges = np.arange(HISTOGRAM_HU[0], HISTOGRAM_HU[1] + 1, BIN_HU)
    middles = edges[:-1] + (BIN_HU - 1) / 2  # of the whole HU -300, ..., -291: -295.5
    counts: dict[str, np.ndarray] = {}
    for case in cached:
        for tissue, own in case.header["histograms"].items():
            counts[tissue] = counts.get(tissue, 0) + np.array(own, np.int64)
    return {
        "edges_hu": edges.tolist(),
        "counts": {tissue: n.tolist() for tissue, n in counts.items()},
        "mean_hu": {
            tissue: round(float((n * middles).sum() / n.sum()), 1)
            for tissue, n in counts.items()
            if n.sum()
        },
    }


def _boxes(cached: Sequence[CachedCase], roi_vox: Sequence[int]) -> dict:
    """Foreground boxes in voxels of the spacing, against the region of interest."""
    sizes = {c.id: _box_vox(c) for c in cached}
    larger = [
        name
        for name, size in sizes.items()
        if any(n > r for n, r in zip(size, roi_vox, strict=True))
    ]
    return {
        "roi_vox": [int(n) for n in roi_vox],
        "size_vox": sizes,
        "largest_vox": np.max(list(sizes.values()), axis=0).tolist() if sizes else None,
        "larger_than_roi": larger,
    }


def _box_vox(cached: CachedCase) -> list[int]:
    """A box of 10 blocks of 4 voxels is at most 40 voxels long."""
    size = cached.header["foreground_box"][1]
    factors = cached.header["spec"]["downsample"]
    return [n * f for n, f in zip(size, factors, strict=True)]


def _volumes_ml(cached: CachedCase) -> dict[str, float]:
    """Of the kidneys without their masses, and of the tumours; cysts are neither."""
    counts = dict(enumerate(cached.header["voxels"]))  # fewer than 3 without tumours
    return {
        name: round(counts.get(kind, 0) * cached.grid.voxel_ml, 3)
        for name, kind in (("kidney", KIDNEY), ("tumour", TUMOUR))
    }
