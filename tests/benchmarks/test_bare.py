"""A machine with a GPU may have only JAX, Flax, Optax, NumPy and SciPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MISSING = (
    "isal matplotlib ml_collections monai nibabel psutil tensorboardX tqdm".split()
)
BLOCK = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
PROGRAM = """
import sys
from pathlib import Path
from benchmarks import run, suites
from benchmarks.program import Program

run.python_with_torch = lambda asked: ""
program = Program("forward", "vnet", (16, 16, 16), width=2)
suites.SUITES["quick"] = suites.Suite(
    "cpu", tuple(suites.versus(program, "torch-eager")), 0.1, size=64, megabytes=1
)
with run.Run("quick", Path(sys.argv[1])) as tiny:
    tiny.run()
"""


def test_a_suite_runs_without_what_only_files_and_plots_need(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "plot: not run: matplotlib is not installed" in done.stdout
    results = json.loads((tmp_path / "out" / "bench.json").read_text())
    (row,) = results["rows"]
    assert row["ours_s"] > 0 and row["ours_peak_mb"] > 0 and row["ours_planned_mb"] > 0
    assert row["rival_not_run"] == "PyTorch is not installed"
    assert results["machine"]["rates"]["matmul"]["float32"] > 0
    assert results["machine"]["versions"]["vnet_jax"]["jax"]


def test_race_and_multi_need_no_more(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    modules = "benchmarks.race_ours, benchmarks.run, benchmarks.worker"
    subprocess.run(
        [sys.executable, "-c", f"import {modules}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
    )
