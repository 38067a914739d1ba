"""The memory of this process and of its devices."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def give_back() -> None:
    """Gives the system what malloc keeps for later, as after a compilation.

    XLA's compiler frees 1 GB and more in small pieces, which glibc holds on to; the
    next large array would come on top of it. Nothing happens where there is no glibc.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def free_bytes() -> int | None:
    """Bytes that one device can still hold; None where nothing tells.

    Of a GPU what its allocator may take beside what it holds; of a CPU what the machine
    has available, over the devices that JAX cuts it into.
    """
    import jax  # reading a CT needs none of it

    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    if device.platform != "cpu":
        return None
    return available_memory() // jax.local_device_count()


def peak_bytes() -> int | None:
    """The most memory that this process has held; None where nothing tells."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux tells kB


def held_bytes() -> int:
    """What this process holds now; 0 where nothing tells."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def check_room(need: int, what: str) -> None:
    """Asks for memory before it is taken: a system that has none left ends programs.

    Args:
        need: bytes about to be allocated.
        what: for the message, such as "(667, 2560, 2560) voxels".

    Raises:
        MemoryError: they are not free, with both numbers.
    """
    have = available_memory()
    if need > have:
        raise MemoryError(
            f"{what} need {need / 1e9:.2f} GB, {have / 1e9:.2f} GB are free"
        )


def available_memory() -> int:
    """Bytes that this process may still take: the machine's or the container's."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        if "MemAvailable" in fields:
            limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    return max(0, min([*limits, *_left_in_groups()]))


def _left_in_groups(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """What the control groups of this process leave it: of Docker, Slurm, systemd.

    A group's limit holds for all groups below it. What it uses counts without the
    files that the kernel would drop.

    Args:
        root: where the groups are.
        own: which of them are this process's, a line each: number, kind, path.
    """
    lines = own.read_text().splitlines() if own.exists() else []
    paths = [line.split(":", 2)[1:] for line in lines if line.count(":") >= 2]
    left = []
    for kind, path in paths:
        base = root / "memory" if "memory" in kind.split(",") else root
        if kind and base == root:
            continue  # a group of processors, say
        group = base / path.lstrip("/")
        # In a container the path may be that outside of it; its own group is the root.
        for folder in {base, group, *group.parents}:
            if folder == base or base in folder.parents:
                left += _left_in(folder)
    return left


def _left_in(group: Path) -> list[int]:
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used, stat = group / limit, group / used, group / "memory.stat"
        try:
            if not (most := limit.read_text().strip()).isdigit():
                continue  # "max"
            spare = dict(line.split() for line in stat.read_text().splitlines())
            return [int(most) - int(used.read_text()) + int(spare.get(cached, 0))]
        except (OSError, ValueError):
            continue
    return []
