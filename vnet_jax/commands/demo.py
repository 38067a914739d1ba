"""The main job end to end on synthetic CTs: data, two phases, masks, scores, a report.

Each step is the program that a user would call, printed as it is called; run again, the
demo goes on where it was stopped.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from pathlib import Path

from absl import flags

from vnet_jax import programs
from vnet_jax.data.cases import find_cases
from vnet_jax.data.files import write_json
from vnet_jax.errors import InputError
from vnet_jax.reports import comparison, demo_page, machine

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "demo", "folder for everything that the demo makes")
flags.DEFINE_string(
    "labels",
    "",
    "folder with train/ and held_out/ (KiTS19 trees of label maps) to paint CTs around",
)
flags.DEFINE_string("spacing", "3,1.75,1.75", "voxel spacing z,y,x in mm")

TRAINING, HELD_OUT = 16, 4  # the demo configs cut the 16 into 12 and 4
NOTICE = "trained on synthetic CTs"


def main(argv: list[str]) -> int:
    """Runs the six steps; see the module's docstring."""
    del argv
    out = Path(FLAGS.out)
    steps = {
        "Synthetic CTs": lambda: _phantoms(out, FLAGS.labels, FLAGS.spacing),
        "Training phase 1": lambda: _train(out, 1),
        "Training phase 2": lambda: _train(out, 2),
        "Masks of the held-out CTs": lambda: _infer(out),
        "Scores against the truth": lambda: _evaluate(out),
    }
    timings_s = {}
    for number, (name, step) in enumerate(steps.items(), 1):
        print(f"\n[{number}/{len(steps)}] {name}", flush=True)
        started = time.monotonic()
        _go(step)
        timings_s[name] = time.monotonic() - started
    _report(out, timings_s)
    return 0


def _go(step) -> None:
    try:
        step()
    except subprocess.CalledProcessError as error:
        raise InputError(
            None,
            f"the demo stopped: status {error.returncode} from {_shown(error.cmd)}",
            "mend what it says above and run the demo again: it goes on from there",
        ) from None


def _phantoms(out: Path, labels: str, spacing: str) -> None:
    drawn = ["--spacing", spacing]
    for folder, count, seed in (("train", TRAINING, 0), ("held_out", HELD_OUT, 1)):
        source = ["--labels", str(Path(labels) / folder)] if labels else drawn
        target = str(out / "data" / folder)
        _run("phantom", "--out", target, "--n", count, "--seed", seed, *source)


def _train(out: Path, phase: int) -> None:
    flags_ = [
        *("--config", f"demo_phase{phase}"),
        *("--workdir", out / "runs" / f"phase{phase}"),
        f"--config.data.root={out / 'data' / 'train'}",
        f"--config.data.cache={out / 'cache'}",
    ]
    if phase == 2:
        flags_ += [f"--config.data.phase1={out / 'runs' / 'phase1'}"]
    _run("train", *flags_)


def _infer(out: Path) -> None:
    _run(
        "infer",
        *("--input", out / "data" / "held_out"),
        *("--output", out / "predictions"),
        *("--phase1", out / "runs" / "phase1"),
        *("--phase2", out / "runs" / "phase2"),
        "--save_stages",
    )


def _evaluate(out: Path) -> None:
    _run(
        "evaluate",
        *("--predictions", out / "predictions"),
        *("--labels", out / "data" / "held_out"),
        *("--out", out / "evaluation"),
    )


def _run(program: str, *arguments) -> None:
    command = list(programs.command(program, *arguments))
    print(f"$ {_shown(command)}", flush=True)
    subprocess.run(command, check=True)


def _shown(command: list[str]) -> str:
    """The command as a user would type it."""
    if command[1:4] == ["-P", "-m", "vnet_jax"]:
        return shlex.join(["vnet-jax", *command[4:]])
    return shlex.join(["python", f"bin/{Path(command[1]).name}", *command[2:]])


def _report(out: Path, timings_s: dict[str, float]) -> None:
    evaluation = out / "evaluation"
    report = json.loads((evaluation / "scores.json").read_text(encoding="utf-8"))
    scores = demo_page.headline(report["summary"])
    cases = find_cases(out / "data" / "held_out")
    pictures = comparison.draw(
        out / "pictures", report["cases"], cases, out / "predictions", NOTICE
    )
    demo_page.write(
        out / "report.html",
        report,
        {f"Phase {i}": out / "runs" / f"phase{i}" / "curves.png" for i in (1, 2)},
        pictures,
        timings_s=timings_s,
        hardware=machine.hardware(),
        versions=machine.versions(),
        distribution=evaluation / "distribution.png",
        all_cases="predictions/report.html",
        settings={"Cases": "12 to train, 4 to validate, 4 held out"},
    )
    write_json(out / "scores.json", scores)
    for phase, values in scores.items():
        print(phase, *(f"{name} {value:.3f}" for name, value in values.items()))
    print(f"Report: {out / 'report.html'}   scores: {out / 'scores.json'}")
