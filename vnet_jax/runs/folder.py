"""The folder of a run: everything that inference and a later resume need to know.

config.json     the config it is trained with
splits.json     which cases train and validate, drawn once
model.json      what the model is: phase, spacing, classes, versions
checkpoints/    see `vnet_jax.runs.checkpoint`
log.jsonl       see `vnet_jax.runs.log`; tensorboard/ and curves.png show it
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import ml_collections

import vnet_jax
from vnet_jax.data.augment import KINDS
from vnet_jax.data.files import write_json
from vnet_jax.data.splits import Splits, read_splits, write_splits
from vnet_jax.errors import InputError
from vnet_jax.runs.checkpoint import Checkpoints

#: Version of the folder's layout.
FORMAT = 1

#: What a resume may change: names and places, and what no parameter depends on but for
#: rounding. `device_batch` also sets how many samples batch norm sees at once, as does
#: `mesh`; both are here so that a run can go on on other cards. `epochs` may only grow.
FREE = frozenset(
    {
        "name",
        "epochs",
        "eval_every",
        "keep_best",
        "checkpoint_minutes",
        "device_batch",
        "loader_threads",
        "mesh.data",
        "mesh.space",
        "data.root",
        "data.cache",
        "data.phase1",
        "data.splits",
        "data.extra",
    }
)

#: Fields younger than some run folders, with the value that means what was before, and
#: with which they are no part of a run's identity.
YOUNGER = {
    "init_from": "",
    "mesh.data": 0,
    "mesh.space": 1,
    "data.splits": "",
    "data.extra": [],
    "model.factory": "",
    "loss.factory": "",
    "loss.class_weights": [],
    "loss.focal_gamma": 2.0,
    "augment.swap": [],
    "augment.scaling": 0.0,
    "augment.elastic_mm": 0.0,
    "augment.elastic_grid_mm": 40.0,
    "augment.blur_mm": 0.0,
    "augment.low_resolution": [1.0, 1.0, 1.0],
    "augment.gamma": 0.0,
    **{f"augment.chance.{kind}": 1.0 for kind in KINDS},
}
#: How a run came about, not what it is: no part of its identity either.
ORIGIN = frozenset({"init_from", "data.splits", "data.extra"})

CLASS_NAMES = ("background", "kidney", "tumour", "cyst")
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class TrainedRun:
    """A run as inference sees it, wherever it lies: in a folder or in a bundle.

    Attributes:
        path: of the folder, or the bundle's with the run's place in it.
        config: the config it was trained with, a locked ConfigDict.
        model: what model.json says.
        checkpoints: `steps`, `best`, `variables` and `digest`, as `Checkpoints` does.
    """

    path: Path
    config: ml_collections.ConfigDict
    model: dict
    checkpoints: Checkpoints

    @property
    def synthetic(self) -> bool:
        """True where every training case was a synthetic CT; False where unknown."""
        return bool(self.model["synthetic"])

    def ensemble(self, members: int | None = None, newest: bool = False) -> list[int]:
        """Steps of the checkpoints to predict with, best first.

        Args:
            members: at most so many; all of the best by default.
            newest: the newest alone, which no validation chose.

        Returns:
            The best validated steps; the newest where none was validated yet.

        Raises:
            InputError: there is no checkpoint.
        """
        steps = [] if newest else [step for step, _ in self.checkpoints.best()]
        steps = steps or self.checkpoints.steps()[-1:]
        if not steps:
            raise InputError(
                self.path, "holds no checkpoint", "train it with bin/train.py"
            )
        return steps[:members]

    def identity(self, members: int | None = None, newest: bool = False) -> dict:
        """What the model is, for the summary of each prediction.

        Args:
            members: as `ensemble` takes it.
            newest: as `ensemble` takes it.

        Returns:
            {"phase", "sha256", "steps", "synthetic"}: the SHA-256 covers the config
            without names and places, and the parameters of each member.
        """
        steps = self.ensemble(members, newest)
        config = {
            {"loss.name": "loss"}.get(key, key): value  # as it was called before
            for key, value in _flat(self.config).items()
            if key not in FREE | ORIGIN
            and not (key in YOUNGER and value == YOUNGER[key])
        }
        parts = [json.dumps(config, sort_keys=True)]
        parts += [self.checkpoints.digest(step) for step in steps]
        return {
            "phase": self.config.phase,
            "sha256": hashlib.sha256("\n".join(parts).encode()).hexdigest(),
            "steps": steps,
            "synthetic": self.synthetic,
        }


class RunFolder(TrainedRun):
    """One run on disk: a `TrainedRun` whose path is the folder.

    Attributes:
        splits: its cases.
    """

    def __init__(self, path):
        """Reads a run.

        Args:
            path: the folder.

        Raises:
            InputError: not a run folder, or one of another format.
        """
        self.path = Path(path)
        if not exists(path):
            raise InputError(
                self.path,
                "no run: it holds no config.json",
                "train it with bin/train.py --workdir",
            )
        self.config = as_config(_read_json(self.path / "config.json"))
        self.splits = read_splits(self.path / "splits.json")
        self.model = _read_json(self.path / "model.json")
        if self.model.get("format") != FORMAT:
            raise InputError(
                self.path / "model.json",
                f"format {self.model.get('format')}, this program reads {FORMAT}",
                "use the version of vnet_jax that made it",
            )
        keep = self.config.get("keep_best", 5)
        self.checkpoints = Checkpoints(self.path / "checkpoints", keep)


def exists(path) -> bool:
    """True where a run was started, whole enough to be resumed."""
    return (Path(path) / "config.json").is_file()


def create(
    path,
    config: ml_collections.ConfigDict,
    splits: Splits,
    *,
    synthetic: bool | None,
    refused: Sequence[str] = (),
    converted_from: Mapping | None = None,
) -> RunFolder:
    """Starts a run folder; config.json comes last, so a half started one is none.

    Args:
        path: the folder, made when missing.
        config: the config; `configs/phase1.py` states the fields.
        splits: the cases.
        synthetic: whether every training case is a synthetic CT; None where unknown.
        refused: why cases were left out, a line each.
        converted_from: of a run that was not trained here, where its weights are from.

    Returns:
        The folder.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    write_splits(path / "splits.json", splits)
    facts = {
        "format": FORMAT,
        "phase": config.phase,
        "spacing_mm": list(config.data.spacing_mm),
        "downsample": list(config.data.downsample),
        "window": list(config.sample.shape),
        "classes": list(CLASS_NAMES[: config.model.classes]),
        "synthetic": synthetic,
        "training_cases": len(splits.train) + len(splits.extra),
        "validation_cases": len(splits.validation),
        "refused": list(refused),
        "versions": versions(),
    }
    if converted_from is not None:
        unknown = {"training_cases": None, "validation_cases": None}
        facts |= {**unknown, "converted_from": dict(converted_from)}
    write_json(path / "model.json", facts)
    write_json(path / "config.json", config.to_dict())
    return RunFolder(path)


