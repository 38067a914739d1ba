"""Which cases are aligned with which: the hard ones, and what is drawn for them.

The paper takes the 20 worst of all 210 cases by Dice and 10 random ones of the other
190 for each (section 2.3). Here both come from the training cases of one fold, and the
Dice is out of fold: the score of a case by a network that had not seen it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.errors import InputError
from vnet_jax.registration.folds import Fold

#: Of references, and of tries for each: two digits in a warped case's name.
MOST = 100
SCORES = ("tumour", "kidney", "mean")


@dataclass(frozen=True)
class Pair:
    """A floating case to be aligned with a reference.

    Attributes:
        reference: id of the hard case, whose anatomy the result takes on.
        floating: id of the case whose voxels are warped.
        rank: of the reference, 0 the hardest.
        attempt: which try it is for this reference, from 0.
    """

    reference: str
    floating: str
    rank: int
    attempt: int

    @property
    def name(self) -> str:
        """The warped case's id: case_90307 is try 7 for reference 3."""
        return f"case_9{self.rank:02d}{self.attempt:02d}"


def read_scores(path: str | Path, by: str = "tumour") -> dict[str, float]:
    """Reads the Dice of each case from `scores.json` of bin/evaluate.py.

    Args:
        path: {"cases": [{"id": ..., "phase2": {"kidney", "tumour", "mean"}}]}.
        by: which of the three.

    Returns:
        id -> Dice in [0, 1].

    Raises:
        InputError: no such file, not in that form, or a Dice outside [0, 1].
    """
    try:
        cases = json.loads(Path(path).read_text(encoding="utf-8"))["cases"]
        scores = {case["id"]: float(case["phase2"][by]) for case in cases}
    except FileNotFoundError:
        remedy = "pass --scores=scores.json of bin/evaluate.py"
        raise InputError(path, "no such file", remedy) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"no scores of cases ({error!r})", "bin/evaluate.py writes them"
        ) from None
    for name, score in scores.items():
        if not 0 <= score <= 1:
            raise InputError(path, f"the {by} Dice of {name} is {score}")
    return scores


def hardest(scores: Mapping[str, float], fold: Fold, count: int) -> tuple[str, ...]:
    """The training cases with the lowest scores, the lowest first.

    Equal scores go by id. Cases of the fold that are held out are left out, whatever
    their scores.

    Raises:
        InputError: a training case without a score, or too few training cases.
    """
    missing = [name for name in fold.train if name not in scores]
    if missing:
        raise InputError(
            None,
            f"no score for {len(missing)} training cases, {missing[0]} for one",
            "score every training case by a network that had not seen it, "
            "then pass all scores in one file",
        )
    if not 0 < count < min(len(fold.train), MOST + 1):
        raise InputError(
            None,
            f"--hard={count} of {len(fold.train)} training cases",
            f"pass 1 to {min(len(fold.train) - 1, MOST)}",
        )
    return tuple(sorted(fold.train, key=lambda name: (scores[name], name))[:count])


def draw(seed: int, rank: int, hard: Sequence[str], fold: Fold) -> list[Pair]:
    """Every pair of a reference, in the order in which they are tried.

    The order is that of SHA-256(seed, reference, floating): nothing that was tried
    before, here or for another reference, changes it, so that a run that is resumed
    draws what it would have drawn.

    Args:
        seed: another seed gives other pairs.
        rank: of the reference in `hard`.
        hard: the references; none of them is a floating image, as in the paper.
        fold: floating images are its other training cases.

    Returns:
        At most `MOST` pairs.
    """
    reference = hard[rank]
    others = [name for name in fold.train if name not in hard]
    others.sort(key=lambda name: _draw(seed, reference, name))
    pairs = [Pair(reference, name, rank, k) for k, name in enumerate(others[:MOST])]
    for pair in pairs:
        refuse_held_out(pair, fold)
    return pairs


def refuse_held_out(pair: Pair, fold: Fold) -> None:
    """Refuse a pair that would carry a held-out case into training.

    Raises:
        InputError: naming the case.
    """
    for name in (pair.reference, pair.floating):
        if name in fold.held_out or name not in fold.train:
            raise InputError(
                None,
                f"{pair.name}: {name} is not a training case of this fold",
                "a warped copy of a case that validates or tests would spoil its score",
            )


def _draw(seed: int, reference: str, floating: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{reference}\0{floating}".encode()).digest()
