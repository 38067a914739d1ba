"""Intervals that hold with a stated chance for the next case, whatever the errors' law.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005; Lei et al., 2018): of n
cases and a new one that are exchangeable, the new one's residual is among the
ceil((n + 1) level) smallest with a chance of at least `level`. Where the residuals are
out-of-fold ones, as here, this is the CV+ setting (Barber et al., 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def quantile(residuals: Sequence[float], level: float = 0.9) -> float | None:
    """The residual that a new case exceeds with a chance of at most 1 - `level`.

    Args:
        residuals: (n,) finite, one a case.
        level: in (0, 1).

    Returns:
        The ceil((n + 1) level)-th smallest; None where n is too small for one (fewer
        than 9 at 0.9): no finite interval would hold.

    Raises:
        ValueError: a level outside (0, 1), or a residual that is not finite.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    ordered = np.sort(np.asarray(residuals, np.float64))
    if not np.isfinite(ordered).all():
        raise ValueError("residuals must be finite")
    # 0.9 * 10 is 9.000000000000002 for some n: rounding must not ask for one more.
    rank = math.ceil((len(ordered) + 1) * level - 1e-9)
    return float(ordered[rank - 1]) if rank <= len(ordered) else None


def covered_without(residuals: Sequence[float], level: float = 0.9) -> float | None:
    """Share of the cases that the others' quantile covers: leave one out.

    Args:
        residuals: (n,) finite, one a case.
        level: in (0, 1).

    Returns:
        A number in [0, 1]; None where n - 1 cases give no finite quantile.
    """
    values = np.asarray(residuals, np.float64)
    inside = []
    for i, value in enumerate(values):
        limit = quantile(np.delete(values, i), level)
        if limit is None:
            return None
        inside.append(value <= limit)
    return float(np.mean(inside)) if inside else None


def ratio_residual(
    true_ml: float, predicted_ml: float, offset_ml: float, scale: float
) -> float:
    """How far a volume is off: |ln((true + offset) / (predicted + offset))| / scale.

    The logarithm serves small and large volumes alike, the offset those near and at 0,
    and the scale makes intervals wide where a case is doubtful (normalised conformal
    prediction, Papadopoulos et al., 2008).

    Args:
        true_ml: volume, >= 0.
        predicted_ml: volume, >= 0.
        offset_ml: > 0.
        scale: > 0, known without the truth.
    """
    return abs(math.log((true_ml + offset_ml) / (predicted_ml + offset_ml))) / scale


def ratio_interval(
    predicted_ml: float, residual: float, offset_ml: float, scale: float
) -> tuple[float, float]:
    """The volumes whose `ratio_residual` is at most `residual`: (low, high) in ml."""
    factor = math.exp(min(residual * scale, 50.0))  # e^50 ml: more than any patient
    low = (predicted_ml + offset_ml) / factor - offset_ml
    return max(low, 0.0), (predicted_ml + offset_ml) * factor - offset_ml
