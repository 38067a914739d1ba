"""1, 2 and 4 devices: weak scaling, one sample a device.

Ours is one process over all devices (on a CPU, devices that JAX cuts it into); the twin
is DistributedDataParallel under torchrun, a process a device. Batch norm differs: ours
normalises over the global batch, DistributedDataParallel over each process's share.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.program import CHANNELS_LAST, EAGER, Comparison, Program

COUNTS = (1, 2, 4)
SHAPE = {"cpu": (32, 48, 48), "gpu": (80, 240, 384)}


def comparisons(device: str) -> Iterator[Comparison]:
    """A training step on 1, 2 and 4 devices: on a GPU what the paper trains."""
    for count in COUNTS:
        gpu = device == "gpu"
        program = Program(
            "train_step",
            "cascade" if gpu else "vnet",
            SHAPE[device],
            "bfloat16" if gpu else "float32",
            batch=count,
            devices=count,
        )
        rival = CHANNELS_LAST if gpu else EAGER
        yield Comparison(program, program.against(rival))


def missing(device: str, devices: int, here: int) -> str:
    """Why so many devices cannot be had, or "". A CPU can be cut into any number."""
    if device == "cpu" or devices <= here:
        return ""
    return f"{devices} devices, {here} here"


def scaled(rates: dict, device: str, devices: int) -> dict:
    """The machine's rates for several GPUs; the parts of a CPU share its own."""
    if device == "cpu":
        return rates
    products = {dtype: rate * devices for dtype, rate in rates["matmul"].items()}
    copy = rates["copy"] and rates["copy"] * devices
    return rates | {"matmul": products, "copy": copy}


def scaling(rows: list[dict]) -> list[dict]:
    """Samples a second, and as a share of what 1 device would give n times.

    Args:
        rows: of this suite.

    Returns:
        {"devices", and of each side samples_per_s and efficiency} a row. The parts of
        a CPU share its cores: 1 / n is all that can be had there.
    """
    out = []
    for row in rows:
        line = {"devices": row["devices"]}
        for side in ("ours", "rival"):
            alone = next((r[f"{side}_s"] for r in rows if r["devices"] == 1), None)
            seconds = row[f"{side}_s"]
            line[f"{side}_samples_per_s"] = row["batch"] / seconds if seconds else None
            both = alone and seconds
            line[f"{side}_efficiency"] = alone / seconds if both else None
        out.append(line)
    return out
