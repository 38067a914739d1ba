"""Trained phases as one callable, for use from Python."""

from __future__ import annotations

import numpy as np

from vnet_jax.ct.nifti import read_labels
from vnet_jax.inference.inputs import scan_from
from vnet_jax.inference.segment import Segmenter
from vnet_jax.inference.thresholds import UNTUNED, Trust, read_thresholds, trust_from
from vnet_jax.runs.bundle import open_bundle
from vnet_jax.runs.folder import TrainedRun


class Loaded:
    """A segmenter to call: see `load`."""

    def __init__(self, segmenter: Segmenter):
        self.segmenter = segmenter

    def __call__(self, ct, kidneys=None) -> tuple[np.ndarray, dict]:
        """Segments one CT.

        Args:
            ct: a path of a NIfTI or of a study of DICOM (folder or zip), a nibabel
                image, or (array of HU, 4 x 4 affine in mm, RAS+).
            kidneys: path of a kidney mask (anything > 0), in place of phase 1.

        Returns:
            uint8 mask in the input's own axes (0 background, 1 kidney, 2 tumour), and
            the summary.

        Raises:
            InputError: what cannot be segmented, with the reason.
        """
        scan = scan_from(ct)
        mask = None if kidneys is None else read_labels(kidneys)
        result = self.segmenter.segment(scan, mask)
        return result.mask, result.summary


def load(
    phase1,
    phase2=None,
    fast: bool = False,
    dtype: str = "trained",
    flips: str = "",
    thresholds=None,
) -> Loaded:
    """Loads trained phases for use from Python.

    >>> segment = load("kidney.vnet")  # doctest: +SKIP
    >>> segment = load("runs/phase1", "runs/phase2")  # doctest: +SKIP
    >>> mask, summary = segment("ct.nii.gz")  # doctest: +SKIP

    Args:
        phase1: run folder, or several that are averaged, or None where every call gives
            `kidneys`; without a phase2, a bundle of both.
        phase2: run folder, or several that are averaged.
        fast: the best checkpoint of each only.
        dtype: of `DTYPES`; "auto" is up to twice as fast on many devices.
        flips: of "x", "y" and "z", those along which phase 2 predicts mirrored too.
        thresholds: file of `bin/tune.py`: post-processing, intervals and the flag; in
            place of a bundle's own.

    Returns:
        A callable: (path | nibabel image | (array, affine)) -> (mask, summary).

    Raises:
        InputError: no such run or bundle, a bundle with a changed byte, or runs that do
            not match.
    """
    trust = UNTUNED
    if phase2 is None:
        phase1, phase2, trust = open_phases(phase1)
    several = isinstance(phase2, list | tuple)
    phase2 = phase2 if several else [phase2]
    if thresholds is not None:
        trust = read_thresholds(thresholds)
    return Loaded(Segmenter(phase1, phase2, fast, dtype, flips, trust))


def open_phases(path) -> tuple[list[TrainedRun], list[TrainedRun], Trust]:
    """Both phases of a bundle and what was tuned for them, for `Segmenter`.

    Args:
        path: the bundle.

    Raises:
        InputError: no bundle, a changed one, or thresholds that are none.
    """
    bundle = open_bundle(path)
    tuned = bundle.extra("thresholds")
    trust = UNTUNED if tuned is None else trust_from(tuned, f"{path}/thresholds.json")
    return bundle.phase1, bundle.phase2, trust
