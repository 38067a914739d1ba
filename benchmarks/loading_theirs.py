"""PyTorch's side of loading: a plain Dataset and DataLoader over the same files.

As a PyTorch user would write it: memory-mapped arrays, a crop, clip and scale in NumPy,
augmentation by `affine_grid` and `grid_sample`, the default collate function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class Cases(Dataset):
    """Samples of the cached cases: image (1, d, h, w) float32, label (d, h, w)."""

    def __init__(self, cases, shape, patch: bool, augmented: bool, length: int):
        self.images = [np.load(case["image"], mmap_mode="r") for case in cases]
        self.labels = [np.load(case["label"], mmap_mode="r") for case in cases]
        self.boxes = [case["box"] for case in cases]
        self.shape, self.patch, self.augmented = shape, patch, augmented
        self.length = length

    def __len__(self):
        """Samples of all batches."""
        return self.length

    def __getitem__(self, index):
        """A random crop, around foreground as ours are."""
        rng = np.random.default_rng(index)
        case = index % len(self.images)
        image, label = self.images[case], self.labels[case]
        (first, length), size = self.boxes[case], np.array(image.shape)
        start = np.array(first) + (np.array(length) - self.shape) // 2
        if self.patch:
            start = start + rng.integers(-16, 17, 3)
        start = np.clip(start, 0, np.maximum(size - self.shape, 0))
        box = tuple(slice(a, a + n) for a, n in zip(start, self.shape, strict=True))
        x = np.clip(image[box].astype(np.float32), -250, 250) / 250
        around = [(0, n - m) for n, m in zip(self.shape, x.shape, strict=True)]
        x = torch.from_numpy(np.pad(x, around))[None]
        y = torch.from_numpy(np.pad(label[box], around))
        return augmented(x, y, rng) if self.augmented else (x, y)


def augmented(x, y, rng):
    """What ours does: mirrors left and right, turns, stretches, changes intensities."""
    if rng.random() < 0.5:
        x, y = x.flip(-1), y.flip(-1)
    turn, stretch = rng.uniform(-15, 15, 3), rng.uniform(0.8, 1.2, 3)
    matrix = np.diag(stretch)
    for axis, degrees in enumerate(turn):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        a, b = [(1, 2), (0, 2), (0, 1)][axis]
        one = np.eye(3)
        one[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        matrix = one @ matrix
    theta = torch.tensor(np.hstack([matrix, np.zeros((3, 1))]), dtype=torch.float32)
    grid = functional.affine_grid(theta[None], (1, 1, *y.shape), align_corners=False)
    turned = {"align_corners": False, "padding_mode": "zeros"}
    x = functional.grid_sample(x[None], grid, **turned)[0]
    y = y[None, None].float()
    y = functional.grid_sample(y, grid, mode="nearest", **turned)[0, 0].byte()
    x = x * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
    x = x + torch.randn_like(x) * rng.uniform(0, 0.05)
    return x.clamp(-1, 1), y


class Side:
    """Answers the commands of the parent; see `benchmarks.worker`."""

    def prepare(self, cases: Mapping) -> dict:
        """Where the cached cases are; see `benchmarks.loading_ours`."""
        self.cases = cases
        return {}

    def time(self, what: Mapping, batch: int) -> dict:
        """Seconds for the batches, after one to warm up."""
        name, length = what["name"], (what["batches"] + 1) * batch
        kind = (name == "patch", what["augmented"], length)
        data = Cases(self.cases[name], what["shape"], *kind)
        batches = iter(DataLoader(data, batch, num_workers=what["workers"]))
        next(batches)
        began = time.perf_counter()
        for _ in batches:
            pass
        return {"seconds": time.perf_counter() - began}
