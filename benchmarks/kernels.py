"""Where a program of ours spends its time on a GPU, kernel by kernel.

    python -m benchmarks.kernels --net cascade --work train_step --dtype bfloat16

Calls the program under JAX's profiler and adds up the kernels by name.
"""

from __future__ import annotations

import argparse
import collections
import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence

CALLS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table of the kernels of one program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", default="cascade", choices=["vnet", "cascade"])
    parser.add_argument(
        "--work", default="train_step", choices=["forward", "train_step"]
    )
    parser.add_argument("--shape", default="80x240x384")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--rows", type=int, default=30)
    said = parser.parse_args(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    from benchmarks import ours
    from benchmarks.program import Program

    shape = tuple(map(int, said.shape.split("x")))
    kind = {"remat": said.remat, "native": said.native}
    program = Program(said.work, said.net, shape, said.dtype, **kind)
    with ours.convolutions(said.native):
        call, facts = getattr(ours, said.work)(program, "")
    milliseconds = profile(call)
    print(f"{program}: {sum(milliseconds.values()):.1f} ms a call in kernels")
    print(f"compiled in {facts['compile_s']:.0f} s, plan {facts['planned_mb']:.0f} MB")
    print(table(milliseconds, said.rows))


def profile(call: Callable) -> dict[str, float]:
    """Milliseconds a call spends in each kernel.

    Args:
        call: of a compiled program.

    Returns:
        {"operation of XLA: kernel": milliseconds}, of the first GPU; empty without one.
    """
    import jax

    jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(CALLS):
                jax.block_until_ready(call())
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        data = jax.profiler.ProfileData.from_file(path)
        return totals(
            (name_of(event), event.duration_ns / 1e6 / CALLS)
            for plane in data.planes
            if plane.name == "/device:GPU:0"
            for line in plane.lines
            if line.name.startswith("Stream")
            for event in line.events
        )


def name_of(event) -> str:
    """The operation of XLA without its number, and the kernel that runs it."""
    operation = dict(event.stats).get("hlo_op", "")
    return f"{str(operation).rstrip('.0123456789')}: {event.name}"


def totals(events: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The sum of each name, the largest first."""
    sums = collections.Counter()
    for name, milliseconds in events:
        sums[name] += milliseconds
    return dict(sums.most_common())


def table(milliseconds: Mapping[str, float], rows: int) -> str:
    """The largest as Markdown, the rest in one row."""
    whole = sum(milliseconds.values()) or 1.0
    lines = ["| ms | share | kernel |", "|---|---|---|"]
    shown = list(milliseconds.items())[:rows]
    shown.append(("the rest", whole - sum(ms for _, ms in shown)))
    lines += [f"| {ms:.2f} | {ms / whole:.1%} | {name} |" for name, ms in shown]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
