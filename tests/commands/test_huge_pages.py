import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
print("started", os.getpid(), flush=True)
from vnet_jax.commands.huge_pages import ask_for_huge_pages
ask_for_huge_pages()
print("runs", os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[2:], flush=True)
"""


def said(environment: dict) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(ROOT), "--a", "b c"]
    bare = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    done = subprocess.run(
        command, env=bare | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone starts anew")
def test_starts_anew_once_in_the_same_process_with_the_same_arguments():
    first, again, runs = said({})
    assert first == again
    assert runs.split()[1] == first.split()[1]
    assert runs.endswith("glibc.malloc.hugetlb=1 ['--a', 'b c']")


@pytest.mark.parametrize("own", ["", "glibc.malloc.check=0"])
def test_a_setting_of_the_users_own_stays(own):
    first, runs = said({"GLIBC_TUNABLES": own})
    assert first.startswith("started")
    assert runs.endswith(f"{own} ['--a', 'b c']")
