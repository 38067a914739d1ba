"""The program as a user calls it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCH = [sys.executable, str(ROOT / "bin" / "bench.py")]


def test_help_names_suites_and_flags():
    done = subprocess.run([*BENCH, "--help"], capture_output=True, text=True)
    suites = "--suite: <quick|cpu|gpu|layers|loader|race|multi>"
    for word in (suites, "--out", "--torch_python"):
        assert word in done.stdout
    assert "ratio = PyTorch's time / ours" in done.stdout


def test_help_waits_for_no_library():
    program = "import sys, benchmarks.bench; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert "'benchmarks.bench'" in done.stdout
    for name in ("jax", "torch", "matplotlib", "numpy"):
        assert f"'{name}'" not in done.stdout


def test_a_python_that_is_not_there_is_refused_in_one_line(tmp_path):
    flags = [f"--out={tmp_path / 'out'}", f"--torch_python={tmp_path / 'python'}"]
    done = subprocess.run([*BENCH, *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("vnet_jax: ") and done.stderr.count("\n") == 1
    assert "--torch_python: not a program" in done.stderr
    assert not (tmp_path / "out").exists()
