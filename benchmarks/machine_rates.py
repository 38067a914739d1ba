"""What the machine can do: a large matrix product and a large copy.

Each side measures both with its own library in the same run; the machine's rate is the
highest of them, since what one library reaches the machine can do. The values are
random: with constant ones a GPU draws less power and is faster than it is at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

REPEATS = 5
TRIAL = 1024  # rows of a product that is quick even where a dtype is emulated
PATIENCE_S = 10.0
ENOUGH_S = 0.05  # to time a call of a millisecond

Call = Callable[[], object]


def measure(
    product: Callable[[int, str], Call],
    copy: Callable[[int], Call],
    size: int,
    megabytes: int,
    dtypes: Sequence[str],
) -> dict:
    """Measures one library.

    Args:
        product: (n, dtype) -> a call that multiplies two n x n matrices.
        copy: float32 values -> a call that reads them and writes as many.
        size: n of the large product.
        megabytes: of the copied array.
        dtypes: of the products.

    Returns:
        {"matmul": {dtype: FLOP/s}, "copy": bytes/s, reads and writes both counted}.
    """
    rates = {dtype: product_rate(product, size, dtype) for dtype in dtypes}
    count = megabytes * 250_000
    return {"matmul": rates, "copy": 8 * count / fastest(copy(count))}


def of_numpy(size: int, megabytes: int) -> dict:
    """What NumPy reaches on the CPU, in float32."""

    def product(n, dtype):
        a = np.random.default_rng(0).standard_normal((n, n), dtype)
        return partial(np.matmul, a, a)

    def copy(count):
        x = np.ones(count, np.float32)
        return partial(np.copyto, np.empty_like(x), x)

    return measure(product, copy, size, megabytes, ["float32"])


def product_rate(product: Callable[[int, str], Call], size: int, dtype: str) -> float:
    """FLOP/s of the large product; of a small one where that would take too long."""
    trial = min(size, TRIAL)
    rate = 2 * trial**3 / fastest(product(trial, dtype), 2)
    if size == trial or 2 * size**3 / rate > PATIENCE_S:
        return rate
    return 2 * size**3 / fastest(product(size, dtype))


def fastest(call: Call, repeats: int = REPEATS) -> float:
    """Seconds of the fastest of some calls after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def per_call(call: Call) -> float:
    """Seconds of a call, the mean of as many as fit into ENOUGH_S, at least one."""
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < ENOUGH_S or not count:
        call()
        count += 1
    return took / count


def best(measured: Mapping[str, Mapping]) -> dict:
    """The machine's rates from those of several libraries.

    Args:
        measured: library -> what `measure` returned.

    Returns:
        {"matmul": {dtype: FLOP/s}, "copy": bytes/s, "by": {"matmul": {dtype: library},
        "copy": library}}.
    """
    dtypes = {dtype for rates in measured.values() for dtype in rates["matmul"]}
    by = {
        dtype: max(measured, key=lambda name: measured[name]["matmul"].get(dtype, 0))
        for dtype in sorted(dtypes)
    }
    copier = max(measured, key=lambda name: measured[name]["copy"], default=None)
    return {
        "matmul": {d: measured[name]["matmul"][d] for d, name in by.items()},
        "copy": measured[copier]["copy"] if copier else None,
        "by": {"matmul": by, "copy": copier},
    }
