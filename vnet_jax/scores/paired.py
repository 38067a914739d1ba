"""Is one folder of predictions better than another, on the same cases?

Each score is tested by itself: the mean of the differences case by case, its paired
bootstrap interval, and the sign-flip permutation test (Fisher, 1935), two-sided: were
the two folders alike, each difference would as likely have the other sign. Holm's
(1979) adjustment takes into account that several scores were tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vnet_jax.scores.bootstrap import mean_interval

#: Up to so many cases every one of the 2^n sign patterns is tried, beyond FLIPS of
#: them drawn at random.
EXACT_CASES = 13
FLIPS = 10_000
#: Differences and means that differ by rounding only are equal.
ROUNDING = 1e-12


def compare(
    first: Mapping[str, Mapping[str, float]],
    second: Mapping[str, Mapping[str, float]],
    seed: int,
) -> dict[str, dict]:
    """Tests every score that both folders have.

    Args:
        first: score -> case -> value.
        second: the same of the other folder; cases of one folder alone are left out.
        seed: of the bootstrap and of the drawn sign patterns.

    Returns:
        score -> {"n", "first", "second" (means over the shared cases), "difference":
        {"mean", "low", "high", "n"} of first - second, "higher", "lower", "equal":
        cases in which the first is so, "p", "p_holm"}. A score without a shared case is
        left out.
    """
    tests = {}
    for score, values in first.items():
        others = second.get(score, {})
        shared = [case for case in values if case in others]
        if shared:
            a, b = (np.array([v[case] for case in shared]) for v in (values, others))
            tests[score] = _test(a, b, seed)
    adjusted = holm([test["p"] for test in tests.values()])
    for test, p in zip(tests.values(), adjusted, strict=True):
        test["p_holm"] = p
    return tests


def _test(a: np.ndarray, b: np.ndarray, seed: int) -> dict:
    differences = a - b
    differences[np.abs(differences) < ROUNDING] = 0
    mean, low, high = mean_interval(differences, seed)
    return {
        "n": len(a),
        "first": float(a.mean()),
        "second": float(b.mean()),
        "difference": {"mean": mean, "low": low, "high": high, "n": len(a)},
        "higher": int(np.count_nonzero(differences > 0)),
        "lower": int(np.count_nonzero(differences < 0)),
        "equal": int(np.count_nonzero(differences == 0)),
        "p": sign_flip(differences, seed),
    }


def sign_flip(differences: np.ndarray, seed: int) -> float:
    """Two-sided p of the sign-flip permutation test of a mean of 0.

    Args:
        differences: (n,) n >= 1.
        seed: of the drawn sign patterns, where n is above `EXACT_CASES`.

    Returns:
        The share of sign patterns whose mean is at least as far from 0 as the seen
        one, which is one of them: never 0.
    """
    moved = differences[differences != 0]  # the sign of 0 changes nothing
    if not len(moved):
        return 1.0
    seen = abs(moved.sum()) - ROUNDING
    if len(moved) <= EXACT_CASES:
        bits = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float(np.mean(np.abs((2 * bits - 1) @ moved) >= seen))
    rng = np.random.default_rng(seed)
    signs = rng.choice(np.array([-1, 1], np.int8), size=(FLIPS, len(moved)))
    return float((1 + np.count_nonzero(np.abs(signs @ moved) >= seen)) / (1 + FLIPS))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: p values that hold for all of the tests at once.

    Args:
        p: (m,) in [0, 1].

    Returns:
        (m,) adjusted, in the same order.
    """
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = float(least)
    return adjusted
