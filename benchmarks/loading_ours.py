"""Our side of loading; see `benchmarks.loading`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vnet_jax.data.augment import augment
from vnet_jax.data.cache import build_caches, root_folder
from vnet_jax.data.cases import find_cases
from vnet_jax.data.loader import Loader
from vnet_jax.data.phantom_files import drawn_recipes, write_cases
from vnet_jax.data.prepare import GridSpec
from vnet_jax.data.sampling import sample_patch, sample_roi

SPACING_MM = (3.0, 0.78162497, 0.78162497)
LABELS = ((0, 0), (1, 1), (2, 2))
SCALE = {"clip_hu": (-250.0, 250.0), "pad_value": 0.0}
STRONG = {
    "flip": (0.0, 0.0, 0.5),
    "rotation": 15.0,
    "stretch": 0.2,
    "contrast": 0.2,
    "brightness": 0.1,
    "noise": 0.05,
}  # the demo's
WAITING_STEPS = 40


class Side:
    """Answers the commands of the parent; see `benchmarks.worker`."""

    def prepare(self, folder: str, count: int) -> dict:
        """Draws phantoms of the paper's spacing and builds the caches of both phases.

        Returns:
            cases: for "patch" and "region of interest" a list of {"image", "label":
            paths of the memory-mapped arrays, "box": (start, shape) of foreground}.
        """
        root, cache = Path(folder) / "phantoms", Path(folder) / "cache"
        write_cases(root, drawn_recipes(count, 0, SPACING_MM))
        specs = [
            GridSpec(SPACING_MM, factor, LABELS) for factor in ((1, 4, 4), (1,) * 3)
        ]
        built, _ = build_caches(find_cases(root), root_folder(cache, root), specs)
        self.cached = dict(zip(("patch", "region of interest"), built, strict=True))
        return {
            "cases": {
                name: [
                    {
                        "image": str(case.image.filename),
                        "label": str(case.label.filename),
                        "box": case.header["foreground_box"],
                    }
                    for case in cases
                ]
                for name, cases in self.cached.items()
            }
        }

    def time(self, what: Mapping, batch: int) -> dict:
        """Seconds for the batches, after one to warm up."""
        loader = self._loader(what, batch, what["batches"] + 1, what["workers"])
        with loader:
            next(loader)
            began = time.perf_counter()
            for _ in loader:
                pass
            return {"seconds": time.perf_counter() - began}

    def waiting(self, shape: Sequence[int], step_s: float) -> dict:
        """The share of the time that a device of `step_s` a sample waits."""
        what = {"name": "region of interest", "shape": shape, "augmented": False}
        with self._loader(what, 1, WAITING_STEPS + 1, 2) as loader:
            next(loader)
            loader.waiting_s, began = 0.0, time.perf_counter()
            for _ in loader:
                time.sleep(step_s)
            return {"share": loader.waiting_s / (time.perf_counter() - began)}

    def _loader(self, what, batch, steps, threads) -> Loader:
        if what["name"] == "patch":
            cut = partial(sample_patch, foreground=0.5)
        else:
            cut = partial(sample_roi, foreground=1.0, jitter_mm=(12.0, 12.0, 12.0))
        changes = STRONG if what["augmented"] else {}
        sample = partial(_sample, partial(cut, shape=what["shape"], **SCALE), changes)
        cases = self.cached[what["name"]]
        shape = what["shape"]
        return Loader(cases, sample, shape, batch, 0, stop_step=steps, threads=threads)


def _sample(cut, changes, cached, rng, out):
    image, label = cut(cached, rng, out=out)
    return augment(image, label, rng, cached.grid.spacing_mm, **changes)
