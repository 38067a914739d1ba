"""Weights from and to PyTorch: MONAI's V-Net and run folders.

    python bin/convert.py --source vnet.pt --config configs/phase1.py \
        --target runs/phase1
    python bin/convert.py --source stage1.pt --source stage2.pt \
        --config configs/phase2.py --target runs/phase2
    python bin/convert.py --source runs/phase2 --target cascade.safetensors
    python bin/convert.py --source kidney.vnet --phase 2 --target cascade.safetensors

A file of weights (.npz, .safetensors, .pt, .pth) becomes a run folder for bin/infer.py;
the config says what no such file does: phase, spacing, window. A run becomes a file,
and a file one of another kind. Nothing is overwritten, and no code in a file is run.
"""

from __future__ import annotations

from absl import flags
from ml_collections import config_flags

from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "a file of configs/ for a target that is a run; --config.FIELD=... changes a field",
    lock_config=True,
)
flags.DEFINE_multi_string(
    "source",
    [],
    "a file of weights, a run folder or a bundle; two files for a cascade's stages",
)
flags.DEFINE_string("target", None, "the run folder or the file of weights to make")
flags.DEFINE_integer("step", None, "of a run: this checkpoint, not the best one")
flags.DEFINE_integer("phase", None, "of a bundle: 1 or 2; its first run is read")
flags.DEFINE_bool("synthetic", False, "the file's network has seen synthetic CTs alone")


def main(argv: list[str]) -> int:
    """Converts --source to --target; see the module's docstring."""
    del argv
    from vnet_jax.runs.weight_files import is_weights_name

    found = _source()
    if is_weights_name(FLAGS.target):
        _to_file(found)
    else:
        _to_run(found)
    return 0


def _source():
    """Reads --source."""
    from vnet_jax.runs import folder, sources
    from vnet_jax.runs.bundle import is_bundle_name

    if not FLAGS.source or not FLAGS.target:
        missing = "--target" if FLAGS.source else "--source"
        raise InputError(None, f"{missing} is missing", f"pass {missing}=PATH")
    if len(FLAGS.source) > 2:
        wrong = f"{len(FLAGS.source)} times --source"
        raise InputError(None, wrong, "one, or two files for a cascade's stages")
    runs = [
        path for path in FLAGS.source if folder.exists(path) or is_bundle_name(path)
    ]
    if FLAGS.step is not None and not runs:
        raise InputError(None, "--step is of a run", "leave it out for a file")
    if FLAGS.phase is not None and not any(map(is_bundle_name, FLAGS.source)):
        raise InputError(None, "--phase is of a bundle", "leave it out")
    if len(FLAGS.source) == 1:
        return sources.open_weights(FLAGS.source[0], FLAGS.step, FLAGS.phase)
    if runs:
        raise InputError(runs[0], "a run, beside another --source", "give it alone")
    return sources.of_files(FLAGS.source)


def _to_file(found) -> None:
    from vnet_jax.runs.conversion import to_file

    to_file(found, FLAGS.target)
    print(f"{FLAGS.target}: {_in_words(found)}")
    if found.synthetic:
        print("trained on synthetic CTs alone: convert it back with --synthetic")


def _to_run(found) -> None:
    from vnet_jax.runs.conversion import to_run

    if "files" not in found.origin:
        remedy = "copy the folder, or name a file such as weights.npz"
        raise InputError(FLAGS.target, "would be a run from a run", remedy)
    if CONFIG.value is None:
        wrong = "a file of weights says neither phase nor spacing nor window"
        raise InputError(found.path, wrong, "pass --config=configs/phase1.py or phase2")
    run, told = to_run(found, FLAGS.target, CONFIG.value, FLAGS.synthetic)
    print(f"{run.path}: phase {run.config.phase}, {_in_words(found)}")
    for line in told:
        print(line)


def _in_words(found) -> str:
    net = found.network
    kind = "cascade" if net["cascade"] else "V-Net"
    return (
        f"{kind} of width {net['width']} with {net['classes']} classes and "
        f"{net['activation']}, step {found.step}"
    )
