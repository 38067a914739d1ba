"""What a data set of phantoms shares out evenly among its cases.

Drawn by chance alone, the four tumours of a small data set may all be of a kind that
one in five is. So what decides how hard a case is follows a Sobol sequence over the
numbers of the cases: any 4, 8, 16, ... cases from the first on hold each quarter,
eighth, sixteenth, ... of each range once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

#: Phase of the contrast; the first tumour's kind, volume, and depth in the kidney.
STRATA = ("phase", "kind", "volume", "depth")
BITS = 30


def even_draws(seed: Sequence[int] | int) -> dict[str, float]:
    """One number in [0, 1) for each of STRATA.

    Args:
        seed: the case's; the last number is its place in the data set, those before it
            turn the whole sequence about (a digital shift), another one each.
    """
    *group, number = (int(s) for s in np.atleast_1d(seed))
    shift = np.random.default_rng([*group, *b"strata"]).integers(2**BITS, size=4)
    sequence = qmc.Sobol(len(STRATA), scramble=False, bits=BITS)
    with warnings.catch_warnings():  # about counts that are no powers of two
        warnings.simplefilter("ignore")
        point = sequence.random(number + 1)[-1]
    turned = (np.rint(point * 2**BITS).astype(np.int64) ^ shift) / 2**BITS
    return dict(zip(STRATA, turned.tolist(), strict=True))
