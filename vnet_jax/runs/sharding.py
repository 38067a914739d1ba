"""Which devices a run uses and what lies on them. The only file that names devices.

The batch is cut over the devices and the state is whole on each of them. A step is one
jitted program over all devices: batch norm sees every sample that is in the program at
the same time, on whichever device, and XLA writes the all-reduce of the gradients.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vnet_jax.errors import InputError

#: Axes of a batch on the devices: micro-batches in time, samples over the devices.
BATCH_AXES = PartitionSpec(None, "data")


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch goes over the devices.

    Attributes:
        batch_size: samples a step, over all devices.
        devices: devices in use; the batch is cut evenly over them.
        available: devices there are.
        micro_batch: samples in the program at one time, over all devices.
    """

    batch_size: int
    devices: int
    available: int
    micro_batch: int

    @property
    def micro_batches(self) -> int:
        """How many micro-batches accumulate to one step."""
        return self.batch_size // self.micro_batch

    def __str__(self) -> str:
        """One line for the log."""
        unused = self.available - self.devices
        return (
            f"batch {self.batch_size} = {self.micro_batches} x {self.micro_batch} "
            f"on {self.devices} device{'s' if self.devices > 1 else ''}"
            + (f", {unused} unused: they do not divide the batch" if unused else "")
        )


def plan_batch(batch_size: int, device_batch: int, available: int) -> BatchPlan:
    """Plans a step: as many devices as divide the batch, as many samples as they hold.

    A batch of 4 with `device_batch` 1 goes over 4 devices at once; on 3 devices it goes
    over 2 of them, twice. With `device_batch` 3 on one device it goes as 2 x 2, since
    micro-batches of unequal size would weigh their samples unequally.

    Args:
        batch_size: samples a step, over all devices.
        device_batch: the most samples a device holds at a time.
        available: devices there are.

    Returns:
        The plan.

    Raises:
        ValueError: a number is below 1.
    """
    if min(batch_size, device_batch, available) < 1:
        raise ValueError(
            f"batch_size {batch_size}, device_batch {device_batch} and "
            f"{available} devices must all be at least 1"
        )
    devices = _largest_divisor(batch_size, available)
    held = _largest_divisor(batch_size // devices, device_batch)
    return BatchPlan(batch_size, devices, available, held * devices)


def available_devices() -> int:
    """How many devices this process group sees."""
    return jax.device_count()


def data_mesh(devices: int) -> Mesh:
    """A mesh with the one axis `data` over the first devices.

    Auto axes: with the default Explicit ones resize, transposed convolution and
    integer-label cross entropy fail on one or the other version of JAX.

    Args:
        devices: how many.

    Returns:
        The mesh.
    """
    return jax.make_mesh(
        (devices,),
        ("data",),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[:devices],
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device: the state."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """Cut over the devices along the second axis: a batch as `put_batch` shapes it."""
    return NamedSharding(mesh, BATCH_AXES)


def put_batch(
    arrays: Mapping[str, np.ndarray], micro_batches: int, sharding: NamedSharding
) -> dict[str, jax.Array]:
    """Starts the transfer of a global batch to the devices.

    Micro-batch i holds the samples i * B/K ... (i + 1) * B/K - 1, on any number of
    devices.

    Args:
        arrays: arrays (B, ...), the whole global batch.
        micro_batches: K, how many micro-batches a step accumulates.
        sharding: `over_batch(mesh)`.

    Returns:
        Arrays (K, B / K, ...).
    """

    def put(array):
        shape = (micro_batches, len(array) // micro_batches, *array.shape[1:])
        return jax.make_array_from_process_local_data(
            sharding, array.reshape(shape), shape
        )

    return {name: put(array) for name, array in arrays.items()}


def on_first_device(tree):
    """A copy of a replicated tree on one device, for work that one device does alone.

    Args:
        tree: arrays that are whole on each device.

    Returns:
        The same tree, each array on the first device that holds it.
    """
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def use_device(name: str) -> None:
    """Makes one device the one that computes where no mesh says otherwise.

    Args:
        name: a platform, "cpu" or "gpu", or one of its devices, such as "cuda:1".

    Raises:
        InputError: no such device here.
    """
    platform, _, number = name.partition(":")
    try:
        device = jax.devices(platform)[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        here = sorted({device.platform for device in jax.devices()} | {"cpu"})
        raise InputError(
            None, f"there is no device {name!r} here", f"choose from {', '.join(here)}"
        ) from None
    jax.config.update("jax_default_device", device)


def keep_compiled() -> None:
    """Has JAX keep compiled programs on disk, so that the next start is quick.

    In `vnet_jax/compiled` of the user's cache folder (XDG_CACHE_HOME, ~/.cache by
    default), unless JAX_COMPILATION_CACHE_DIR names another. Not on a CPU: a program
    that calls oneDNN cannot be written there.
    """
    if jax.config.jax_compilation_cache_dir or jax.default_backend() == "cpu":
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(cache / "vnet_jax/compiled"))


def device_in_use() -> str:
    """What computes where no mesh says otherwise, such as "NVIDIA H100"."""
    device = jax.config.jax_default_device or jax.devices()[0]
    return device.device_kind


def _largest_divisor(number: int, limit: int) -> int:
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
