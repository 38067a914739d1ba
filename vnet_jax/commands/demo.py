"""The main job end to end on synthetic CTs: data, two phases, masks, scores, a report.

Each step is the program that a user would call, printed as it is called; run again, the
demo goes on where it was stopped.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "demo", "folder for everything that the demo makes")
flags.DEFINE_string(
    "labels",
    "",
    "folder of label maps (KiTS19 tree) to paint the CTs around, instead of drawn anatomy",
)
flags.DEFINE_string("spacing", "3,1.5625,1.5625", "voxel spacing z,y,x in mm")

ROOT = Path(__file__).resolve().parents[2]
TRAINING, HELD_OUT = 16, 4  # the demo configs cut the 16 into 12 and 4
STEPS = 6


def main(argv: list[str]) -> int:
    """Runs the six steps; see the module's docstring."""
    del argv
    out = Path(FLAGS.out)
    started = time.monotonic()
    try:
        _phantoms(out, FLAGS.labels, FLAGS.spacing)
        for phase in (1, 2):
            _train(out, phase)
        _infer(out)
        _evaluate(out)
    except subprocess.CalledProcessError as error:
        raise InputError(
            None,
            f"the demo stopped: status {error.returncode} from {_shown(error.cmd)}",
            "mend what it says above and run the demo again: it goes on from there",
        ) from None
    _report(out, time.monotonic() - started)
    return 0


def _phantoms(out: Path, labels: str, spacing: str) -> None:
    _say(1, f"{TRAINING + HELD_OUT} synthetic CTs, {HELD_OUT} of them held out")
    drawn = ["--spacing", spacing]
    for folder, count, seed in (("train", TRAINING, 0), ("held_out", HELD_OUT, 1)):
        source = ["--labels", str(Path(labels) / folder)] if labels else drawn
        target = str(out / "data" / folder)
        _run("phantom", "--out", target, "--n", count, "--seed", seed, *source)


def _train(out: Path, phase: int) -> None:
    _say(1 + phase, f"training phase {phase}")
    flags_ = [
        *("--config", ROOT / "configs" / f"demo_phase{phase}.py"),
        *("--workdir", out / "runs" / f"phase{phase}"),
        f"--config.data.root={out / 'data' / 'train'}",
        f"--config.data.cache={out / 'cache'}",
    ]
    if phase == 2:
        flags_ += [f"--config.data.phase1={out / 'runs' / 'phase1'}"]
    _run("train", *flags_)


def _infer(out: Path) -> None:
    _say(4, "masks of the held-out CTs")
    _run(
        "infer",
        *("--input", out / "data" / "held_out"),
        *("--output", out / "predictions"),
        *("--phase1", out / "runs" / "phase1"),
        *("--phase2", out / "runs" / "phase2"),
        "--save_stages",
    )


def _evaluate(out: Path) -> None:
    _say(5, "scores against the truth")
    _run(
        "evaluate",
        *("--predictions", out / "predictions"),
        *("--labels", out / "data" / "held_out"),
        *("--out", out / "evaluation"),
    )


def _run(program: str, *arguments) -> None:
    command = [sys.executable, str(ROOT / "bin" / f"{program}.py")]
    command += [str(a) for a in arguments]
    print(f"$ {_shown(command)}", flush=True)
    subprocess.run(command, check=True)


def _shown(command: list[str]) -> str:
    names = [Path(command[1]).name, *command[2:]]
    return shlex.join(["python", f"bin/{names[0]}", *names[1:]])


def _say(step: int, what: str) -> None:
    print(f"\n[{step}/{STEPS}] {what}", flush=True)
