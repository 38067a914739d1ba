"""Runs another program, measures it, and takes it along when it ends.

    python keeper.py USAGE.json PROGRAM [ARGUMENT ...]

A registration takes minutes: it must not go on alone when the program that asked for it
was killed. On Linux the kernel then ends this keeper, and with it the program. Being
small, the keeper also measures the program's memory and not its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # of Linux' prctl


def end_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(usage: str, *command: str) -> None:
    """Runs the command and writes how it ended and what it used."""
    parent = os.getppid()
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getppid() != parent:  # gone before the kernel was asked
        sys.exit(1)
    began = time.monotonic()
    process = subprocess.Popen(command, preexec_fn=end_with_parent)
    _, status, used = os.wait4(process.pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    facts = {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.monotonic() - began,
        "memory_mb": used.ru_maxrss * unit / 1e6,
    }
    with open(usage, "w", encoding="utf-8") as file:
        json.dump(facts, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
