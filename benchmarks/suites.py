"""What each suite compares, the most wanted first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.program import (
    CHANNELS_LAST,
    COMPILE,
    COMPILE_CHANNELS_LAST,
    EAGER,
    Comparison,
    Program,
)

FULL = (80, 240, 384)  # the paper's region of interest
HALF = (80, 128, 192)  # about half of it; 120 is no multiple of 16
SMALL = (32, 64, 96)
TINY = (16, 32, 32)
MODES = (EAGER, CHANNELS_LAST, COMPILE)


@dataclass(frozen=True)
class Suite:
    """What is compared, where, and for how long.

    Attributes:
        device: "cpu", "gpu", or "" for the best there is.
        comparisons: in their order.
        budget_s: seconds for the rounds of one comparison.
        minutes: after which nothing more is begun; None for no end.
        size: of the matrix product that measures the machine.
        megabytes: of the copy that does.
        around: the parts around the network: "", "small" or "large".
    """

    device: str
    comparisons: tuple[Comparison, ...] = ()
    budget_s: float = 10.0
    minutes: float | None = None
    size: int = 2048
    megabytes: int = 64
    around: str = ""


def versus(program: Program, *rivals: str) -> Iterator[Comparison]:
    """Our program against PyTorch's ways to run the same."""
    return (Comparison(program, program.against(rival)) for rival in rivals)


def quick() -> Iterator[Comparison]:
    """Small shapes: does it run, and roughly how fast."""
    for work, net in (("forward", "vnet"), ("forward", "cascade")):
        yield from versus(Program(work, net, TINY), EAGER)
    yield from versus(Program("forward", "vnet", TINY, "bfloat16"), EAGER)
    yield from versus(Program("train_step", "vnet", TINY), EAGER)


def cpu() -> Iterator[Comparison]:
    """Both sizes against eager PyTorch, the full region forward, then every mode."""
    for shape in (SMALL, HALF):
        yield from versus(Program("forward", "vnet", shape), EAGER)
        yield from versus(Program("train_step", "vnet", shape), EAGER)
        yield from versus(Program("train_step", "cascade", shape), EAGER)
        yield from versus(Program("forward", "vnet", shape, "bfloat16"), EAGER)
    for dtype in ("float32", "bfloat16"):
        yield from versus(Program("forward", "cascade", FULL, dtype), EAGER)
    yield from every_mode(SMALL)


def every_mode(shape) -> Iterator[Comparison]:
    """Works, networks, dtypes and ways to run PyTorch, each with each."""
    for dtype in ("float32", "bfloat16"):
        for work in ("forward", "train_step"):
            for net in ("vnet", "cascade"):
                yield from versus(Program(work, net, shape, dtype), *MODES)


def gpu() -> Iterator[Comparison]:
    """The full region of interest; the cascade's training step in bfloat16 first."""
    step = Program("train_step", "cascade", FULL, "bfloat16")
    forward = dataclasses.replace(step, work="forward")
    yield from versus(step, CHANNELS_LAST)
    yield Comparison(dataclasses.replace(step, remat=True), step)
    yield from versus(forward, EAGER, CHANNELS_LAST)
    yield from versus(step, COMPILE_CHANNELS_LAST)  # takes minutes to compile
    for program in (step, forward):
        yield Comparison(program, dataclasses.replace(program, native=True))
    yield from versus(dataclasses.replace(forward, dtype="float32"), EAGER)
    yield from versus(dataclasses.replace(step, net="vnet"), CHANNELS_LAST)
    yield from versus(dataclasses.replace(step, dtype="float32"), EAGER)
    yield from versus(forward, COMPILE_CHANNELS_LAST)
    yield from versus(step, EAGER, COMPILE)
    for net in ("vnet", "cascade"):
        for dtype in ("bfloat16", "float32"):
            for work in ("forward", "train_step"):
                program = Program(work, net, FULL, dtype)
                yield from versus(program, *MODES, COMPILE_CHANNELS_LAST)


def without_repeats(comparisons: Iterator[Comparison]) -> tuple[Comparison, ...]:
    """The same in their order, each once."""
    return tuple(dict.fromkeys(comparisons))


SUITES = {
    "quick": Suite("cpu", without_repeats(quick()), 3.0, around="small"),
    "cpu": Suite("cpu", without_repeats(cpu()), 40.0, None, 4096, 512, "large"),
    "gpu": Suite("gpu", without_repeats(gpu()), 3.0, 8.0, 8192, 4096),
    "layers": Suite("", size=4096),
    "loader": Suite("cpu"),
    "race": Suite(""),
    "multi": Suite(""),
}
