"""The race: both sides learn the same from the same start, to one target.

The same initial weights, the same batches in the same order, no dropout, float32. Both
train in turn, a stretch of steps each, until both have reached the target; data are
drawn and scores computed while the clock of the training stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import race_task
from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker
from benchmarks.program import CHANNELS_LAST, EAGER, OURS, Program

TARGET = 0.9  # mean foreground Dice
STRETCH = 10  # steps between two validations
MOST = 400  # steps
RATE = 3e-3
BATCH = 2
WIDTH = {"cpu": 8, "gpu": 16}
START = {"step": 0, "training_s": 0.0, "validation_s": 0.0}
RIVAL = {"cpu": EAGER, "gpu": CHANNELS_LAST}


@dataclass(eq=False)
class Runner:
    """One side on its way.

    Attributes:
        side: its name.
        worker: its process; None where it does not run.
        not_run: why it does not.
        prepare_s: seconds before the first step, of which compile_s to compile.
        curve: a point after each stretch: step, training_s, validation_s, loss, dice.
    """

    side: str
    worker: Worker | None = None
    not_run: str = ""
    prepare_s: float = 0.0
    compile_s: float = 0.0
    curve: list[dict] = field(default_factory=list)

    def prepare(self, start, arguments: Mapping) -> None:
        """Starts its worker and has it compile; notes why where it cannot."""
        try:
            self.worker = start()
            facts = self.worker.ask("prepare", **arguments)
            self.prepare_s, self.compile_s = facts["prepare_s"], facts["compile_s"]
        except NotRun as failure:
            self.not_run = str(failure)

    def advance(self, steps: int) -> None:
        """Trains a stretch and validates."""
        try:
            trained = self.worker.ask("advance", steps=steps)
            scored = self.worker.ask("validate")
        except NotRun as failure:
            self.not_run = str(failure)
            return
        before = self.curve[-1] if self.curve else START
        self.curve.append(
            {
                "step": before["step"] + steps,
                "training_s": before["training_s"] + trained["seconds"],
                "validation_s": before["validation_s"] + scored["seconds"],
                "loss": trained["loss"],
                "dice": scored["dice"],
            }
        )

    def runs(self, target: float, most: int) -> bool:
        """Whether there is more to run."""
        if self.not_run or not self.curve:
            return not self.not_run
        last = self.curve[-1]
        return last["dice"] < target and last["step"] < most

    def result(self, target: float) -> dict:
        """What the race was for this side."""
        last = self.curve[-1] if self.curve else {}
        spent = [last.get(name, 0.0) for name in ("training_s", "validation_s")]
        return {
            "not_run": self.not_run,
            "reached": last.get("dice", 0.0) >= target,
            "steps": last.get("step"),
            "dice": last.get("dice"),
            "compile_s": self.compile_s,
            "training_s": last.get("training_s"),
            "total_s": self.prepare_s + sum(spent),
            "curve": self.curve,
        }


def run(
    launcher: Launcher,
    scratch: Path,
    done: Callable[[dict], None],
    *,
    target: float = TARGET,
    most: int = MOST,
) -> None:
    """Runs the race.

    Args:
        launcher: starts the workers.
        scratch: for the initial weights.
        done: is given {"task", "target", "sides": {name: `Runner.result`}} at the start
            and after each stretch.
        target: mean foreground Dice that ends it.
        most: steps that end it anyway.
    """
    runners = start(launcher, scratch)
    facts = {"task": task(launcher.device), "target": target}
    while True:
        done(facts | {"sides": {r.side: r.result(target) for r in runners}})
        going = [runner for runner in runners if runner.runs(target, most)]
        if not going:
            return
        for runner in going:
            runner.advance(STRETCH)
            print(f"  {_line(runner)}", flush=True)


def start(launcher: Launcher, scratch: Path) -> list[Runner]:
    """Both runners at the start; ours first, since it draws the weights."""
    program = Program(
        "train_step",
        "vnet",
        race_task.SHAPE,
        batch=BATCH,
        width=WIDTH[launcher.device],
    )
    weights = str(scratch / "race.npz")
    ours, rival = Runner(OURS), Runner(RIVAL[launcher.device])
    given = {"settings": program.settings(), "rate": RATE}
    export = "" if launcher.refused.get("torch") else weights
    ours.prepare(
        lambda: launcher.ours("benchmarks.race_ours"), given | {"export": export}
    )
    given = {"settings": program.against(rival.side).settings(), "rate": RATE}
    rival.prepare(
        lambda: launcher.torch("benchmarks.race_theirs"), given | {"weights": weights}
    )
    return [ours, rival]


def task(device: str) -> dict:
    """What is learned, for the results."""
    return {
        "what": "solid and hollow ellipsoids in noise, V-Net, float32, no dropout",
        "shape": list(race_task.SHAPE),
        "batch": BATCH,
        "width": WIDTH[device],
        "rate": RATE,
        "steps_between_validations": STRETCH,
    }


def _line(runner: Runner) -> str:
    if runner.not_run:
        return f"{runner.side}: not run: {runner.not_run}"
    last = runner.curve[-1]
    return (
        f"{runner.side}: step {last['step']}, {last['training_s']:.1f} s of training, "
        f"loss {last['loss']:.3f}, Dice {last['dice']:.3f}"
    )
