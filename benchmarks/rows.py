"""One row of the results: the contract's fields first, then what explains them."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import flops, inputs
from benchmarks.pool import Ready
from benchmarks.program import Comparison

#: The fields of every row that other programs may rely on; None where not run.
FIELDS = (
    *("work", "net", "shape", "dtype", "rival", "ours_s", "rival_s", "ratio", "spread"),
    *("ours_peak_mb", "rival_peak_mb"),
)


def row_of(
    comparison: Comparison,
    ours: Ready,
    rival: Ready,
    numbers: Mapping,
    rates: Mapping,
) -> dict:
    """Puts a row together.

    Args:
        comparison: what was compared.
        ours: our program.
        rival: the other.
        numbers: from `compare.Timing`.
        rates: from `machine_rates.best`.

    Returns:
        FIELDS; batch, devices, remat, native, width, flop, rounds, in_turn; for
        each side what `_side` returns; difference of the logits as a share of the
        largest.
    """
    program = comparison.ours
    settings = program.settings() | {"shape": list(program.shape)}
    fields = settings | {"rival": comparison.rival_name} | dict(numbers)
    row = {name: fields[name] for name in FIELDS}
    ways = ("batch", "devices", "remat", "native", "width")
    row |= {name: fields[name] for name in ways}
    size = (program.work, program.net, program.shape)
    much = {"batch": program.batch, "width": program.width}
    flop = flops.flop(*size, **much)
    row |= {"flop": flop} | {name: numbers[name] for name in ("rounds", "in_turn")}
    work = (flop, flops.moved_bytes(*size, program.dtype, **much))
    for name, side in (("ours", ours), ("rival", rival)):
        of_side = _side(side, numbers[f"{name}_s"], work, rates, program.dtype)
        row |= {f"{name}_{key}": value for key, value in of_side.items()}
    return row | {"difference": difference(ours.facts, rival.facts)}


def _side(side: Ready, seconds, work, rates: Mapping, dtype: str) -> dict:
    """FLOP/s, shares of the machine's rates, compilation, memory, or why not."""
    flop, moved = work
    multiply, copy = rates["matmul"].get(dtype), rates["copy"]
    return {
        "flop_per_s": _share(flop, seconds),
        "share": _share(_share(flop, seconds), multiply),
        "copy_share": _share(_share(moved, seconds), copy),
        "compile_s": side.facts.get("compile_s"),
        "first_s": side.facts.get("first_s"),
        "planned_mb": side.facts.get("planned_mb"),
        "loss": side.facts.get("loss"),
        "not_run": side.reason,
    }


def difference(ours: Mapping, rival: Mapping) -> float | None:
    """How far the logits of the two sides are apart, where both told some."""
    if "probe" not in ours or "probe" not in rival:
        return None
    return inputs.difference(ours["probe"], rival["probe"])


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
