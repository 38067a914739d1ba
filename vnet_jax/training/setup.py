"""From a config to the parts of a run: its cases, its network, where it looks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import ml_collections
from flax import linen as nn

from vnet_jax import models
from vnet_jax.data import augment
from vnet_jax.data.cache import GridSpec
from vnet_jax.data.folds import read_folds
from vnet_jax.data.sampling import sample_patch, sample_roi
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.models import losses
from vnet_jax.models.conv import training_dtype
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs import hosts, sharding
from vnet_jax.runs.folder import RunFolder
from vnet_jax.training import cases as run_cases
from vnet_jax.training import needs, regions
from vnet_jax.training.cases import RunCases
from vnet_jax.training.validate import Target

REMEDY = "change it with --config.FIELD=VALUE"


def with_dtype(
    config: ml_collections.ConfigDict, workdir: Path
) -> ml_collections.ConfigDict:
    """The config with `model.dtype` "auto" made what it stands for.

    Args:
        config: as given.
        workdir: the run folder.

    Returns:
        The config itself, or a copy with the dtype of the run that is in `workdir`;
        where none is, with what this machine trains well and fast in.
    """
    if config.model.dtype != "auto":
        return config
    settled = config.copy_and_resolve_references()
    begun = run_folder.exists(workdir)
    settled.model.dtype = (
        RunFolder(workdir).config.model.dtype if begun else training_dtype()
    )
    return settled


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses a config that could not train, before anything is read.

    Raises:
        InputError: names the field and its value.
    """
    wrong = None
    classes = {cls for _, cls in config.data.labels}
    if config.phase not in (1, 2):
        wrong = f"phase is {config.phase}, not 1 or 2"
    elif not config.model.get("factory") and any(
        n < 16 or n % 16 for n in config.sample.shape
    ):
        wrong = f"sample.shape {tuple(config.sample.shape)} must be multiples of 16"
    elif not 0 <= config.ema < 1:
        wrong = f"ema is {config.ema}, not from 0 (none) to below 1"
    elif max(classes) >= config.model.classes:
        wrong = f"data.labels gives class {max(classes)} of {config.model.classes}"
    elif min(config.epochs, config.batch_size, config.device_batch) < 1:
        wrong = "epochs, batch_size and device_batch must be at least 1"
    elif min(config.eval_every, config.keep_best, config.loader_threads) < 1:
        wrong = "eval_every, keep_best and loader_threads must be at least 1"
    elif config.mesh.data < 0 or config.mesh.space < 1:
        wrong = "mesh.data must not be below 0 (all devices), mesh.space not below 1"
    if wrong:
        raise InputError(None, f"config: {wrong}", REMEDY)
    stages = module_of(config, plan_of(config)).stages
    if len(config.stage_weights) < stages:
        wrong = f"stage_weights {tuple(config.stage_weights)} for {stages} stages"
        raise InputError(None, f"config: {wrong}", REMEDY)
    loss_of(config)
    check_augment(config)
    if config.phase == 2 and config.data.phase1:
        regions.open_phase1(config.data.phase1)


def plain_sample_of(config) -> Callable:
    """Cuts a training sample out of a case: a patch (phase 1) or the ROI (phase 2)."""
    settings = dict(
        shape=config.sample.shape,
        foreground=config.sample.foreground,
        clip_hu=config.data.clip_hu,
        pad_value=config.data.pad_value,
    )
    if config.phase == 1:
        return functools.partial(sample_patch, **settings)
    return functools.partial(sample_roi, jitter_mm=config.sample.jitter_mm, **settings)


def sample_of(config) -> Callable:
    """Cuts a sample and changes it as `config.augment` says."""
    cut, changes = plain_sample_of(config), config.augment.to_dict()
    return functools.partial(_sample, cut, changes)


def _sample(cut, changes, cached, rng, out=None):
    image, label = cut(cached, rng, out=out)
    return augment.augment(image, label, rng, cached.grid.spacing_mm, **changes)


def plan_of(config) -> sharding.BatchPlan:
    """How the batch goes over the devices that are here.

    Raises:
        InputError: devices, batch and volume do not go into each other.
    """
    return sharding.plan_batch(
        config.batch_size,
        config.device_batch,
        sharding.available_devices(),
        data=config.mesh.data,
        space=config.mesh.space,
        shape=tuple(config.sample.shape),
        processes=hosts.count(),
    )


def needs_of(config) -> needs.Needs:
    """What a device must hold to train this."""
    plan = plan_of(config)
    shape = tuple(config.sample.shape)
    return needs.of_step(module_of(config, plan), plan, shape, config.ema)


