"""Checkpoints: the newest step and the best ones. The only file that knows orbax.

    checkpoints/
      420/variables   parameters and running averages: all that inference reads
      420/rest        the optimiser's memory, twice the size of the parameters; where
                      `variables` has their moving average, the parameters themselves
      420/meta        step and SHA-256 of both, as JSON
      scores.json     {"420": 0.83, ...}: validated steps

Orbax writes a step beside its final name and renames it, so a killed save leaves none.
The scores stand in a file of their own because a step is saved before it is validated:
a run killed during validation, which may take hours, resumes from there.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from vnet_jax.data.files import write_json
from vnet_jax.errors import InputError
from vnet_jax.runs import hosts
from vnet_jax.runs.digest import check_shapes, digest
from vnet_jax.runs.faults import damaged, quiet_failure, tell_once, writing
from vnet_jax.runs.sharding import on_first_device

SCORES = "scores.json"
PARTS = ("variables", "rest", "meta")


class Checkpoints:
    """The checkpoints of a run; reading needs no optimiser and no network.

    Saving goes on in the background: `close` (or the `with` block) waits for it. Where
    several processes train, each has the whole state: the lead saves it for all, and
    what changes the folder does nothing in the others.
    """

    def __init__(self, path, keep_best: int = 5):
        """Looks at a folder, which need not exist yet; nothing is written.

        Args:
            path: the `checkpoints` folder of a run.
            keep_best: how many of the validated steps to keep beside the newest.
        """
        self.path = Path(path).absolute()
        self.keep_best = keep_best
        self._manager: ocp.CheckpointManager | None = None

    def steps(self) -> list[int]:
        """The whole checkpoints on disk, oldest first."""
        if not self.path.is_dir():
            return []
        return sorted(int(p.name) for p in self.path.iterdir() if p.name.isdigit())

    def scores(self) -> dict[int, float]:
        """Score of every step on disk that was validated.

        Raises:
            InputError: the file that holds them is damaged.
        """
        file = self.path / SCORES
        if not file.is_file():
            return {}
        try:
            scores = json.loads(file.read_text(encoding="utf-8"))
            return {s: float(scores[str(s)]) for s in self.steps() if str(s) in scores}
        except (OSError, ValueError, TypeError) as error:
            remedy = "copy the run anew, or remove it: then the newest counts"
            raise InputError(file, f"cannot be read ({error})", remedy) from None

    def best(self) -> list[tuple[int, float]]:
        """(step, score) of the best ones, best first; of two equal ones the later."""
        return _best(self.scores(), self.keep_best)

    def save(self, step: int, state) -> None:
        """Starts to save a step; the unscored one before it goes when it is whole.

        The state is copied before this returns, so it may be donated afterwards. A step
        that is there already is left as it is.

        Args:
            step: optimiser steps done.
            state: a pytree with the attributes `variables` and `rest`, two dictionaries
                of arrays: what inference reads, and what only training needs.

        Raises:
            InputError: the disk is full, now or while the save before was written.
        """
        if not hosts.is_lead() or step in self._writer().all_steps():
            return
        variables, rest = state.variables, state.rest
        if hosts.count() > 1:
            own = on_first_device((variables, rest))  # Orbax takes no local jax.Array
            variables, rest = jax.tree.map(np.asarray, own)
        digests = {"variables": digest(variables), "rest": digest(rest)}
        args = ocp.args.Composite(
            variables=ocp.args.StandardSave(variables),
            rest=ocp.args.StandardSave(rest),
            meta=ocp.args.JsonSave({"step": step, "sha256": digests}),
        )
        with writing(self.path):
            self._writer().save(step, args=args)

    def score(self, step: int, score: float) -> None:
        """Records the score of a saved step and removes what fell off the best list.

        Args:
            step: a step that was saved.
            score: the higher, the better.

        Raises:
            ValueError: a NaN, which has no place in an order, or a step not on disk.
        """
        if np.isnan(score):
            raise ValueError(f"the score of step {step} is not a number")
        if not hosts.is_lead():
            return
        with writing(self.path):
            self._writer().wait_until_finished()
        if step not in self.steps():
            raise ValueError(f"step {step} is not one of {self.steps()}")
        scores = self.scores() | {step: float(score)}
        kept = _kept(self.steps(), scores, self.keep_best)
        self._write_scores({k: v for k, v in scores.items() if k in kept})
        self._remove(set(self.steps()) - kept)

    def restore_latest(
        self,
        abstract,
        *,
        strict: bool = False,
        warn: Callable[[str], None] = warnings.warn,
    ) -> tuple[int, Any]:
        """Restores the newest checkpoint that is whole, and removes those after it.

        Args:
            abstract: a state of the same structure: its leaves need shape and dtype;
                its method `restored` puts step, variables and rest together.
            strict: refuse a damaged newest checkpoint instead of taking the one before.
            warn: is told about each damaged one.

        Returns:
            (step, state) with NumPy arrays as leaves.

        Raises:
            InputError: none of the checkpoints can be read, or `strict` and the newest
                cannot. Nothing is removed then.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                state = self._restore(step, abstract)
            except Exception as error:  # orbax raises what its layers raise
                line = damaged(self.path / str(step), error)
                if strict:
                    raise line from error
                warn(str(line))
                continue
            if hosts.is_lead():
                self._remove({later for later in steps if later > step})
                self._write_scores(self.scores())
            return step, state
        raise InputError(
            self.path,
            f"none of the {len(steps)} checkpoints can be read",
            "pass another --workdir to start anew",
        )

    def variables(self, step: int) -> dict:
        """Parameters and running averages of a step, as NumPy arrays.

        Args:
            step: one of `steps()`.

        Returns:
            {"params", "batch_stats"}, on whatever devices they were trained.

        Raises:
            InputError: no such checkpoint, or a damaged one.
        """
        try:
            return self._read(step, "variables")
        except Exception as error:  # orbax raises what its layers raise
            raise damaged(self.path / str(step), error) from error

    def digest(self, step: int) -> str:
        """SHA-256 of the variables of a step, as noted when it was saved.

        Raises:
            InputError: no such checkpoint, or a damaged one.
        """
        try:
            return str(self._meta(step)["sha256"]["variables"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(self.path / str(step), error) from None

    def close(self) -> None:
        """Waits until everything is on disk."""
        manager, self._manager = self._manager, None
        if manager is not None:
            with writing(self.path):
                manager.wait_until_finished()
                manager.close()

    def __enter__(self) -> Checkpoints:
        """Itself."""
        return self

    def __exit__(self, *exception) -> None:
        """Closes it."""
        self.close()

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        """Orbax's question after a save: which of these stay?

        Its own `BestN` would need the score at the time of saving.
        """
        del context
        steps = [info.step for info in checkpoints]
        kept = _kept(steps, self.scores(), self.keep_best)
        return [step in kept for step in steps]

    def _writer(self) -> ocp.CheckpointManager:
        if self._manager is None:
            tell_once()
            self.path.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.path,
                item_names=PARTS,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=self,
                    cleanup_tmp_directories=True,
                    create=False,
                    save_root_metadata=False,
                    multiprocessing_options=_alone(),
                ),
            )
        return self._manager

    def _remove(self, steps: Iterable[int]) -> None:
        for step in steps:
            # Renamed first: a half removed step must not look like a damaged one.
            gone = self.path / f".removed.{step}"
            (self.path / str(step)).rename(gone)
            shutil.rmtree(gone)
        if self._manager is not None:
            self._manager.reload()

    def _write_scores(self, scores: Mapping[int, float]) -> None:
        write_json(self.path / SCORES, {str(k): scores[k] for k in sorted(scores)})

    def _restore(self, step: int, abstract):
        variables = self._read(step, "variables", abstract.variables)
        rest = self._read(step, "rest", abstract.rest)
        return abstract.restored(np.asarray(step, np.int32), variables, rest)

    def _read(self, step: int, part: str, like=None):
        """Reads one part as NumPy arrays and compares it with its digest."""
        folder = self.path / str(step) / part
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
        tree = handler.metadata(epath.Path(folder)).tree if like is None else like
        as_numpy = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree
        )
        args = ocp.args.PyTreeRestore(item=like, restore_args=as_numpy)
        alone = dict(multiprocessing_options=_alone())
        with quiet_failure(), ocp.Checkpointer(handler, **alone) as reader:
            read = reader.restore(folder, args=args)
        if like is not None:
            check_shapes(read, like)
        if digest(read) != self._meta(step)["sha256"][part]:
            raise ValueError(f"the checksum of its {part} differs")
        return read

    def _meta(self, step: int) -> dict:
        file = self.path / str(step) / "meta/metadata"
        return json.loads(file.read_text(encoding="utf-8"))


def _alone() -> ocp.options.MultiprocessingOptions:
    """Orbax waits for no other process: a dead one must not stop a save."""
    own = hosts.index()
    return ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})


def _best(scores: Mapping[int, float], count: int) -> list[tuple[int, float]]:
    ranked = sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)
    return ranked[:count]


def _kept(steps: Sequence[int], scores: Mapping[int, float], count: int) -> set[int]:
    """The newest step and the best ones."""
    scored = {step: scores[step] for step in steps if step in scores}
    return {step for step, _ in _best(scored, count)} | {max(steps)}
