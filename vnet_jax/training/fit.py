"""The story of a training run: open, restore, loop, validate, save."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import ml_collections

from vnet_jax import memory
from vnet_jax.data.loader import Loader, steps_per_epoch
from vnet_jax.data.progress import Progress
from vnet_jax.inference.predict import Predictor, from_config
from vnet_jax.reports.curves import curves
from vnet_jax.runs import folder as run_folder
from vnet_jax.runs import hosts, sharding
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.log import NoLog, RunLog, cut_back, read_log
from vnet_jax.training import needs, setup
from vnet_jax.training.cases import RunCases
from vnet_jax.training.initial import Start, open_start, started
from vnet_jax.training.interrupt import Interruption
from vnet_jax.training.needs import Needs
from vnet_jax.training.programs import Programs, programs
from vnet_jax.training.report import StepReports
from vnet_jax.training.state import TrainState, learning_rate
from vnet_jax.training.validate import Target, validate


@dataclass(frozen=True, eq=False)
class Job:
    """A run, ready to go: all that does not change from step to step.

    Attributes:
        config: as in `configs/phase1.py`.
        folder: where it lives.
        cases: its cases.
        plan: how the batch goes over the devices.
        on_devices: what runs there.
        rate: the learning rate by step.
        epoch_steps: optimiser steps an epoch.
        predictor: the network as inference uses it.
        targets: the validation cases and where to look.
        boxes: where that is, in words.
        needs: what a device must hold.
    """

    config: ml_collections.ConfigDict
    folder: RunFolder
    cases: RunCases
    plan: sharding.BatchPlan
    on_devices: Programs
    rate: Callable
    epoch_steps: int
    predictor: Predictor
    targets: list[Target]
    boxes: str
    needs: Needs

    @property
    def last_step(self) -> int:
        """The step at which the run ends."""
        return self.config.epochs * self.epoch_steps

    def validates(self, step: int) -> bool:
        """Whether a step is followed by validation; the last one always is."""
        every = self.config.eval_every * self.epoch_steps
        return step > 0 and (step % every == 0 or step == self.last_step)


def fit(
    config: ml_collections.ConfigDict, workdir: str, *, strict_resume: bool = False
) -> int:
    """Trains, or goes on training, one phase.

    Args:
        config: `configs/phase1.py` states the fields.
        workdir: the run folder; where a run is in it, it goes on.
        strict_resume: refuse a damaged newest checkpoint instead of taking the one
            before.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 143 after SIGTERM (both saved), 2 where
        cases were refused and the others trained.

    Raises:
        InputError: no usable data, or a run that this config does not go on with.
        Diverged: the loss is not finite any more.
    """
    with hosts.ends_together():
        return _fit(config, Path(workdir), strict_resume)


def _fit(config, workdir: Path, strict_resume: bool) -> int:
    config = hosts.lead_first(lambda: setup.with_dtype(config, workdir))
    setup.check(config)
    needs.check_memory(setup.needs_of(config), memory.free_bytes())
    start = open_start(config, workdir)
    seen = start.synthetic if start else True
    opened = hosts.lead_first(lambda: setup.open_run(config, workdir, seen))
    folder, cases, changed = opened
    job = hosts.lead_first(lambda: prepare(config, folder, cases))
    with folder.checkpoints, Interruption() as stop:
        step, state = _start(job, strict_resume, start)
        with RunLog(folder.path, step) if hosts.is_lead() else NoLog() as log:
            _log_start(job, log, step, changed, start)
            del start  # its values are on the devices now
            _loop(job, log, step, state, stop)
    if hosts.is_lead():
        _tell_end(job, stop)
    return stop.exit_status or (2 if cases.refused else 0)


def prepare(config, folder: RunFolder, cases: RunCases) -> Job:
    """Builds the network; compiles nothing yet.

    Args:
        config: as in `configs/phase1.py`.
        folder: the run folder.
        cases: the cases.
    """
    sharding.keep_compiled()
    plan = setup.plan_of(config)
    epoch_steps = steps_per_epoch(len(cases.train), config.batch_size)
    rate = learning_rate(
        config.learning_rate, config.decay, tuple(config.decay_epochs), epoch_steps
    )
    on_devices = programs(
        setup.module_of(config, plan),
        plan,
        rate,
        (config.adam.b1, config.adam.b2, config.adam.eps),
        tuple(config.stage_weights),
        config.seed,
        setup.loss_of(config),
        config.ema,
    )
    return Job(
        config=config,
        folder=folder,
        cases=cases,
        plan=plan,
        on_devices=on_devices,
        rate=rate,
        epoch_steps=epoch_steps,
        predictor=from_config(config),
        targets=setup.targets_of(config, folder, cases),
        boxes=setup.boxes_of(config),
        needs=setup.needs_of(config),
    )


def _start(
    job: Job, strict: bool, start: Start | None = None
) -> tuple[int, TrainState]:
    """The state to go on from, and a log that ends where it does."""
    # "rbg" for the initial values alone: its program compiles in a fifth of the time of
    # the default's, which is unrolled for each of a cascade's 74 kernels.
    key = jax.random.key(job.config.seed, impl="rbg")
    saved = job.folder.checkpoints
    if not saved.steps():
        if hosts.is_lead():
            cut_back(job.folder.path, 0, validated=False)
        state = job.on_devices.init(key)
        return 0, job.on_devices.place(started(state, start)) if start else state
    abstract = jax.eval_shape(job.on_devices.init, key)
    restore = functools.partial(
        saved.restore_latest, abstract, strict=strict, warn=_say
    )
    step, state = hosts.lead_first(restore)  # who removes what is damaged
    if hosts.is_lead():
        cut_back(job.folder.path, step, validated=step in saved.scores())
    return step, job.on_devices.place(state)


def _log_start(
    job: Job, log: RunLog, step: int, changed: dict, start: Start | None
) -> None:
    log.write(
        "start",
        step,
        init_from=start and start.facts(),
        changed=changed,
        devices=job.plan.devices,
        batch=str(job.plan),
        boxes=job.boxes,
        versions=run_folder.versions(),
    )
    cases = f"{len(job.cases.train)} cases train, {len(job.cases.validation)} validate"
    _say(f"{job.folder.path}: step {step} of {job.last_step}, {cases}, {job.plan}")
    if start:
        _say(str(start))
    for error in job.cases.refused:
        _say(f"left out: {error}")
    for line in job.cases.notes:
        _say(line)
    for key, (then, now) in changed.items():
        _say(f"changed: {key} was {then}, is {now}")


def _loop(job: Job, log: RunLog, step: int, state: TrainState, stop) -> None:
    """Steps until the last one or a signal; saves, then validates, where it is due."""
    devices, checkpoints = job.on_devices, job.folder.checkpoints
    every_s = 60 * job.config.checkpoint_minutes
    if job.validates(step) and step not in checkpoints.scores():
        _validate(job, log, step, state, stop, _say)
    _share_signal(stop)
    if stop or step >= job.last_step:
        return
    _say(str(job.needs))
    _say(needs.check_disk(job.needs, job.config.keep_best, job.folder.path))
    _say("compiling: the first step takes longest")
    bar = Progress("train", job.last_step, start=step, shown=hosts.is_lead())
    vote = hosts.Vote()
    with bar, _loader(job, step) as loader:
        reports = StepReports(log, bar, loader, job.rate, job.epoch_steps)
        saved_s = time.monotonic()
        for done, batch in loader:
            ids = batch.pop("ids")
            batch = devices.put(batch)
            if not devices.step.compiled:
                _check_planned(job, state, batch, _say_beside(bar))
            state, metrics = _one_step(job, state, batch)
            step = done + 1
            reports.push(step, metrics, ids)
            # Any process's signal stops all of them; the lead's clock is everyone's.
            overdue = hosts.is_lead() and time.monotonic() - saved_s > every_s
            stopped, overdue = vote(stop.signal or 0, overdue)
            due = job.validates(step)
            if due or stopped or overdue:
                reports.flush()  # what is saved is known to be finite
                checkpoints.save(step, state)
                saved_s = time.monotonic()
            if due and not stopped:
                stopped = not _validate(job, log, step, state, stop, _say_beside(bar))
            if stopped:  # only here, where the state is saved
                break
        _share_signal(stop)


def _share_signal(stop: Interruption) -> None:
    """A signal that came to any process is every process's."""
    if signal := int(hosts.highest([stop.signal or 0])[0]):
        stop.signal = signal