def module_of(config, plan: sharding.BatchPlan | None = None) -> nn.Module:
    """The network.

    Args:
        config: `config.model` describes it.
        plan: of the devices it is trained on.

    Raises:
        InputError: a field that names no network.
    """
    placed = {"window": tuple(config.sample.shape)}
    if plan:
        placed |= {"spatially_sharded": plan.space > 1, "norm_samples": plan.held}
    try:
        return models.build(**config.model, **placed)
    except ValueError as error:
        raise InputError(
            None, f"config.model: {error}", "see docs/reference.md"
        ) from error


def loss_of(config) -> losses.Loss:
    """The loss of one stage that `config.loss` describes.

    Raises:
        InputError: a field that names no loss.
    """
    try:
        return losses.build(**config.loss, classes=config.model.classes)
    except ValueError as error:
        raise InputError(
            None, f"config.loss: {error}", "see docs/own_parts.md"
        ) from error


def check_augment(config) -> None:
    """Refuses changes of a sample that cannot be made.

    Raises:
        InputError: a field of `config.augment` that is out of its range.
    """
    try:
        augment.check(**config.augment.to_dict())
    except ValueError as error:
        wrong = f"config.augment: {error}"
        raise InputError(None, wrong, "see docs/augmentation.md") from None


def open_run(
    config, workdir: Path, synthetic: bool | None = True
) -> tuple[RunFolder, RunCases, dict]:
    """Starts a run folder, or opens the one that is there.

    Args:
        config: as in `configs/phase1.py`.
        workdir: the run folder.
        synthetic: whether the weights that a new run starts from, where there are some,
            have seen synthetic CTs alone; None where unknown.

    Returns:
        The folder, its cases, and what changed in the config since its start.

    Raises:
        InputError: no usable data, or a run that this config does not go on with.
    """
    data = config.data
    spec = GridSpec(data.spacing_mm, data.downsample, data.labels)
    where, extra = (data.root, data.cache, spec), tuple(data.extra)
    frozen = read_folds(data.splits).splits(data.fold) if data.splits else None
    if run_folder.exists(workdir):
        folder, changed = run_folder.resume(workdir, config)
        _refuse_other_split(folder, frozen, data.splits)
        return folder, run_cases.open_frozen(*where, folder.splits, extra), changed
    if frozen:
        _refuse_taught(config, frozen)
        cases = run_cases.open_frozen(*where, frozen, extra)
    else:
        numbers = {"folds": data.folds, "fold": data.fold, "test": data.test}
        cases = run_cases.open_new(*where, seed=config.seed, **numbers, extra=extra)
    folder = run_folder.create(
        workdir,
        config,
        cases.splits,
        synthetic=cases.synthetic and synthetic,
        refused=[str(error) for error in cases.refused],
    )
    return folder, cases, {}


def _refuse_other_split(folder: RunFolder, frozen: Splits | None, path: str) -> None:
    """A run keeps its split; a file that says otherwise must not look obeyed."""
    own = dataclasses.replace(folder.splits, extra=())
    if frozen and frozen != own:
        raise InputError(
            path,
            f"its fold is not the one that {folder.path} was begun with",
            "pass the file it was begun with, or another --workdir",
        )


def _refuse_taught(config, frozen: Splits) -> None:
    """Phase 1 must not know the cases that phase 2 validates on.

    Only where the folds are frozen: there the ids are those of one data set.
    """
    if config.phase == 2 and config.data.phase1:
        taught = regions.open_phase1(config.data.phase1).splits.train
        if both := sorted(set(taught) & set(frozen.validation)):
            raise InputError(
                config.data.phase1,
                f"was trained on {len(both)} cases that validate here, {both[0]} one "
                "of them",
                "pass the phase 1 of the same fold as --config.data.phase1",
            )


def targets_of(config, folder: RunFolder, cases: RunCases) -> list[Target]:
    """The validation cases, and where to look in each."""
    if config.phase == 1:
        return regions.whole_targets(cases.validation)
    if not config.data.phase1:
        return regions.truth_targets(cases.validation)
    return regions.phase1_targets(
        cases.validation,
        config.data.phase1,
        folder.path,
        config.data.cache,
        config.data.root,
    )


def boxes_of(config) -> str:
    """Where validation looks, in words."""
    if config.phase == 1:
        return "whole volumes"
    return "phase 1's boxes" if config.data.phase1 else "the truth's boxes"
