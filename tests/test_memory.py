import ctypes
import sys
from pathlib import Path

import pytest

from vnet_jax import memory


def resident_mb() -> int:
    """Of this process."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("nothing tells what is resident here")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


def test_what_lies_below_a_small_piece_is_given_back():
    pieces = [bytes(1000) for _ in range(200_000)]
    kept = bytes(1000)  # above them: the heap cannot just shrink
    full = resident_mb()
    del pieces
    memory.give_back()
    assert resident_mb() < full - 100 and len(kept) == 1000


def test_without_glibc_nothing_happens(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.give_back()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.give_back()


def group(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(f"{text}\n")


def test_what_a_container_leaves(tmp_path):
    """Version 2: the group's own limit, and that of a group above it."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("0::/slice/job\n")
    stat = "anon 5\ninactive_file 300"
    job = root / "slice" / "job"
    group(job, memory__max=2000, memory__current=1500, memory__stat=stat)
    group(job.parent, memory__max="max", memory__current=9, memory__stat=stat)
    assert memory._left_in_groups(root, own) == [800]
    group(job.parent, memory__max=1600, memory__current=1500, memory__stat=stat)
    assert sorted(memory._left_in_groups(root, own)) == [400, 800]
    own.write_text("0::/elsewhere/outside\n")  # as a container's path may be
    group(root, memory__max=5000, memory__current=1000, memory__stat="anon 1")
    assert memory._left_in_groups(root, own) == [4000]
    assert memory._left_in_groups(root, tmp_path / "none") == []


def test_what_a_container_of_version_1_leaves(tmp_path):
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("4:memory:/docker/x\n3:cpuset:/docker/x\n")
    files = {
        "memory.limit_in_bytes": "1000",
        "memory.usage_in_bytes": "900",
        "memory.stat": "total_inactive_file 50",
    }
    group(root / "memory" / "docker" / "x", **files)
    group(root / "docker" / "x", memory__max=1, memory__current=0, memory__stat="")
    assert memory._left_in_groups(root, own) == [150]


def test_the_smallest_limit_counts(monkeypatch):
    free = memory.available_memory()
    assert 0 < free
    monkeypatch.setattr(memory, "_left_in_groups", lambda: [12345, 10**18])
    assert memory.available_memory() == 12345
    monkeypatch.setattr(memory, "_left_in_groups", lambda: [-5])
    assert memory.available_memory() == 0
