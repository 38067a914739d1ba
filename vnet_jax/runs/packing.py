"""Trained runs into a bundle: see `vnet_jax.runs.bundle`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from vnet_jax.errors import InputError
from vnet_jax.runs import tensors
from vnet_jax.runs.bundle import FORMAT, MANIFEST
from vnet_jax.runs.folder import TrainedRun, versions
from vnet_jax.runs.sealed import SealedWriter, writing_sealed

#: Fields of a config that name places on the machine of the training.
PLACES = (("data", "root"), ("data", "cache"), ("data", "phase1"), ("init_from",))


def write_bundle(
    path,
    phase1: Sequence[TrainedRun],
    phase2: Sequence[TrainedRun],
    *,
    licence: str,
    members: int | None = None,
    extras: Mapping[str, Path] | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> None:
    """Packs trained runs; the same runs give the same bytes.

    Args:
        path: the file to make, whole or not at all.
        phase1: the runs that place the box; the best checkpoint of each is packed.
        phase2: the runs that segment.
        licence: of the training data.
        members: checkpoints of each run of phase 2 at most, best first; all of the best
            by default.
        extras: JSON files by name, "thresholds" and "scores".
        tell: is told the name of each checkpoint that is packed.

    Raises:
        InputError: a checkpoint or an extra that cannot be read, a target that is
            there.
        OSError: a full disk; nothing stays behind.
    """
    path = Path(path)
    if path.exists():
        raise InputError(path, "is there already", "remove it or pass another --output")
    contents = {name: _content(file) for name, file in (extras or {}).items()}
    with writing_sealed(path) as writer:
        first, second = (
            [
                _add_run(writer, f"phase{phase}/{i}", run, most, tell)
                for i, run in enumerate(runs)
            ]
            for phase, runs, most in ((1, phase1, 1), (2, phase2, members))
        )
        for name, content in contents.items():
            writer.add_bytes(f"{name}.json", content)
        classes = phase2[0].model["classes"]
        manifest = {
            "format": FORMAT,
            "licence": licence,
            "synthetic": any(run.synthetic for run in (*phase1, *phase2)),
            "labels": {str(value): name for value, name in enumerate(classes)},
            "phases": {"1": first, "2": second},
            "versions": versions(),
            "parts": writer.parts,
        }
        text = json.dumps(manifest, indent=1, allow_nan=False)
        writer.add_bytes(MANIFEST, text.encode())


def _add_run(
    writer: SealedWriter, place: str, run: TrainedRun, members: int | None, tell
) -> dict:
    """Packs a run's members; returns its entry in the manifest."""
    scores = dict(run.checkpoints.best())
    entries = []
    for step in run.ensemble(members):
        name = f"{place}/{step}.safetensors"
        tell(name)
        arrays = _flat(run.checkpoints.variables(step))
        writer.add(
            name, tensors.size_of(arrays), lambda file, a=arrays: tensors.write(file, a)
        )
        del arrays  # before the next one is read
        entries.append(
            {
                "step": step,
                "score": scores.get(step),
                "weights": name,
                "sha256": run.checkpoints.digest(step),
            }
        )
    model = {key: value for key, value in run.model.items() if key != "refused"}
    return {
        "config": _without_places(run.config),
        "model": model,
        "members": entries,
        "newest": run.checkpoints.steps()[-1],
    }


def _without_places(config) -> dict:
    """The config with "" where it names a path."""
    facts = json.loads(json.dumps(config.to_dict()))
    for *sections, name in PLACES:
        section = facts
        for key in sections:
            section = section[key]
        if name in section:
            section[name] = ""
    return facts


def _flat(variables: Mapping) -> dict[str, np.ndarray]:
    """{"params/encoder_0/kernel": ...} of a tree of dictionaries."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {"/".join(k.key for k in path): np.asarray(leaf) for path, leaf in leaves}


def _content(file: Path) -> bytes:
    """A JSON file's bytes.

    Raises:
        InputError: it cannot be read, or holds no JSON object.
    """
    try:
        content = Path(file).read_bytes()
        if not isinstance(json.loads(content), dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(file, f"cannot be packed ({error})") from None
    return content
