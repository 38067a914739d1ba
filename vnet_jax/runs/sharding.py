"""Which devices a run uses and what lies on them. The only file that names devices.

They stand in a mesh of two axes: `data` over the samples of a batch, `space` over the
slabs that each volume is cut into along one axis. The state is whole on each device. A
step is one jitted program over all of them: batch norm sees every sample that is in the
program at the same time, on whichever device, and XLA writes the all-reduce of the
gradients and the exchange of the slabs' edges that a convolution needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vnet_jax.errors import InputError

#: Halvings of a V-Net: a slab must have whole voxels at the deepest level.
HALVINGS = 16


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch goes over the devices.

    Attributes:
        batch_size: samples a step, over all devices.
        devices: devices in use, `data` x `space` of them.
        available: devices there are.
        micro_batch: samples in the program at one time, over all devices.
        space: slabs that each volume is cut into, a device each.
        axis: spatial axis (0, 1 or 2 of D, H, W) that is cut.
        processes: that train together, each with as many of the devices.
    """

    batch_size: int
    devices: int
    available: int
    micro_batch: int
    space: int = 1
    axis: int = 2
    processes: int = 1

    @property
    def data(self) -> int:
        """Groups of devices over which the samples are cut."""
        return self.devices // self.space

    @property
    def held(self) -> int:
        """Samples in the program at one time on one group of devices."""
        return self.micro_batch // self.data

    @property
    def micro_batches(self) -> int:
        """How many micro-batches accumulate to one step."""
        return self.batch_size // self.micro_batch

    def __str__(self) -> str:
        """One line for the log."""
        unused = self.available - self.devices
        cut = f", each volume in {self.space} along {'DHW'[self.axis]}"
        return (
            f"batch {self.batch_size} = {self.micro_batches} x {self.micro_batch} "
            f"on {self.devices} device{'s' if self.devices > 1 else ''}"
            + (f" of {self.processes} processes" if self.processes > 1 else "")
            + (cut if self.space > 1 else "")
            + (f", {unused} unused: they do not divide the batch" if unused else "")
        )


