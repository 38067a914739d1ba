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
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        if limit.exists() and limit.read_text().strip().isdigit():
            limits.append(int(limit.read_text()))
    return min(limits)
