"""The memory of this process."""

from __future__ import annotations

import ctypes
import sys


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
