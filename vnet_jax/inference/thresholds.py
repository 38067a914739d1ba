"""The file that `bin/tune.py` writes and `bin/infer.py --thresholds` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vnet_jax.errors import InputError
from vnet_jax.inference.confidence import STRUCTURES, Calibration
from vnet_jax.inference.postprocess import PAPER, PostProcessing, settings_from

#: Which step a threshold belongs to; the tumour's weight to none.
NEEDS = {
    "second_share": "components",
    "cyst_hu": "hu",
    "min_tumour_ml": "small",
    "tumour_weight": None,
}
#: Version of the file's layout.
FORMAT = 1


@dataclass(frozen=True)
class Trust:
    """What was tuned, as a segmenter takes it.

    Attributes:
        rules: the post-processing.
        calibration: of intervals and the flag; None where there is none that holds.
        why_not: why there is none, for the summary.
        sha256: of the file; None where there is no file.
        models: SHA-256 of the models of phase 2 that it was learned with.
    """

    rules: PostProcessing = PAPER
    calibration: Calibration | None = None
    why_not: str = ""
    sha256: str | None = None
    models: frozenset[str] = frozenset()


#: The paper's rules, and nothing learned about the confidence.
UNTUNED = Trust()


def read_thresholds(path: str | Path) -> Trust:
    """Reads what was tuned.

    Raises:
        InputError: no such file, or none of `bin/tune.py`.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    return trust_from(text, path)


def trust_from(text: bytes, path: str | Path) -> Trust:
    """What was tuned, of a file's content.

    Args:
        text: the content.
        path: where it is from, for messages.

    Raises:
        InputError: it is none of `bin/tune.py`.
    """
    try:
        facts = json.loads(text)
        if facts["format"] != FORMAT:
            raise InputError(
                path, f"format {facts['format']}, this program reads {FORMAT}"
            )
        rules = settings_from(facts["postprocess"])
        calibration = _calibration(facts["calibration"])
        models = frozenset(facts["models"])
    except InputError as error:
        raise InputError(path, error.wrong, "make it with bin/tune.py") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"no thresholds ({error!r})", "make them with bin/tune.py"
        ) from None
    why_not = "" if calibration else "the thresholds came without a calibration"
    sha256 = hashlib.sha256(text).hexdigest()
    return Trust(rules, calibration, why_not, sha256, models)


def changed(
    trust: Trust,
    steps: Sequence[str] | None,
    keep_all: bool,
    values: Mapping[str, float],
) -> Trust:
    """What was tuned, changed by what a user asks for.

    Args:
        trust: from `read_thresholds`, or `UNTUNED`.
        steps: in place of its steps; None keeps them.
        keep_all: no step at all, and no weight.
        values: of `NEEDS`, in place of its thresholds.

    Raises:
        InputError: `keep_all` with any of the others, an unknown step, or a threshold
            whose step is not taken.
    """
    if keep_all and (steps is not None or values):
        raise InputError(
            None, "--keep_all and flags of post-processing", "give one of them"
        )
    if keep_all:
        steps, values = (), {"tumour_weight": 1.0}
    elif steps is None:
        steps = trust.rules.steps
    steps = tuple(step.strip() for step in steps if step.strip())
    rules = replace(trust.rules, steps=steps, **values)
    for name in values:
        if NEEDS[name] and NEEDS[name] not in rules.steps:
            raise InputError(
                None,
                f"--{name} without the step {NEEDS[name]!r}",
                f"pass --postprocess={','.join([*rules.steps, NEEDS[name]])}",
            )
    return with_rules(trust, rules)


def with_rules(trust: Trust, rules: PostProcessing) -> Trust:
    """The same with other rules, under which the calibration does not hold."""
    if rules == trust.rules:
        return trust
    why_not = trust.why_not
    if trust.calibration:
        why_not = "not calibrated for this post-processing"
    return replace(trust, rules=rules, calibration=None, why_not=why_not)


def _calibration(facts: Mapping | None) -> Calibration | None:
    if facts is None:
        return None
    residuals = {
        name: None if value is None else float(value)
        for name, value in facts["residuals"].items()
        if name in STRUCTURES
    }
    limit = facts["review_at_most"]
    limit = None if limit is None else float(limit)
    return Calibration(residuals, limit, int(facts["cases"]))