def resume(path, config: ml_collections.ConfigDict) -> tuple[RunFolder, dict]:
    """Opens a run to go on with it, and notes what changed in the config.

    Args:
        path: the folder.
        config: the config as given now.

    Returns:
        The folder, its config that of now, and {"key": [then, now]} of the changes.

    Raises:
        InputError: a change of the model, the data or the schedule, or a run that was
            converted from a file of weights.
    """
    folder = RunFolder(path)
    if "converted_from" in folder.model:
        raise InputError(
            folder.path,
            "converted from a file of weights, without the optimiser's memory",
            f"train from it into another --workdir with --config.init_from={path}",
        )
    then, now = YOUNGER | _flat(folder.config), YOUNGER | _flat(config)
    changed = {
        key: [then.get(key), now.get(key)]
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    }
    if refused := {k: v for k, v in changed.items() if not _may_change(k, *v)}:
        raise InputError(
            folder.path,
            "this run was started with another config: "
            + "; ".join(f"{k} was {a!r}, is {b!r}" for k, (a, b) in refused.items()),
            "pass the same config, or another --workdir to start anew",
        )
    if changed:
        write_json(folder.path / "config.json", config.to_dict())
        folder = RunFolder(path)
    return folder, changed


def as_config(facts: Mapping) -> ml_collections.ConfigDict:
    """A config as JSON keeps it, with tuples again and locked."""
    if isinstance(facts.get("loss"), str):  # before there was more to say of it
        facts = {**facts, "loss": {"name": facts["loss"], "kwargs": {}}}
    config = ml_collections.ConfigDict(
        {key: _with_tuples(value) for key, value in facts.items()}
    )
    return config.lock()


def versions() -> dict[str, str]:
    """Versions of what a result may depend on."""
    own = {"vnet_jax": vnet_jax.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in LIBRARIES}


def _may_change(key: str, then, now) -> bool:
    if key == "epochs":
        return now > then
    if key in ("data.phase1", "data.extra"):  # other paths, but not with and without
        return bool(then) == bool(now)
    return key in FREE


def _flat(config: Mapping, prefix: str = "") -> dict:
    """{"data.root": ...} of a nested config, tuples as lists."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (Mapping, ml_collections.ConfigDict)):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.loads(json.dumps(value))
    return flat


def _with_tuples(value):
    """JSON has no tuples; shapes and spacings are some."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value


def _read_json(path: Path) -> dict:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("no JSON object")
        return facts
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            path, f"cannot be read ({error})", "copy the run anew"
        ) from None
