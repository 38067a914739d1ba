"""What a training would do: found without reading a voxel or writing a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vnet_jax import memory
from vnet_jax.data.cache import GridSpec, not_cached, root_folder
from vnet_jax.data.cases import find_cases
from vnet_jax.data.extra import find_extra
from vnet_jax.data.folds import read_folds
from vnet_jax.data.loader import steps_per_epoch
from vnet_jax.data.splits import Splits, split
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs.folder import RunFolder
from vnet_jax.training import needs, setup

GB = needs.GB


def of_run(config, workdir: Path) -> dict:
    """What `fit` would do with a config.

    Args:
        config: as in `configs/phase1.py`.
        workdir: the run folder, there or not.

    Returns:
        Ready for JSON. "workdir"; "begun": whether a run is there; "step": its newest
        checkpoint; "train", "validation", "test": how many cases, as far as file names
        tell; "to_cache": how many are to be read first; "epoch_steps", "last_step";
        "batch": in words; "parameters"; "state_bytes", "least_bytes" of a device,
        "free_bytes" of it or None; "disk_bytes" that checkpoints may take.

    Raises:
        InputError: as `fit`, as far as no voxel is read.
    """
    config = setup.with_dtype(config, workdir)
    setup.check(config)
    needed = setup.needs_of(config)
    begun = run_folder.exists(workdir)
    cases = [c for c in find_cases(config.data.root) if c.label is not None]
    if not cases:
        wrong = "none of its cases has a label"
        raise InputError(config.data.root, wrong, "training needs labels")
    splits = _splits(config, workdir if begun else None, [case.id for case in cases])
    extra = find_extra(config.data.extra, [case.id for case in cases])
    more = len(splits.extra) or sum(len(one.cases) for one in extra)
    steps = steps_per_epoch(len(splits.train) + more, config.batch_size)
    data = config.data
    spec = GridSpec(data.spacing_mm, data.downsample, data.labels)
    missing = not_cached(cases, root_folder(data.cache, data.root), [spec])
    newest = RunFolder(workdir).checkpoints.steps()[-1:] if begun else []
    return {
        "workdir": str(workdir),
        "begun": begun,
        "step": newest[0] if newest else 0,
        "train": len(splits.train) + more,
        "validation": len(splits.validation),
        "test": len(splits.test),
        "to_cache": len(missing),
        "epoch_steps": steps,
        "last_step": config.epochs * steps,
        "batch": str(setup.plan_of(config)),
        "parameters": needed.parameters,
        "state_bytes": needed.state,
        "least_bytes": needed.least,
        "free_bytes": memory.free_bytes(),
        "disk_bytes": needs.most_on_disk(needed, config.keep_best),
    }


def of_end(workdir: Path) -> dict:
    """What a training left.

    Args:
        workdir: the run folder.

    Returns:
        "workdir"; "step": the newest checkpoint; "best": [{"step", "mean_dice"}], the
        best first.
    """
    with RunFolder(workdir).checkpoints as saved:
        best = [{"step": step, "mean_dice": score} for step, score in saved.best()]
        newest = saved.steps()[-1:]
    return {
        "workdir": str(workdir),
        "step": newest[0] if newest else 0,
        "best": best,
    }


def _splits(config, begun: Path | None, ids: list[str]) -> Splits:
    """The run's own split, that of frozen folds, or the one that would be drawn."""
    data = config.data
    if begun:
        return RunFolder(begun).splits
    if data.splits:
        return read_folds(data.splits).splits(data.fold)
    numbers = {"folds": data.folds, "fold": data.fold, "test": data.test}
    return split(ids, seed=config.seed, **numbers)


def lines(found: Mapping) -> list[str]:
    """`of_run` for people."""
    begun = f"goes on at step {found['step']}" if found["begun"] else "begins"
    free = found["free_bytes"]
    free = "" if free is None else f", {free / GB:.1f} GB are free"
    return [
        f"{found['workdir']}: {begun}, to step {found['last_step']} "
        f"({found['epoch_steps']} an epoch), {found['batch']}",
        f"{found['train']} cases train, {found['validation']} validate, "
        f"{found['test']} are set apart; {found['to_cache']} are to be read and cached "
        "first, which may refuse some",
        f"{found['parameters'] / 1e6:.1f} million parameters; at least "
        f"{found['least_bytes'] / GB:.1f} GB of memory a device{free}; up to "
        f"{found['disk_bytes'] / GB:.1f} GB of disk",
    ]
