"""Memory in pages of 2 MB instead of 4 kB, which Linux gives only to who asks."""

from __future__ import annotations

import os
import sys

TUNABLES = "GLIBC_TUNABLES"


def ask_for_huge_pages() -> None:
    """Starts this program anew with malloc told to ask for huge pages.

    On a CPU a training step allocates and frees its activations; with pages of 4 kB the
    kernel spends a third of the step's time on handing them out. glibc (2.35 and newer)
    reads its settings only as a process starts. Nothing happens off Linux, or where
    GLIBC_TUNABLES is set, so a value of one's own, even an empty one, is respected.
    """
    if sys.platform != "linux" or TUNABLES in os.environ:
        return
    os.environ[TUNABLES] = "glibc.malloc.hugetlb=1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
