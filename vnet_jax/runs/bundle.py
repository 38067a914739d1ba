"""A bundle: both phases in one file, with all that inference needs.

    phase1/0/420.safetensors   parameters and running averages of a checkpoint, under
    phase2/0/610.safetensors   "params/..." and "batch_stats/..."
    thresholds.json            optional, as it was given
    scores.json                optional, as it was given
    manifest.json              what they are: `Manifest`'s fields; last, as it has their
                               checksums

The container is `vnet_jax.runs.sealed`'s, the weights' form `vnet_jax.runs.tensors`'s.
Reading one runs no code from it and writes nothing: checkpoints are read from their
place in the file when they are used, one at a time. The optimiser's memory, the cases'
names and the paths of the machine it was trained on are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vnet_jax.errors import InputError
from vnet_jax.runs import tensors
from vnet_jax.runs.digest import digest
from vnet_jax.runs.folder import TrainedRun, as_config
from vnet_jax.runs.sealed import Part, open_sealed

#: Version of the manifest. The seal at the end stays the same in all versions.
FORMAT = 1
SUFFIX = ".vnet"
MANIFEST = "manifest.json"
MOST_JSON_BYTES = 16_000_000
VARIABLES = ("params", "batch_stats")


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened bundle.

    Attributes:
        path: the file.
        manifest: what it says of itself; `docs/reference.md` states the fields.
        phase1: the runs that place the box.
        phase2: the runs that segment.
        parts: where the parts lie, by name.
    """

    path: Path
    manifest: dict
    phase1: list[BundledRun]
    phase2: list[BundledRun]
    parts: dict[str, Part]

    def runs(self) -> list[BundledRun]:
        """All of them, phase 1's first."""
        return [*self.phase1, *self.phase2]

    def extra(self, name: str) -> bytes | None:
        """The JSON file that was packed as "thresholds" or "scores"; None if none."""
        part = self.parts.get(f"{name}.json")
        return None if part is None else part.read(MOST_JSON_BYTES)