def plan_batch(
    batch_size: int,
    device_batch: int,
    available: int,
    *,
    data: int = 0,
    space: int = 1,
    shape: Sequence[int] = (),
    processes: int = 1,
) -> BatchPlan:
    """Plans a step: as many devices as divide the batch, as many samples as they hold.

    A batch of 4 with `device_batch` 1 goes over 4 devices at once; on 3 devices it goes
    over 2 of them, twice. With `device_batch` 3 on one device it goes as 2 x 2, since
    micro-batches of unequal size would weigh their samples unequally. With `space` 4
    and 8 devices each volume is cut over 4, and 2 groups of 4 share the batch.

    Args:
        batch_size: samples a step, over all devices.
        device_batch: the most samples a device (or a group of `space`) holds at a time.
        available: devices there are.
        data: groups of devices to use; 0 for as many as there are and divide the batch.
        space: slabs that each volume is cut into, along its longest axis (the last of
            equal ones).
        shape: (D, H, W) voxels of a sample, where `space` is above 1.
        processes: that have the devices, as many each; all take part.

    Returns:
        The plan.

    Raises:
        ValueError: a number is below 1.
        InputError: the devices do not suffice, or do not divide batch or volume.
    """
    if min(batch_size, device_batch, available, space) < 1 or data < 0:
        raise ValueError(
            f"batch_size {batch_size}, device_batch {device_batch}, mesh.space {space} "
            f"and {available} devices must be at least 1, mesh.data {data} at least 0"
        )
    axis = 2 - int(np.argmax(shape[::-1])) if space > 1 else 2
    if space > 1 and shape[axis] % (HALVINGS * space):
        raise InputError(
            None,
            f"mesh.space {space} cannot cut {shape[axis]} voxels ({'DHW'[axis]}) of "
            f"sample.shape {tuple(shape)}",
            f"make them a multiple of {HALVINGS * space}",
        )
    if max(data, 1) * space > available:
        raise InputError(
            None,
            f"mesh.data {data or 1} x mesh.space {space} needs "
            f"{max(data, 1) * space} devices, there are {available}",
            "lower them with --config.mesh.data and --config.mesh.space",
        )
    if data and batch_size % data:
        raise InputError(
            None,
            f"mesh.data {data} does not divide batch_size {batch_size}",
            "change either with --config.FIELD=VALUE",
        )
    groups = data or next(
        (
            n
            for n in range(min(batch_size, available // space), 0, -1)
            if batch_size % n == 0 and n * space % processes == 0
        ),
        0,
    )
    if not groups or groups * space % processes:
        raise InputError(
            None,
            f"batch_size {batch_size} on {groups or 'any number of'} groups of "
            f"{space} devices leaves some of {processes} processes without work",
            "make batch_size a multiple of the processes, or start fewer of them",
        )
    held = _largest_divisor(batch_size // groups, device_batch)
    return BatchPlan(
        batch_size, groups * space, available, held * groups, space, axis, processes
    )


def available_devices() -> int:
    """How many devices this process group sees."""
    return jax.device_count()


def mesh_of(plan: BatchPlan) -> Mesh:
    """A mesh (data, space) over the first devices of each process.

    Auto axes: with the default Explicit ones resize, transposed convolution and
    integer-label cross entropy fail on one or the other version of JAX.

    Args:
        plan: how many.

    Returns:
        The mesh.
    """
    each = plan.devices // plan.processes
    by_process: dict[int, list] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    devices = [d for index in sorted(by_process) for d in by_process[index][:each]]
    if len(devices) != plan.devices:
        raise InputError(
            None,
            f"the processes have {[len(d) for d in by_process.values()]} devices, "
            f"{each} of each are needed",
            "start every process with as many",
        )
    return jax.make_mesh(
        (plan.data, plan.space),
        ("data", "space"),
        axis_types=(AxisType.Auto,) * 2,
        devices=devices,
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device: the state."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh, axis: int = 2) -> NamedSharding:
    """Of a batch as `put_batch` shapes it: samples over `data`, slabs over `space`.

    Args:
        mesh: from `mesh_of`.
        axis: spatial axis (0, 1 or 2 of D, H, W) that is cut, where the mesh cuts one.

    Returns:
        For arrays (K, M, D, H, W) and (K, M, D, H, W, C); where no volume is cut, for
        any (K, M, ...).
    """
    slabs = (None,) * axis + ("space",) if mesh.shape["space"] > 1 else ()
    return NamedSharding(mesh, PartitionSpec(None, "data", *slabs))


def own_samples(plan: BatchPlan, sharding: NamedSharding) -> list[int]:
    """Which samples of the global batch this process's devices see, in order.

    Args:
        plan: how the batch goes over the devices.
        sharding: from `over_batch`.

    Returns:
        Indices from 0 to `plan.batch_size` - 1: all of them in a single process. Two
        processes whose devices share a volume see the same samples.
    """
    held = _own_of_micro(sharding, plan.micro_batch)
    starts = range(0, plan.batch_size, plan.micro_batch)
    return [start + i for start in starts for i in held]


def put_batch(
    arrays: Mapping[str, np.ndarray], plan: BatchPlan, sharding: NamedSharding
) -> dict[str, jax.Array]:
    """Starts the transfer of a global batch to the devices.

    Micro-batch i holds the samples i * B/K ... (i + 1) * B/K - 1, on any number of
    devices and of processes.

    Args:
        arrays: arrays (b, ...), the samples `own_samples` of the global batch.
        plan: how the batch goes over the devices: B samples in K micro-batches.
        sharding: from `over_batch`.

    Returns:
        Arrays (K, B / K, ...).
    """
    held = _own_of_micro(sharding, plan.micro_batch)

    def put(array):
        own = array.reshape(plan.micro_batches, len(held), *array.shape[1:])

        def part(index):
            start = index[1].start or 0
            stop = plan.micro_batch if index[1].stop is None else index[1].stop
            first = held.index(start)
            return own[(index[0], slice(first, first + stop - start), *index[2:])]

        shape = (plan.micro_batches, plan.micro_batch, *array.shape[1:])
        return jax.make_array_from_callback(shape, sharding, part)

    return {name: put(array) for name, array in arrays.items()}


def put_whole(tree, sharding: NamedSharding):
    """Puts a tree that every process holds on all devices, whole on each.

    Args:
        tree: arrays of NumPy or JAX.
        sharding: from `replicated`.

    Returns:
        The same tree of arrays on the devices.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(leaf):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda i: leaf[i])

    return jax.tree.map(put, tree)


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


def _own_of_micro(sharding: NamedSharding, samples: int) -> list[int]:
    """Which samples of a micro-batch this process's devices see."""
    cut = NamedSharding(sharding.mesh, PartitionSpec(None, "data"))
    parts = cut.addressable_devices_indices_map((1, samples)).values()
    return sorted({i for _, part in parts for i in range(*part.indices(samples))})


def _largest_divisor(number: int, limit: int) -> int:
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
