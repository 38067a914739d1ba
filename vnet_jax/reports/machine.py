"""On what a result was made: the machine and the versions, as facts for a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata

from vnet_jax import processor

PACKAGES = ("jax", "flax", "optax", "numpy", "scipy", "nibabel")


def hardware() -> dict[str, str]:
    """Processor, cores this process may use, memory, system."""
    facts = {"Processor": processor.name(), "Cores": str(_cores())}
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        facts["Memory"] = f"{memory / 2**30:.1f} GiB"
    facts["System"] = f"{platform.system()} {platform.machine()}"
    return facts


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    facts = {"Python": platform.python_version()}
    for name in packages:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