def _say_beside(bar: Progress):
    """A way to say a line beside a bar: the lead's."""
    return bar.say if hosts.is_lead() else lambda line: None


def _check_planned(job: Job, state, batch, say) -> None:
    """Compiles, and tells or refuses what the compiled step takes."""
    planned = job.on_devices.step.planned(state, batch)
    free = memory.free_bytes()
    needs.check_planned(planned, free)
    hosts.meet()  # compiled everywhere: nobody waits long for another's first step
    of = f" of {free / needs.GB:.1f} GB that are free" if free is not None else ""
    say(f"compiled: a step takes {planned / needs.GB:.2f} GB a device{of}")


def _one_step(job: Job, state, batch):
    try:
        return job.on_devices.step(state, batch)
    except jax.errors.JaxRuntimeError as error:
        if line := needs.out_of_memory(error, job.needs):
            raise line from None
        raise


def _loader(job: Job, step: int) -> Loader:
    return Loader(
        job.cases.train,
        setup.sample_of(job.config),
        job.config.sample.shape,
        job.config.batch_size,
        job.config.seed,
        start_step=step,
        stop_step=job.last_step,
        threads=job.config.loader_threads,
        samples=job.on_devices.samples,
    )


def _validate(job: Job, log: RunLog, step: int, state, stop, say) -> bool:
    """Scores a saved step; True unless a signal left it to the next start."""
    variables = sharding.on_first_device(state.variables)
    labels = job.config.data.labels
    share = len(range(hosts.index(), len(job.targets), hosts.count()))
    with Progress("validate", share, unit="case", shown=hosts.is_lead()) as bar:

        def told(row) -> bool:
            bar.advance(dice=row["mean"])
            return not stop

        found = validate(job.predictor, variables, job.targets, labels, told)
    if found is None:
        return False
    epoch = (step - 1) // job.epoch_steps
    log.write("validation", step, epoch=epoch, boxes=job.boxes, **found)
    job.folder.checkpoints.score(step, found["mean"])
    scores = ", ".join(f"{k} {found[k]:.4f}" for k in ("kidney", "tumour", "mean"))
    say(f"step {step}, epoch {epoch + 1}: {scores} ({job.boxes})")
    return True


def _tell_end(job: Job, stop) -> None:
    path, config = job.folder.path, job.config
    if stop:
        _say("stopped and saved; the same command goes on")
    else:
        title = f"{config.name}, phase {config.phase}"
        curves(read_log(path), path / "curves.png", title)
        step, score = job.folder.checkpoints.best()[0]
        _say(f"{path}: best mean Dice {score:.4f} at step {step}, see curves.png")
    for error in job.cases.refused:
        print(f"left out: {error}", file=sys.stderr)


def _say(line: str) -> None:
    if hosts.is_lead():
        print(line, flush=True)
