"""The trained runs behind one phase: their checkpoints, averaged (paper, 5.1)."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from flax.errors import FlaxError

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.errors import InputError
from vnet_jax.inference import predict
from vnet_jax.inference.averaging import (
    PLAIN,
    Passes,
    Sums,
    add_softmax,
    disagreement,
    means,
)
from vnet_jax.inference.fields import wrong_field
from vnet_jax.runs.folder import RunFolder, TrainedRun

#: Variables up to this size in all stay in memory from case to case. The demo's small
#: networks do (23 MB a checkpoint of its cascade); of the paper's not even one does
#: (182 MB phase 1, 365 MB the cascade): it would lie beside the next one's all along.
KEPT_BYTES = 150e6


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an ensemble says of a volume.

    Attributes:
        stages: of each stage kept (D, H, W, C) float32 mean probabilities and the grid
            of the predicted box; the network's last stage is the last.
        disagreement: (D, H, W) float32 on the last stage's grid, see
            `predict.disagreement`; None where it was not asked for.
    """

    stages: list[tuple[np.ndarray, Grid]]
    disagreement: np.ndarray | None = None


class Ensemble:
    """Checkpoints of one or several runs of one phase, on one grid.

    Attributes:
        phase: 1 or 2.
        runs: the trained runs.
        predictors: one a run, each compiled once.
    """

    def __init__(
        self,
        paths: Sequence,
        phase: int,
        members: int | None = None,
        dtype: str | None = None,
        newest: bool = False,
    ):
        """Reads the settings of the runs; variables are loaded when they are used.

        Args:
            paths: run folders, or runs of an opened bundle.
            phase: what they must have been trained as.
            members: checkpoints of each run at most, best first; all of the best by
                default.
            dtype: of the computation; each run's own when None.
            newest: the newest checkpoint of each run alone.

        Raises:
            InputError: no run folder, no checkpoint in it, a run of the other phase,
                one whose network cannot be made, or runs that predict on different
                grids.
        """
        self.phase = phase
        self.runs = [_open(path, phase) for path in paths]
        self.predictors = [predictor_of(run, dtype) for run in self.runs]
        self._chosen = (members, newest)
        self._steps = [run.ensemble(*self._chosen) for run in self.runs]
        self._kept: dict[tuple[int, int], dict] = {}
        self._kept_bytes = 0
        for run in self.runs[1:]:
            _check_alike(self.runs[0], run)

    @property
    def grid_settings(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """(spacing_mm, downsample) of the volume that `softmax` expects."""
        return self.predictors[0].spacing_mm, self.predictors[0].downsample

    @property
    def stages(self) -> int:
        """How many stages are predicted: 2 for cascades.

        A single network beside them has only a last one, so only that is averaged.
        """
        return min(predictor.stages for predictor in self.predictors)

    @property
    def classes(self) -> int:
        """Of the masks: 3, or 4 where cysts are one of their own."""
        return self.runs[0].config.model.classes

    @property
    def synthetic(self) -> bool:
        """True where one of the runs has never seen a real CT."""
        return any(run.synthetic for run in self.runs)

    def identity(self) -> list[dict]:
        """What the models are: `TrainedRun.identity` and the folder of each run."""
        return [
            {"run": str(run.path), **run.identity(*self._chosen)} for run in self.runs
        ]

    def predict(
        self,
        image: Volume,
        region: Grid | None = None,
        passes: Passes = PLAIN,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> Prediction:
        """The mean of all members' probabilities; see `Predictor.mean_softmax`.

        Every member counts the same, whichever run it is from.

        Args:
            image: HU on the grid of `grid_settings`.
            region: the foreground's box; None predicts the whole volume.
            passes: what each member does; at most `stages` stages are kept.
            tell: is told how many windows of how many are done.

        Raises:
            InputError: parameters that are not those of the run's network.
        """
        kept = min(passes.stages or self.stages, self.stages)
        passes = dataclasses.replace(passes, stages=kept)
        sums = Sums()
        windows = len(self.predictors[0].windows(image.grid, region))
        each = windows * len(passes.mirrored())
        done, total = itertools.count(1), each * sum(map(len, self._steps))
        for i, predictor in enumerate(self.predictors):
            with _fitting(self.runs[i]):
                add_softmax(
                    predictor,
                    self._variables(i),
                    image,
                    region,
                    sums,
                    passes,
                    lambda: tell(next(done), total),
                )
        stages = means(sums, image.grid)
        spread = disagreement(sums, stages[-1][0]) if passes.entropy else None
        return Prediction(stages, spread)

    def unmirrored(self, axes: Sequence[int]) -> bool:
        """Whether a run has never seen a CT mirrored along one of the axes."""
        nowhere = {"flip": (0.0, 0.0, 0.0)}
        trained = [run.config.get("augment", nowhere)["flip"] for run in self.runs]
        return not all(flip[axis] for flip in trained for axis in axes)

    def _variables(self, i: int) -> Iterator[dict]:
        """The variables of run i's members, one after the other."""
        for step in self._steps[i]:
            key = (i, step)
            if key in self._kept:
                yield self._kept[key]
                continue
            variables = self.runs[i].checkpoints.variables(step)
            size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
            if self._kept_bytes + size <= KEPT_BYTES:
                self._kept[key] = variables
                self._kept_bytes += size
            held = [variables]
            del variables  # whoever takes them may copy them to a device and let go
            yield held.pop()


def validated_by(paths: Sequence) -> set[str]:
    """The cases that every one of the runs held out to validate on."""
    held_out = [set(RunFolder(path).splits.validation) for path in paths]
    return set.intersection(*held_out)


def _open(path, phase: int) -> TrainedRun:
    run = path if isinstance(path, TrainedRun) else RunFolder(path)
    if wrong := wrong_field(run.config):
        raise InputError(run.path, wrong, "copy the run or the bundle anew")
    if run.config.phase != phase:
        raise InputError(
            run.path,
            f"a run of phase {run.config.phase}, wanted is one of phase {phase}",
            f"pass it as --phase{run.config.phase}",
        )
    return run


def predictor_of(run: TrainedRun, dtype: str | None = None) -> predict.Predictor:
    """The network of a run with its settings.

    Args:
        run: a run folder or a bundle's run.
        dtype: of the computation; the run's own when None.

    Raises:
        InputError: a network that cannot be made, the user's own (`model.factory`)
            above all: its module is imported here.
    """
    try:
        return predict.from_config(run.config, dtype)
    except (ValueError, TypeError) as error:
        remedy = "its network is the user's own: see docs/own_parts.md"
        remedy = remedy if run.config.model.get("factory") else "see docs/reference.md"
        raise InputError(run.path, f"model.{error}", remedy) from error


@contextlib.contextmanager
def _fitting(run: TrainedRun) -> Iterator[None]:
    """Parameters that are not those of the network, as one line."""
    try:
        yield
    except FlaxError as error:
        reason = str(error).splitlines()[0][:200]
        wrong = f"its parameters are not those of its network ({reason})"
        raise InputError(run.path, wrong, "copy the run or the bundle anew") from None


def _check_alike(first: TrainedRun, other: TrainedRun) -> None:
    """Runs are averaged voxel by voxel: grid, windows and classes must be the same."""
    for key in ("data.spacing_mm", "data.downsample", "sample.shape", "model.classes"):
        section, name = key.split(".")
        ours, theirs = first.config[section][name], other.config[section][name]
        if ours != theirs:
            raise InputError(
                other.path,
                f"{key} is {theirs}, that of {first.path} {ours}",
                "average runs with the same, or predict with each alone",
            )
