"""Further data sets that only train, and who is in them: no copy of who is scored.

Registration augmentation (paper, section 2.3) warps one patient's CT onto another's.
`provenance.json` in such a data set's folder says of whom each case is made:

    {"version": 1, "cases": {"case_90001": {"reference": "case_00003",
                                            "floating": "case_00017"}, ...}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vnet_jax.data.cases import Case, find_cases
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError

FILE = "provenance.json"
VERSION = 1
PARENTS = ("reference", "floating")


@dataclass(frozen=True)
class Extra:
    """A data set whose cases only train.

    Attributes:
        root: its folder.
        cases: those with a label.
        parents: case -> the two cases that it is made of; {} where the folder has no
            `provenance.json`.
    """

    root: Path
    cases: tuple[Case, ...]
    parents: Mapping[str, tuple[str, ...]] = field(hash=False)


def find_extra(roots: Sequence[str], own: Iterable[str]) -> list[Extra]:
    """Finds the data sets of `data.extra`.

    Args:
        roots: their folders.
        own: every id of the main data set, labelled or not.

    Raises:
        InputError: no such data set, an id that another has too, or a case without an
            origin where the others have one.
    """
    taken, found = set(own), []
    for root in map(Path, roots):
        cases = find_cases(root, option="--config.data.extra")
        parents = read_provenance(root)
        _refuse_twins(root, {case.id for case in cases} & taken, bool(parents))
        taken |= {case.id for case in cases}
        labelled = tuple(case for case in cases if case.label is not None)
        unknown = [case.id for case in labelled if parents and case.id not in parents]
        if unknown:
            raise InputError(
                root / FILE,
                f"does not say of whom {_listed(unknown)} are made",
                "make the data set anew",
            )
        found.append(Extra(root, labelled, parents))
    return found


def read_provenance(root: str | Path) -> dict[str, tuple[str, ...]]:
    """Case -> the cases that it is made of, {} where the data set does not say.

    Raises:
        InputError: a file that cannot be read, or says something else.
    """
    path = Path(root) / FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}")
        return {
            name: tuple(str(origin[parent]) for parent in PARENTS)
            for name, origin in facts["cases"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            path, f"no provenance ({error!r})", "make the data set anew"
        ) from None


def refuse_warped(root: str | Path) -> None:
    """Refuses a main data set of warped copies: they would validate their patients."""
    if (Path(root) / FILE).is_file():
        raise InputError(
            root,
            f"its cases are made of other patients' ({FILE}): they can only train",
            "pass it as --config.data.extra beside the data set of the patients",
        )


def refuse_leaks(extra: Sequence[Extra], own: Iterable[str], splits: Splits) -> None:
    """Refuses a training case that is made of a patient who is scored.

    Args:
        extra: from `find_extra`.
        own: every id of the main data set, labelled or not.
        splits: of the run; nobody of validation and test may be in `extra`.

    Raises:
        InputError: a copy of a scored patient, or of one whom nobody knows.
    """
    own, scored = set(own), {*splits.validation, *splits.test}
    parents = {name: p for one in extra for name, p in one.parents.items()}
    known = own | {case.id for one in extra for case in one.cases}
    for one in extra:
        people = {name: patients_of(name, parents) for name in one.parents}
        if leaks := {n: p & scored for n, p in people.items() if p & scored}:
            name, seen = next(iter(sorted(leaks.items())))
            raise InputError(
                one.root,
                f"{len(leaks)} cases are made of patients who validate or test: "
                f"{name} of {_listed(sorted(seen))}",
                "make it of this fold's training cases alone",
            )
        # A case made of itself has no patient at all.
        lost = {n: (p - known) or {n} for n, p in people.items() if not p or p - known}
        if lost:
            name, seen = next(iter(sorted(lost.items())))
            raise InputError(
                one.root / FILE,
                f"{name} is made of {_listed(sorted(seen))}, whom no data set has: "
                "whether it is a copy of a scored case cannot be told",
                "pass the data set it was made of as --config.data.root",
            )


def patients_of(name: str, parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Whose CTs a case shows: its parents' parents and so on, back to patients.

    Args:
        name: the case.
        parents: case -> the cases that it is made of; who is not in it is a patient.
    """
    patients, seen, waiting = set(), set(), [name]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in parents:
            waiting += parents[one]
        else:
            patients.add(one)
    return patients


def _refuse_twins(root: Path, twins: set[str], warped: bool) -> None:
    if twins:
        raise InputError(
            root,
            f"{_listed(sorted(twins))} are in another data set, too"
            + ("" if warped else f", and no {FILE} says that they are others"),
            "give its cases ids of their own",
        )


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
