"""How far training should scale: a model, from one measured step.

    python -m benchmarks.scaling_model [--gpus 64]

A step on `data` groups of `space` GPUs takes, p = data x space of them altogether and
nothing of it at the same time as anything else:

    T = c t / space                              computing, c = 1, or NATIVE in slabs
      + S latency                                batch norm's sums, S of them
      + 2 (p - 1) / p x 4 N / bandwidth          the gradients' all-reduce, N parameters
      + E latency + H / bandwidth                the slabs' edges, where space > 1

`docs/scaling.md` tells what it gives, and what of it was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import flops
from vnet_jax.reports import tables
from vnet_jax.runs.sharding import HALVINGS

SHAPE = (80, 240, 384)
#: Seconds of the cascade's training step, one sample, on an H200: docs/benchmarks.md.
STEP_S = 0.141
#: A step in the native form, as slabs take it, against the folded one: 239 and 142 ms.
NATIVE = 239 / 142
#: All-reduces and exchanges of edges in the compiled step of a cascade in slabs.
SUMS, EXCHANGES = 254, 132


@dataclass(frozen=True)
class Link:
    """Between GPUs: assumed, not measured.

    Attributes:
        bandwidth: bytes a second in one direction that a GPU's transfers reach.
        latency_s: seconds of a small all-reduce or exchange.
    """

    bandwidth: float
    latency_s: float


NODE = 8  # GPUs
WITHIN = Link(300e9, 15e-6)  # NVLink 4: two thirds of its 450 GB/s
ACROSS = Link(40e9, 40e-6)  # a 400 Gb/s adapter a GPU: 80 % of its 50 GB/s


def parameters() -> int:
    """Weights of the cascade's convolutions; biases and norms are below 1 % of them."""
    layers = flops.network("cascade", SHAPE)
    return sum(layer.taps * layer.inputs * layer.outputs for layer in layers)


def edge_bytes() -> float:
    """What a GPU between two others exchanges in a training step, bfloat16.

    Two columns to either side of each 5x5x5 convolution's input, and as much again for
    each of its two gradients.
    """
    full = SHAPE[0] * SHAPE[1] * SHAPE[2]
    sections = (
        layer.voxels / (SHAPE[2] * (layer.voxels / full) ** (1 / 3)) * layer.inputs
        for layer in flops.network("cascade", SHAPE)
        if layer.taps == flops.CONV
    )
    columns = 2 * 2 * flops.FORWARDS["train_step"]
    return sum(sections) * columns * flops.BYTES["bfloat16"]


def step_s(data: int, space: int = 1) -> float:
    """Seconds of a step on `data` groups of `space` GPUs, a sample a group."""
    gpus = data * space
    if gpus == 1:
        return STEP_S
    link = WITHIN if gpus <= NODE else ACROSS
    computing = STEP_S * (NATIVE if space > 1 else 1.0) / space
    sums = SUMS * link.latency_s
    gradients = 2 * (gpus - 1) / gpus * 4 * parameters() / link.bandwidth
    edges = 0.0
    if space > 1:
        near = WITHIN if space <= NODE else ACROSS
        edges = EXCHANGES * near.latency_s + edge_bytes() / near.bandwidth
    return computing + sums + gradients + edges


def lines(most: int) -> Iterator[tuple[str, ...]]:
    """A batch that grows with the GPUs, and the paper's batch of 4, GPU for GPU."""
    gpus = 1
    while gpus <= most:
        grown = step_s(gpus)
        cells = [str(gpus), f"{1e3 * grown:.0f}", f"{gpus / grown:.0f}"]
        cells.append(f"{100 * STEP_S / grown:.0f} %")
        groups, space = min(gpus, 4), max(gpus // 4, 1)
        cells.append(f"{groups} x {space}")
        if SHAPE[2] % (HALVINGS * space):
            cells += ["cannot be cut", "", ""]
        else:
            step = step_s(groups, space) * 4 / groups
            share = 4 * STEP_S / gpus / step
            cells += [f"{1e3 * step:.0f}", f"{4 / step:.0f}", f"{100 * share:.0f} %"]
        yield tuple(cells)
        gpus *= 2


HEADER = (
    *("GPUs", "a sample a GPU: ms a step", "samples/s", "efficiency"),
    *("batch 4: data x space", "ms a step", "samples/s", "efficiency"),
)


def main() -> None:
    """Prints the table."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--gpus", type=int, default=64, help="up to so many")
    print(tables.markdown(HEADER, list(lines(asked.parse_args().gpus))))
    gradients, edges = 4e-9 * parameters(), 1e-9 * edge_bytes()
    print(f"GB a step and GPU: gradients {gradients:.2f}, edges of slabs {edges:.2f}")


if __name__ == "__main__":
    main()
