"""Trained weights, wherever they lie: a run folder, a bundle, a file, two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np

from vnet_jax import models
from vnet_jax.errors import InputError
from vnet_jax.models import weights
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs.bundle import SUFFIX, is_bundle_name, open_bundle
from vnet_jax.runs.folder import RunFolder, TrainedRun
from vnet_jax.runs.weight_files import SUFFIXES, is_weights_name, read_weights

MOST_STEPS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Weights:
    """What was trained, and where it is from.

    Attributes:
        path: the run folder, the bundle, or the (first) file.
        variables: {"params", "batch_stats"}, NumPy arrays.
        network: as `models.network_of` gives it.
        in_channels: of the (first) V-Net.
        step: steps trained; 0 where unknown.
        counters: what PyTorch counts in each batch norm, by key, where the counts are
            not all `step`; else {}.
        origin: for the records: {"files": [{"name", "sha256"}, ...]} or {"run", "step",
            "sha256"}.
        synthetic: trained on synthetic CTs alone; None where unknown.
    """

    path: Path
    variables: dict
    network: dict
    in_channels: int
    step: int
    counters: dict[str, int]
    origin: dict
    synthetic: bool | None


def open_weights(path, step: int | None = None, phase: int | None = None) -> Weights:
    """Reads a run folder, a bundle or a file of weights.

    Args:
        path: one of them.
        step: of a run: another checkpoint than the best.
        phase: of a bundle, which holds both; the phase's first run is read.

    Raises:
        InputError: none of them, or one that cannot be read.
    """
    if run_folder.exists(path):
        return of_run(path, step)
    if is_bundle_name(path):
        return of_bundle(path, phase, step)
    if Path(path).is_dir() or not is_weights_name(path):
        raise InputError(
            path,
            "neither a run folder nor a file of weights",
            f"give one with a config.json, or a {', '.join((*SUFFIXES, SUFFIX))}",
        )
    return of_files([path])


def of_run(path, step: int | None = None) -> Weights:
    """Reads a checkpoint of a run.

    Args:
        path: the run folder.
        step: which checkpoint; the best by default.

    Raises:
        InputError: no run, no such checkpoint, or a damaged one.
    """
    return _of_trained(RunFolder(path), step)


def of_bundle(path, phase: int | None, step: int | None = None) -> Weights:
    """Reads a checkpoint of a bundle's phase.

    Args:
        path: the bundle.
        phase: 1 or 2.
        step: which checkpoint; the best by default.

    Raises:
        InputError: no phase given, no bundle, a changed one, or no such checkpoint.
    """
    if phase not in (1, 2):
        raise InputError(path, "holds two phases", "say which: --phase=1 or --phase=2")
    bundle = open_bundle(path)
    runs = bundle.phase1 if phase == 1 else bundle.phase2
    return _of_trained(runs[0], step)


def of_files(paths: Sequence) -> Weights:
    """Reads a state dict, or the two of a cascade, stage 1's first.

    Args:
        paths: one or two files.

    Raises:
        InputError: a file that cannot be read, holds another network or values that
            are not finite, or two that make no cascade.
    """
    paths = [Path(path) for path in paths]
    states = [_checked(path) for path in paths]
    state = states[0] if len(states) == 1 else _joined(paths, states)
    layout = weights.layout_of(state)
    step, counters = _steps(weights.counters(state))
    network = {"cascade": layout.cascade, "variant": "monai", "width": layout.width}
    network |= {"classes": layout.classes, "norm": "batch"}
    return Weights(
        path=paths[0],
        variables=weights.from_state_dict(state),
        network=network | {"activation": layout.activation},
        in_channels=layout.in_channels,
        step=step,
        counters=counters,
        origin={"files": [_named(path) for path in paths]},
        synthetic=None,
    )


def to_state_dict(found: Weights) -> dict[str, np.ndarray]:
    """The state dict of what was trained.

    Raises:
        InputError: a network that MONAI's V-Net is not.
    """
    if factory := found.network.get("factory"):
        wrong = f"a run of model.factory {factory}, which MONAI's V-Net is not"
        raise InputError(found.path, wrong, "its checkpoints are orbax's: read them so")
    for name, wanted in (("variant", "monai"), ("norm", "batch")):
        if found.network[name] != wanted:
            raise InputError(
                found.path,
                f"model.{name} is {found.network[name]}, MONAI's V-Net has {wanted}",
                f"a run with model.{name} = {wanted!r} has such weights",
            )
    return weights.to_state_dict(found.variables, found.counters or found.step)


def _of_trained(run: TrainedRun, step: int | None) -> Weights:
    step = run.ensemble(1)[0] if step is None else step
    if step not in run.checkpoints.steps():
        raise InputError(
            run.path,
            f"holds no checkpoint of step {step}",
            f"choose from {', '.join(map(str, run.checkpoints.steps()))}",
        )
    return Weights(
        path=run.path,
        variables=run.checkpoints.variables(step),
        network=models.network_of(run.config.model),
        in_channels=1,
        step=step,
        counters=run.model.get("converted_from", {}).get("counters", {}),
        origin={
            "run": str(run.path),
            "step": step,
            "sha256": run.checkpoints.digest(step),
        },
        synthetic=run.model["synthetic"],
    )


def _checked(path: Path) -> dict[str, np.ndarray]:
    """A file's state dict, of a V-Net or a cascade, with numbers in it."""
    state = read_weights(path)
    try:
        weights.layout_of(state)
    except ValueError as error:
        raise InputError(path, str(error)) from None
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise InputError(path, f"{name} holds values that are not finite")
    return state


def _joined(paths: Sequence[Path], states: Sequence[Mapping]) -> dict:
    try:
        return weights.join(*states)
    except ValueError as error:
        raise InputError(paths[1], str(error), "give stage 1 first") from None


def _steps(counters: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """The steps that all counters agree on; where they do not, 0 and the counters."""
    counts = set(counters.values())
    if len(counts) == 1 and 0 <= min(counts) <= MOST_STEPS:
        return counts.pop(), {}
    return 0, dict(counters)


def _named(path: Path) -> dict[str, str]:
    with open(path, "rb") as file:
        return {"name": path.name, "sha256": file_digest(file, "sha256").hexdigest()}
