"""The softmax of members, windows and mirror images, averaged in one pass (paper, 5.1).

One network's variables are in memory at a time, and one running sum for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import jax
import numpy as np
from scipy.special import entr

from vnet_jax import memory
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.inference.tiles import Stitch, gaussian_weights


@dataclass
class Sums:
    """Running sums over members, windows and flips: all that an ensemble holds.

    Four bytes a voxel for each class and for the weight: 16 of them for three classes,
    118 MB a stage over the paper's region of interest; the entropy takes 8 more, 59 MB.

    Attributes:
        stages: one Stitch a stage, once there was a prediction.
        entropy: Stitch of the predictions' own entropy in the last stage, or None where
            it was not asked for.
    """

    stages: list[Stitch] = field(default_factory=list)
    entropy: Stitch | None = None


@dataclass(frozen=True)
class Passes:
    """How each member looks at a volume.

    Attributes:
        stages: how many of the network's last stages are kept; None keeps all.
        flips: axes along which windows are also predicted mirrored, alone and together:
            two axes are four passes.
        entropy: whether the entropy is summed up for the disagreement.
    """

    stages: int | None = None
    flips: tuple[int, ...] = ()
    entropy: bool = False

    def mirrored(self) -> list[tuple[int, ...]]:
        """Every set of axes to mirror, the empty one first."""
        counts = range(len(self.flips) + 1)
        return [c for n in counts for c in itertools.combinations(self.flips, n)]


#: Every stage, nothing mirrored.
PLAIN = Passes()


def add_softmax(
    predictor,
    members: Iterable[Mapping],
    image: Volume,
    region: Grid | None,
    sums: Sums | None = None,
    passes: Passes = PLAIN,
    tick: Callable[[], None] = lambda: None,
) -> Sums:
    """Adds the members' predictions to running sums, one a stage.

    Args:
        predictor: a `predict.Predictor`, the network and its settings.
        members: variables of each model; one is held at a time.
        image: (D, H, W) HU on the predictor's grid.
        region: the foreground's box, or None.
        sums: what other runs on the same grid and windows added, or None to begin.
        passes: what each member does.
        tick: is called after each pass of each member over a window.

    Returns:
        The sums; without stages where there were no members.
    """
    sums = Sums() if sums is None else sums
    box = predictor.box(image.grid, region)
    if passes.entropy and sums.entropy is None:
        sums.entropy = Stitch(*box)
    windows = predictor.windows(image.grid, region)
    weights = gaussian_weights(predictor.window)
    if len(windows) == 1:
        weights = np.ones_like(weights)  # nothing to blend
    for variables in members:
        variables = jax.device_put(variables)  # once, not again for every window
        memory.give_back()  # what reading them took, before a window takes more
        for at in windows:
            window = predictor.input_window(image, at)
            for axes in passes.mirrored():
                out = _mirrored_softmax(predictor, variables, window, passes, axes)
                _add(sums, out, box, at, weights)
                del out  # before the next pass makes its own
                tick()
        del variables  # before the generator loads the next one
        memory.give_back()  # what the program and its compilation took
    return sums


def _mirrored_softmax(
    predictor, variables, window, passes: Passes, axes
) -> list[np.ndarray]:
    """Probabilities of a window that the network sees mirrored, turned back."""
    mirrored = np.flip(window, [axis + 1 for axis in axes])  # axis 0 is the batch
    out = predictor.program(variables, np.ascontiguousarray(mirrored))
    kept = out[-passes.stages :] if passes.stages else out
    return [np.flip(np.asarray(stage), axes) for stage in kept]


def _add(sums: Sums, out, box, at, weights: np.ndarray) -> None:
    """Adds one pass over one window; its weights are the same from either end."""
    if not sums.stages:
        sums.stages = [Stitch(*box) for _ in out]
    for total, stage in zip(sums.stages, out, strict=True):
        total.add(stage, at, weights)
    if sums.entropy is not None:
        sums.entropy.add(entropy(out[-1])[..., None], at, weights)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each voxel's classes in nats: 0 where one is sure, ln C at most.

    Args:
        probabilities: (D, H, W, C) float32.

    Returns:
        (D, H, W) float32.
    """
    total = entr(probabilities[..., 0])
    for c in range(1, probabilities.shape[-1]):  # class by class: less memory
        total += entr(probabilities[..., c])
    return total


def means(sums: Sums, grid: Grid) -> list[tuple[np.ndarray, Grid]]:
    """What `add_softmax` summed up, divided; see `Predictor.mean_softmax`."""
    if not sums.stages:
        raise ValueError("an ensemble needs at least one member")
    return [
        (total.mean(), grid.crop(total.start, total.shape)) for total in sums.stages
    ]


def disagreement(sums: Sums, mean: np.ndarray) -> np.ndarray:
    """How much the predictions differ: entropy of their mean less their mean entropy.

    That is the mutual information between the class and the choice of the prediction
    (Houlsby et al., 2011; Gal, 2016): 0 where all agree, however unsure each is. The
    predictions are those of all members and flips and, where windows overlap, of all
    windows, with the weights that blend them.

    Args:
        sums: with `entropy`; spent afterwards.
        mean: (D, H, W, C) the last stage's mean probabilities.

    Returns:
        (D, H, W) float32 nats, >= 0 and at most ln C.
    """
    spread = entropy(mean)
    spread -= sums.entropy.mean()[..., 0]
    return np.maximum(spread, 0, out=spread)  # rounding alone is below
