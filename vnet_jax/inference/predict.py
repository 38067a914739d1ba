"""A trained network over a volume: windows in, class probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np

from vnet_jax import memory, models
from vnet_jax.ct.geometry import Grid, Volume, crop_padded
from vnet_jax.ct.intensity import scale
from vnet_jax.inference import roi
from vnet_jax.inference.averaging import add_softmax, means
from vnet_jax.inference.tiles import window_starts
from vnet_jax.models.conv import compiler_options


class Predictor:
    """A network with the settings it was trained with, compiled once.

    Every window has the same shape and a batch of one, so one program serves all
    volumes: a 16^3 volume is padded, a long one is tiled.

    Attributes:
        spacing_mm: voxel spacing of the resampled CT, before `downsample`.
        downsample: block of voxels averaged into one of the network's.
        window: (D, H, W) voxels that the network sees at once.
        module: the network.
        compiled: the program, once it was needed.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        spacing_mm: Sequence[float],
        downsample: Sequence[int],
        window: Sequence[int],
        overlap: float = 0.5,
        clip_hu: Sequence[float] = (-250.0, 250.0),
        pad_value: float = 0.0,
    ):
        self.spacing_mm = tuple(float(s) for s in spacing_mm)
        self.downsample = tuple(int(f) for f in downsample)
        self.window = tuple(int(n) for n in window)
        self.overlap = float(overlap)
        self.clip_hu = tuple(float(h) for h in clip_hu)
        self.pad_value = float(pad_value)

        self.compiled: jax.stages.Compiled | None = None
        self.module = module

    @property
    def stages(self) -> int:
        """How many predictions the network gives; the last is the result."""
        return self.module.stages

    def program(self, variables: Mapping, window: np.ndarray) -> tuple[jax.Array, ...]:
        """Class probabilities of one window; the first call compiles.

        Args:
            variables: of one member, always of the same shapes.
            window: (1, D, H, W, 1) float32, scaled.

        Returns:
            For each stage (D, H, W, C) float32.

        Raises:
            MemoryError: the compiled program takes more than is free.
        """

        def softmax(variables, window):
            logits = self.module.apply(variables, window, train=False)
            return tuple(nn.softmax(stage, axis=-1)[0] for stage in logits)

        if self.compiled is None:
            jitted = jax.jit(softmax, compiler_options=compiler_options())
            self.compiled = jitted.lower(variables, window).compile()
            memory.give_back()  # what compiling took, before the first window comes
            _check_planned(self.compiled)
        return self.compiled(variables, window)

    def box(
        self, grid: Grid, region: Grid | None
    ) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The part of a volume that is predicted: (start, shape) in its voxels.

        Args:
            grid: the volume's, after `downsample`.
            region: the foreground's box, on any grid; None for the whole volume.

        Raises:
            ValueError: a region that does not touch the volume.
        """
        if region is None:
            return (0, 0, 0), grid.shape
        touched = roi.lay_over(region, grid)
        if touched is None:
            raise ValueError(
                f"the region around {roi.centre_mm(region).round(1)} mm lies outside "
                f"the volume of shape {grid.shape}"
            )
        return roi.roi_box(*touched, self.window, grid.shape)

    def windows(self, grid: Grid, region: Grid | None) -> list[tuple[int, int, int]]:
        """First voxels of the windows over a region; more than one means tiled."""
        return window_starts(*self.box(grid, region), self.window, self.overlap)

    def softmax(
        self, variables: Mapping, image: Volume, region: Grid | None = None
    ) -> list[tuple[np.ndarray, Grid]]:
        """Class probabilities of one model; see `mean_softmax`."""
        return self.mean_softmax([variables], image, region)

    def mean_softmax(
        self, members: Iterable[Mapping], image: Volume, region: Grid | None = None
    ) -> list[tuple[np.ndarray, Grid]]:
        """Class probabilities, averaged over the members of an ensemble (paper, 5.1).

        One running sum for all members and windows; one member's variables are held
        at a time when `members` is a generator.

        Args:
            members: {"params", "batch_stats"} of each model.
            image: (D, H, W) HU, canonical, at `spacing_mm` after `downsample`.
            region: the foreground's box, on any grid; None predicts the whole volume.

        Returns:
            For each stage of the network: (D, H, W, C) float32, and the grid of the
            predicted box, which lies inside the volume.

        Raises:
            ValueError: no members, or a region outside the volume.
        """
        sums = add_softmax(self, members, image, region)
        return means(sums, image.grid)

    def input_window(self, image: Volume, start: Sequence[int]) -> np.ndarray:
        """One window as the network sees it: (1, D, H, W, 1) float32, scaled."""
        low = [max(s, 0) for s in start]
        high = [s + n for s, n in zip(start, self.window, strict=True)]
        part = image.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        beyond = [s - a for s, a in zip(start, low, strict=True)]
        scaled = scale(part, self.clip_hu)
        # The pad value is one of the scaled intensities, so padding comes last.
        return crop_padded(scaled, beyond, self.window, self.pad_value)[None, ..., None]


def _check_planned(compiled: jax.stages.Compiled) -> None:
    """Refuses a program that would not fit, before it runs."""
    planned, free = compiled.memory_analysis(), memory.free_bytes()
    if planned is None or free is None:
        return
    needed = planned.temp_size_in_bytes + planned.output_size_in_bytes
    if needed > free:
        raise MemoryError(
            f"the network takes {needed / 1e9:.1f} GB beside its variables, "
            f"{free / 1e9:.1f} GB are free"
        )


def from_config(config, dtype: str | None = None) -> Predictor:
    """The predictor of a run.

    Args:
        config: the run's config (`configs/phase1.py` states the fields); only `data`,
            `sample.shape`, `overlap` and `model` are read.
        dtype: of the computation, "float32" or "bfloat16"; the config's own when None.

    Returns:
        A predictor of the configured network, without variables.

    Raises:
        ValueError: a network that cannot be made: a factory (`config.model.factory`)
            that is not on Python's path, say.
    """
    asked = {"dtype": dtype} if dtype else {}
    asked["window"] = tuple(config.sample.shape)
    return Predictor(
        models.build(**{**config.model, **asked}),
        spacing_mm=config.data.spacing_mm,
        downsample=config.data.downsample,
        window=config.sample.shape,
        overlap=config.overlap,
        clip_hu=config.data.clip_hu,
        pad_value=config.data.pad_value,
    )
