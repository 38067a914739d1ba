"""Another training's weights as the start of a new one (`config.init_from`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from vnet_jax import models
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.sources import Weights, open_weights
from vnet_jax.training.state import TrainState

#: Must be equal; classes and a first V-Net alone have a rule of their own.
FIELDS = ("variant", "norm", "activation", "width")


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training starts.

    Attributes:
        path: the other training's run folder or file of weights.
        variables: the other's, under the new network's names.
        anew: modules whose initial values are drawn all the same, with the reason.
        origin: what the other is, for the log.
        synthetic: the other has seen synthetic CTs alone; None where unknown.
    """

    path: Path
    variables: dict
    anew: dict[tuple[str, ...], str]
    origin: dict
    synthetic: bool | None

    def facts(self) -> dict:
        """For the log's start row."""
        return self.origin | {"anew": ["/".join(module) for module in self.anew]}

    def __str__(self) -> str:
        """One line that says what is taken and what is not."""
        anew = [f"{'/'.join(module)} ({why})" for module, why in self.anew.items()]
        rest = f"; drawn anew: {', '.join(anew)}" if anew else ""
        step = f", step {self.origin['step']}" if "step" in self.origin else ""
        return f"starts from {self.path}{step}{rest}"


def open_start(config, workdir) -> Start | None:
    """Reads what `config.init_from` names.

    Args:
        config: as in `configs/phase1.py`.
        workdir: the run folder. Where it holds a checkpoint, training goes on from
            that, and `init_from` is not read.

    Returns:
        The start; None where nothing is to be read.

    Raises:
        InputError: weights that cannot be read or do not fit the config's network.
    """
    path = config.get("init_from", "")
    if not path or _has_begun(workdir):
        return None
    found = open_weights(path, phase=config.phase)
    wanted = models.network_of(config.model)
    _check(found, wanted)
    if "factory" in found.network or "factory" in wanted:
        return Start(found.path, found.variables, {}, found.origin, found.synthetic)
    variables = found.variables
    if wanted["cascade"] and not found.network["cascade"]:
        variables = {kind: {"stage1": tree} for kind, tree in variables.items()}
    anew = _drawn_anew(found.network, wanted)
    return Start(found.path, variables, anew, found.origin, found.synthetic)


def started(state: TrainState, start: Start) -> TrainState:
    """The state before the first step, with the start's values in it.

    Args:
        state: as drawn; gives the values of what is drawn anew.
        start: from `open_start`.

    Returns:
        The same with NumPy arrays as parameters, running averages of batch norm and,
        where one is kept, average of the parameters.

    Raises:
        InputError: an array that is missing or has another shape.
    """
    params = _merged(state.params, start, "params")
    stats = _merged(state.batch_stats, start, "batch_stats")
    average = jax.tree.map(np.copy, params) if state.average else {}
    return state.replace(params=params, batch_stats=stats, average=average)


def _has_begun(workdir) -> bool:
    started = run_folder.exists(workdir)
    return started and bool(RunFolder(workdir).checkpoints.steps())


def _check(found: Weights, wanted: Mapping) -> None:
    given = found.network
    if "factory" in given or "factory" in wanted:
        _check_own(found.path, given, wanted)
        return
    odd = [name for name in FIELDS if given[name] != wanted[name]]
    odd += ["cascade"] * (given["cascade"] and not wanted["cascade"])
    if odd:
        told = [f"{n} is {given[n]} there, {wanted[n]} in the config" for n in odd]
        raise InputError(
            found.path,
            f"init_from does not fit: model.{'; model.'.join(told)}",
            f"change it with --config.model.{odd[0]}={given[odd[0]]}",
        )
    if found.in_channels != 1:
        wrong = f"init_from is a V-Net for {found.in_channels} input channels"
        raise InputError(found.path, wrong, "give one for the CT alone, or a cascade")


def _check_own(path: Path, given: Mapping, wanted: Mapping) -> None:
    """Of networks of the user's own nothing is known but whether they are the same."""
    names = ("factory", "kwargs", "classes")
    if odd := [name for name in names if given.get(name) != wanted.get(name)]:
        told = f"{given.get(odd[0])!r} there, {wanted.get(odd[0])!r} in the config"
        wrong = f"init_from does not fit: model.{odd[0]} is {told}"
        raise InputError(
            path, wrong, "a network of your own starts from its like alone"
        )


def _drawn_anew(given: Mapping, wanted: Mapping) -> dict[tuple[str, ...], str]:
    """Modules of the new network that cannot take the other's values."""
    anew = {}
    if given["classes"] != wanted["classes"]:
        why = f"{given['classes']} classes there, {wanted['classes']} here"
        stages = [()] if not wanted["cascade"] else [("stage1",)]
        if given["cascade"]:
            stages.append(("stage2",))
            anew["stage2", "encoder_0"] = "reads the softmax of stage 1"
        anew |= {(*stage, "head"): why for stage in stages}
    if wanted["cascade"] and not given["cascade"]:
        anew["stage2",] = "the weights are a single V-Net's"
    return anew


def _merged(drawn: Mapping, start: Start, kind: str) -> dict:
    """One of the two trees: the start's values, but for what is drawn anew."""

    def value(path, leaf):
        names = tuple(entry.key for entry in path)
        if any(names[: len(module)] == module for module in start.anew):
            return np.array(leaf)
        given = _at(start.variables[kind], names)
        if np.shape(given) != leaf.shape:
            there = f"{'/'.join(names)} is {np.shape(given)} there"
            wrong = f"init_from: {there}, {leaf.shape} in the config's network"
            raise InputError(start.path, wrong)
        return np.array(given, leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, drawn)


def _at(tree: Mapping, names: tuple[str, ...]):
    """The array at a place; None, whose shape is (), where there is none."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree
