"""How sure a mean over cases is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Resampled means per interval; the 2.5 % tail then rests on 250 of them.
DRAWS = 10_000

#: Drawn indices held in memory at a time: 8 MB.
BLOCK = 1_000_000


def mean_interval(
    values: Sequence[float], seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over cases and its percentile bootstrap interval (Efron, 1979).

    Cases are drawn with replacement `DRAWS` times; the interval holds the middle
    `level` of the resampled means. It says how the mean would move with other cases
    of the same kind, nothing about other hospitals. With one case it is that case.

    Args:
        values: (n,) one finite number a case, n >= 1.
        seed: of the resampling: the same seed and values give the same interval.
        level: share of the resampled means inside the interval, in (0, 1).

    Returns:
        (mean, low, high), in the values' unit.

    Raises:
        ValueError: no values, a value that is not finite, or a level outside (0, 1).
    """
    values = _checked(values)
    low, high = _middle(_resampled_means(values, seed), level)
    return float(values.mean()), low, high


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], seed: int, level: float = 0.95
) -> tuple[float, float, float] | None:
    """Sum of parts over sum of wholes, and its bootstrap interval over cases.

    For the share of all tumours that is found: cases are drawn, not tumours, since
    those of one patient are not independent. Draws without any whole are left out.

    Args:
        parts: (n,) such as the tumours found in each case.
        wholes: (n,) such as its tumours.
        seed: of the resampling.
        level: share of the resampled ratios inside the interval, in (0, 1).

    Returns:
        (ratio, low, high), or None where the wholes are 0.

    Raises:
        ValueError: as for `mean_interval`.
    """
    parts, wholes = _checked(parts), _checked(wholes)
    if wholes.sum() == 0:
        return None
    # One seed: the same cases are drawn for both.
    above, below = (_resampled_means(v, seed) for v in (parts, wholes))
    low, high = _middle(above[below > 0] / below[below > 0], level)
    return float(parts.sum() / wholes.sum()), low, high


def _checked(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"a mean needs at least one value; got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite; got {values.tolist()}")
    return values


def _middle(resampled: np.ndarray, level: float) -> tuple[float, float]:
    """The interval that holds the middle `level` of resampled values."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(resampled, (tail, 1.0 - tail))
    return float(low), float(high)


def _resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """(DRAWS,) means of n values drawn from n with replacement."""
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // values.size)  # 210 cases: 4761 resampled means a block
    blocks = []
    for start in range(0, DRAWS, rows):
        size = (min(rows, DRAWS - start), values.size)
        blocks.append(values[rng.integers(values.size, size=size)].mean(axis=1))
    return np.concatenate(blocks)
