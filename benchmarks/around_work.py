"""What surrounds the network, timed in a worker: parts alone, and a whole case."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import memory
from benchmarks.around_models import SMALL, SMALL_SPACING_MM, write_runs
from vnet_jax.ct.geometry import Volume, crop_padded, to_canonical
from vnet_jax.ct.nifti import read_ct, read_labels, write_image, write_mask
from vnet_jax.ct.resample import argmax_on_grid, block_mean, to_spacing
from vnet_jax.data.phantom import draw_case
from vnet_jax.inference import batch
from vnet_jax.inference.postprocess import clean
from vnet_jax.inference.segment import Segmenter
from vnet_jax.scores.dice import kits19

REPEATS = 3
SPACING_MM = (3.0, 0.78162497, 0.78162497)
FULL = (80, 240, 384)
ORGANS_HU = {1: 180, 2: 245}  # what the known networks tell apart
TISSUE_HU = 60  # the most elsewhere


class Side:
    """Answers the commands of the parent; see `benchmarks.worker`."""

    def open(self, folder: str, small: bool) -> dict:
        """Where the phantom is, and whether it is the small one."""
        self.folder, self.small = Path(folder), small
        return {}

    def draw(self, folder: str, small: bool) -> dict:
        """Draws the phantom that the other commands read.

        Args:
            folder: for ct.nii.gz and label.nii.gz.
            small: about 128 x 128 pixels, else 512 x 512.
        """
        self.open(folder, small)
        spacing = SMALL_SPACING_MM if small else SPACING_MM
        ct, labels, _, grid, _ = draw_case(0, spacing)
        write_image(self.folder / "ct.nii.gz", told_apart(ct, labels), grid)
        write_mask(self.folder / "label.nii.gz", labels, grid)
        return {"shape": list(grid.shape), "spacing_mm": list(grid.spacing_mm)}

    def parts(self) -> dict:
        """Seconds (medians) and high-water marks of memory of the parts."""
        return {"parts": [timed(*part) for part in self._parts()]}

    def case(self, dtype: str, checkpoints: int) -> dict:
        """A whole case, from file to file, both phases, as bin/infer.py does it.

        Args:
            dtype: of the networks' computation.
            checkpoints: of phase 2, averaged.

        Returns:
            seconds, everything with compilation; steps, seconds of each; peak_mb;
            kidney, the Dice of the mask.
        """
        folder = self.folder / f"{dtype}_{checkpoints}"
        phase1, phase2 = write_runs(folder, dtype, self.small, checkpoints)
        out = folder / "masks"
        memory.reset_high_water()
        began = time.perf_counter()
        jobs = batch.plan(self.folder / "ct.nii.gz", out)
        failed = batch.run(jobs, Segmenter(phase1, [phase2]), overwrite=True)
        seconds = time.perf_counter() - began
        if failed:
            raise RuntimeError(failed[0][1])
        facts = json.loads((out / "ct.json").read_text(encoding="utf-8"))
        truth = read_labels(self.folder / "label.nii.gz").volume.array
        mask = read_labels(out / "ct.nii.gz").volume.array
        return {
            "seconds": seconds,
            "steps": facts["timings_s"],
            "peak_mb": memory.high_water_mb(),
            "kidney": kits19(mask, truth)["kidney"],
        }

    def _parts(self) -> Iterator[tuple[str, str, Callable]]:
        """(name, of what, call) of each part."""
        path, out = self.folder / "ct.nii.gz", self.folder / "written.nii.gz"
        ct = read_ct(path).volume
        mask = read_labels(self.folder / "label.nii.gz").volume
        spacing = SMALL_SPACING_MM if self.small else SPACING_MM
        size = _size(ct)
        yield "reading", f"CT {size}, gzip", partial(read_ct, path)
        resample = partial(to_spacing, ct, spacing, "linear")
        yield "resampling", f"CT {size}", resample
        fine = resample()
        yield "block means", f"CT {_size(fine)}", partial(block_mean, fine, (1, 4, 4))
        likely = self._probabilities(mask, spacing)
        back = partial(argmax_on_grid, likely.array, likely.grid, ct.grid)
        yield "probabilities to mask", f"{_size(likely)} to {size}", back
        cleaning = partial(clean, mask.array, ct.array, ct.grid)
        yield "post-processing", f"mask {size}", cleaning
        writing = partial(write_mask, out, mask.array, ct.grid)
        yield "writing", f"mask {size}, gzip", writing

    def _probabilities(self, mask: Volume, spacing) -> SimpleNamespace:
        """An array (D, H, W, 3) float32 about the volume's middle, and its grid."""
        labels = to_canonical(to_spacing(mask, spacing, "nearest"))
        shape = SMALL[2] if self.small else FULL
        start = [(n - s) // 2 for n, s in zip(labels.array.shape, shape, strict=True)]
        inside = crop_padded(labels.array, start, shape, 0)
        array = np.eye(3, dtype=np.float32)[inside]
        return SimpleNamespace(array=array, grid=labels.grid.crop(start, shape))


def told_apart(ct: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The CT with kidneys and tumours in a range of HU of their own."""
    out = np.minimum(ct, TISSUE_HU)
    for label, hu in ORGANS_HU.items():
        out[labels == label] = hu
    return out


def timed(name: str, what: str, call: Callable) -> dict:
    """Median seconds of a part, and the high-water mark of memory meanwhile."""
    call()
    memory.reset_high_water()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return {
        "part": name,
        "what": what,
        "seconds": statistics.median(seconds),
        "peak_mb": memory.high_water_mb(),
    }


def _size(volume) -> str:
    return "x".join(map(str, volume.grid.shape))
