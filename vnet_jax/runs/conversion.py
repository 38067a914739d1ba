"""From files of weights to a run folder that inference reads, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import jax
import ml_collections
import numpy as np

from vnet_jax import models
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.sources import Weights, to_state_dict
from vnet_jax.runs.weight_files import write_weights


@dataclass(frozen=True)
class _Converted:
    """What a checkpoint is saved from; there is nothing to train on with."""

    variables: dict
    rest: dict = field(default_factory=lambda: {"none": np.zeros((), np.int32)})


def to_file(found: Weights, target) -> None:
    """Writes a state dict with MONAI's names.

    Args:
        found: of the variant "monai" with batch norm.
        target: a new file of weights.

    Raises:
        InputError: another network, a target that is there, or a full disk.
    """
    state = to_state_dict(found)
    _check_free(target)
    write_weights(target, state)


def to_run(
    found: Weights,
    target,
    config: ml_collections.ConfigDict,
    synthetic: bool = False,
) -> tuple[RunFolder, list[str]]:
    """Makes a run folder with one checkpoint.

    Args:
        found: from files.
        target: the folder to make.
        config: spacing, window and all else that no file of weights says; its `model`
            is made to fit the weights.
        synthetic: they are known to be trained on synthetic CTs alone.

    Returns:
        The run, and what was done beside copying, a line each.

    Raises:
        InputError: weights that do not fit the phase, or a target that is there.
    """
    config, told = _fitted(config, found)
    _check_free(target)
    variables, rounded = _single(found.variables)
    with Checkpoints(Path(target) / "checkpoints") as checkpoints:
        checkpoints.save(found.step, _Converted(variables))
    origin = found.origin | {"counters": found.counters}
    run = run_folder.create(
        target,
        config,
        Splits((), ()),
        synthetic=synthetic or None,
        converted_from=origin,
    )
    return run, told + rounded


def _fitted(config, found: Weights) -> tuple[ml_collections.ConfigDict, list[str]]:
    """The config with the weights' network in it, and what changed."""
    _check_phase(config, found)
    if factory := config.model.get("factory"):
        wrong = f"--config has model.factory {factory}; what is converted is a V-Net"
        raise InputError(found.path, wrong, "pass a config without one")
    config = config.copy_and_resolve_references().unlock()
    told = []
    config.init_from = ""
    # The variant first: it decides what "variant" means in the others.
    for name in ("variant", *(set(found.network) - {"variant"})):
        then, now = models.network_of(config.model)[name], found.network[name]
        if then != now:
            config.model[name] = now
            told.append(f"model.{name} was {then}, is {now} as in the weights")
    _check_builds(config, found.path)
    return config.lock(), sorted(told)


def _check_builds(config, path: Path) -> None:
    """Nothing is computed."""
    image = jax.ShapeDtypeStruct((1, 16, 16, 16, 1), np.float32)
    try:
        jax.eval_shape(models.build(**config.model).init, jax.random.key(0), image)
    except ValueError as error:
        raise InputError(path, f"no network of this package: {error}") from None


def _check_phase(config, found: Weights) -> None:
    net, path = found.network, found.path
    if found.in_channels == 1 + net["classes"] and not net["cascade"]:
        raise InputError(
            path,
            f"a V-Net with {found.in_channels} input channels: stage 2 of a cascade",
            "give stage 1's file as the first --source and this one as the second",
        )
    if found.in_channels != 1:
        wrong = f"a network for {found.in_channels} input channels; a CT has one"
        raise InputError(path, wrong, "weights for one are needed")
    if net["classes"] < 2:
        wrong = "a network with one class, for a sigmoid; here a softmax needs two"
        raise InputError(path, wrong, "weights with background as a class are needed")
    if net["cascade"] and config.phase != 2:
        raise InputError(
            path,
            f"a cascade, but --config is of phase {config.phase}",
            "pass --config=configs/phase2.py, or stage 1's weights alone",
        )


def _check_free(target) -> None:
    path = Path(target)
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken:
        raise InputError(path, "is there already", "remove it or pass another --target")


def _single(variables: dict) -> tuple[dict, list[str]]:
    """The variables in float32, and a line where that is another type."""
    found = {leaf.dtype.name for leaf in jax.tree.leaves(variables)} - {"float32"}
    told = [f"the weights were {', '.join(sorted(found))}, are float32"] * bool(found)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), variables), told
