"""Both trained phases as one file, which inference and a new training start from.

    python bin/bundle.py --phase1 runs/phase1 --phase2 runs/phase2 \
        --licence "CC BY-NC-SA 4.0" --output kidney.vnet
    python bin/bundle.py --show kidney.vnet
    python bin/bundle.py --verify kidney.vnet
    python bin/infer.py --input ct.nii.gz --output masks/ --bundle kidney.vnet

The file holds the best checkpoint of phase 1 and the best ones of phase 2 without the
optimiser's memory, their configs, label names, versions and the licence of the training
data, and ends with a checksum over every byte before. Paths of this machine and names
of cases are left out. Nothing is overwritten.
"""

from __future__ import annotations

import json
from pathlib import Path

from absl import flags

from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "the file to make, NAME.vnet")
flags.DEFINE_multi_string(
    "phase1", ["runs/phase1"], "run folder of phase 1; several are averaged"
)
flags.DEFINE_multi_string(
    "phase2", ["runs/phase2"], "run folder of phase 2; several are averaged"
)
flags.DEFINE_integer(
    "members", None, "checkpoints of each run of phase 2 at most; all of the best"
)
flags.DEFINE_string("licence", None, "of the training data, as 'CC BY-NC-SA 4.0'")
flags.DEFINE_string("thresholds", None, "file of bin/tune.py, for inference")
flags.DEFINE_string("scores", None, "a JSON file with scores; it is packed as it is")
flags.DEFINE_string("show", None, "prints what this bundle says of itself")
flags.DEFINE_string("verify", None, "checks every checksum of this bundle")


def main(argv: list[str]) -> int:
    """Packs, shows or verifies; see the module's docstring."""
    del argv
    asked = [name for name in ("output", "show", "verify") if FLAGS[name].value]
    if len(asked) != 1:
        wrong = f"{' and '.join(f'--{name}' for name in asked) or 'nothing'} to do"
        raise InputError(None, wrong, "pass one of --output, --show and --verify")
    {"output": _pack, "show": _show, "verify": _verify}[asked[0]]()
    return 0


def _pack() -> None:
    from vnet_jax.data.progress import Progress
    from vnet_jax.inference.ensemble import Ensemble
    from vnet_jax.inference.thresholds import read_thresholds
    from vnet_jax.runs.bundle import SUFFIX, is_bundle_name
    from vnet_jax.runs.packing import write_bundle
    from vnet_jax.runs.sealed import seal_of

    if not (FLAGS.licence or "").strip():
        wrong = "--licence is missing: a model may be used as its training data may"
        raise InputError(None, wrong, "pass --licence='CC BY-NC-SA 4.0' for KiTS19")
    if not is_bundle_name(FLAGS.output):
        raise InputError(FLAGS.output, f"no name of a bundle: {SUFFIX} ends it")
    if FLAGS.members is not None and FLAGS.members < 1:
        raise InputError(None, f"--members is {FLAGS.members}", "give 1 or more")
    # As inference opens them: phases, grids and classes that do not fit are refused.
    phase1 = Ensemble(FLAGS.phase1, 1, 1).runs
    phase2 = Ensemble(FLAGS.phase2, 2, FLAGS.members).runs
    if FLAGS.thresholds:
        read_thresholds(FLAGS.thresholds)
    total = len(phase1) + sum(len(run.ensemble(FLAGS.members)) for run in phase2)
    extras = {name: FLAGS[name].value for name in ("thresholds", "scores")}
    with Progress("bundle", total, unit="checkpoint") as progress:
        write_bundle(
            FLAGS.output,
            phase1,
            phase2,
            licence=FLAGS.licence.strip(),
            members=FLAGS.members,
            extras={name: file for name, file in extras.items() if file},
            tell=lambda name: progress.advance(note=name),
        )
    _tell(FLAGS.output, total, f"sealed with {seal_of(FLAGS.output)}")


def _show() -> None:
    from vnet_jax.runs.bundle import open_bundle

    print(json.dumps(open_bundle(FLAGS.show).manifest, indent=1))


def _verify() -> None:
    from vnet_jax.data.progress import Progress
    from vnet_jax.runs.bundle import open_bundle, verify

    bundle = open_bundle(FLAGS.verify)
    total = sum(len(run.checkpoints.steps()) for run in bundle.runs())
    with Progress("verify", total, unit="checkpoint") as progress:
        verify(bundle, lambda name: progress.advance(note=name))
    _tell(FLAGS.verify, total, "every checksum is right")


def _tell(path: str, checkpoints: int, what: str) -> None:
    megabytes = Path(path).stat().st_size / 1e6
    print(f"{path}: {checkpoints} checkpoints, {megabytes:.1f} MB, {what}")