class BundledRun(TrainedRun):
    """One run in a bundle, in the place of its folder."""

    def __init__(self, path: Path, facts: Mapping, parts: Mapping[str, Part]):
        """Reads a run's entry in the manifest.

        Args:
            path: the bundle and the run's place in it.
            facts: the entry.
            parts: of the bundle.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        self.path = path
        self.config = as_config(facts["config"])
        self.model = dict(facts["model"])
        bool(self.model["synthetic"])  # KeyError now, not when it is asked for
        self.checkpoints = BundledCheckpoints(path, facts["members"], parts)
        self._newest = facts["newest"]

    def ensemble(self, members: int | None = None, newest: bool = False) -> list[int]:
        """As `TrainedRun.ensemble`.

        Raises:
            InputError: the run's newest checkpoint is asked for and was not packed.
        """
        if newest and self._newest not in self.checkpoints.steps():
            wrong = f"its newest checkpoint, step {self._newest}, is not in the bundle"
            raise InputError(self.path, wrong, "predict with the run folder")
        return super().ensemble(members, newest)


class BundledCheckpoints:
    """The checkpoints of a bundled run, as `Checkpoints` gives them to inference."""

    def __init__(
        self, path: Path, members: Sequence[Mapping], parts: Mapping[str, Part]
    ):
        """Reads the entries of the members; their weights are read when used."""
        self.path = path
        self._members = {int(member["step"]): member for member in members}
        self._parts = {s: parts[m["weights"]] for s, m in self._members.items()}
        if not members or len(self._members) != len(members):
            raise ValueError(f"{path.name} has no members, or two of one step")

    def steps(self) -> list[int]:
        """The steps of the members, oldest first."""
        return sorted(self._members)

    def best(self) -> list[tuple[int, float]]:
        """(step, score) of those that were validated, best first."""
        scores = [(step, m["score"]) for step, m in self._members.items()]
        return [(step, score) for step, score in scores if score is not None]

    def digest(self, step: int) -> str:
        """SHA-256 of the variables of a step, as in its run folder."""
        return self._members[step]["sha256"]

    def variables(self, step: int) -> dict:
        """Parameters and running averages of a step, as NumPy arrays.

        Raises:
            InputError: the file was changed since it was opened.
        """
        part = self._parts[step]
        try:
            with part.open() as file:
                found = _nested(tensors.read(file, part.size))
        except (OSError, ValueError, RecursionError) as error:
            wrong = f"{part.name} cannot be read ({error})"
            raise InputError(part.file, wrong, "copy it anew") from None
        if digest(found) != self.digest(step):
            wrong = f"{part.name} is not what the manifest says"
            raise InputError(part.file, wrong, "copy it anew")
        return found

    def part(self, step: int) -> Part:
        """Where the variables of a step lie."""
        return self._parts[step]


def is_bundle_name(path) -> bool:
    """Whether a file's name ends as a bundle's does."""
    return Path(path).suffix.lower() == SUFFIX


def open_bundle(path) -> Bundle:
    """Checks every byte of a bundle and reads its manifest.

    Args:
        path: the file.

    Raises:
        InputError: no bundle, a changed one, or one of another format.
    """
    path = Path(path)
    parts = open_sealed(path)
    if MANIFEST not in parts:
        raise InputError(path, "holds no manifest.json", "make it with bin/bundle.py")
    manifest = _parsed(path, parts[MANIFEST])
    if (given := manifest.get("format")) != FORMAT:
        wrong = f"a bundle of format {given!r}, this program reads {FORMAT}"
        raise InputError(path, wrong, "install the version of vnet_jax that made it")
    try:
        _check_parts(manifest, parts)
        phase1, phase2 = (_runs(path, phase, manifest, parts) for phase in (1, 2))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = f"its manifest is not as bin/bundle.py writes it ({error!r:.120})"
        raise InputError(path, wrong, "make it anew") from None
    return Bundle(path, manifest, phase1, phase2, parts)


def verify(bundle: Bundle, tell: Callable[[str], None] = lambda name: None) -> None:
    """Reads every checkpoint as inference would, and compares all checksums.

    Args:
        bundle: an opened one; `open_bundle` has checked its bytes.
        tell: is told the name of each checkpoint that was read.

    Raises:
        InputError: a part that is not what the manifest says.
    """
    for name, facts in bundle.manifest["parts"].items():
        if bundle.parts[name].sha256() != facts["sha256"]:
            raise InputError(bundle.path, f"{name} has another SHA-256")
    for run in bundle.runs():
        for step in run.checkpoints.steps():
            run.checkpoints.variables(step)
            tell(run.checkpoints.part(step).name)


def _nested(arrays: Mapping[str, np.ndarray]) -> dict:
    """The tree again.

    Raises:
        ValueError: a name that is no place in a tree of variables.
    """
    tree: dict = {name: {} for name in VARIABLES}
    for place, array in arrays.items():
        *path, name = place.split("/")
        whole = path and path[0] in VARIABLES and name and all(path)
        node = tree if whole else None
        for key in path:
            node = node.setdefault(key, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict) or name in node:
            raise ValueError(f"{place!r} has no place among the variables")
        node[name] = array
    return tree


def _parsed(path: Path, part: Part) -> dict:
    content = part.read(MOST_JSON_BYTES)
    try:
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"{part.name} cannot be read ({error})") from None
    return found


def _runs(path: Path, phase: int, manifest: Mapping, parts) -> list[BundledRun]:
    """The runs of a phase.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the manifest has none, or is
            not as it should be.
    """
    entries = manifest["phases"][str(phase)]
    runs = [
        BundledRun(path / f"phase{phase}" / str(i), entry, parts)
        for i, entry in enumerate(entries)
    ]
    if not runs or any(run.config.phase != phase for run in runs):
        raise ValueError(f"no run of phase {phase}")
    return runs


def _check_parts(manifest: Mapping, parts: Mapping[str, Part]) -> None:
    """The manifest tells of the parts that are there, and of no others."""
    told = {name: facts["bytes"] for name, facts in manifest["parts"].items()}
    there = {name: part.size for name, part in parts.items() if name != MANIFEST}
    if told != there:
        raise ValueError("other parts than it tells of")
