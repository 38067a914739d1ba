"""Greedy's command line, from its Python wheel: one process, one command.

    python greedy_program.py -d 3 -a ...

The wheel brings no program of its own, and what C++ aborts takes its process along.
"""

from __future__ import annotations

import shlex
import sys

from picsl_greedy import Greedy3D

if __name__ == "__main__":
    try:
        Greedy3D().execute(shlex.join(sys.argv[1:]))
    except Exception as error:
        sys.exit(f"greedy: {error}")
