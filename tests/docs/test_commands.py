"""Every command of the documentation that a CPU can run, run: as written, on tiny data.

The commands run in a folder that has what their readers have: `bin`, data, a CT. Its
`configs` are the repository's made small, so the commands need no other word.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.sandbox import fill

#: Part of a command -> why it is not run here.
NOT_RUN = {
    "make ": "the whole of it: `make` itself is tried on a fresh clone",
    "pip install": "would change the environment of the tests",
    "docker ": "needs Docker",
    " && ": "tests/commands/test_console.py",
    "sbatch": "needs Slurm",
    "--distributed": "needs several hosts; tests/training/test_hosts.py starts them",
    "--coordinator": "needs several hosts; tests/training/test_hosts.py starts them",
    "bin/convert.py": "needs PyTorch's files; tests/baseline makes them",
    "bin/bench.py": "measures for minutes; tests/benchmarks runs it small",
    "--labels LABELS": "needs KiTS19's label maps",
    "--labels KITS19_LABELS": "needs KiTS19's label maps",
    "--data painted": "needs KiTS19's label maps",
    "--config configs/reproduce.py --data data/kits19 --out paper": "hours of it; "
    "tests/experiments plans it, and every program of it runs here",
    " ...": "an outline",
}
#: What stands for something of the reader's, and sizes.
REPLACED = {
    "--n 16 --spacing 3,1.75,1.75": "--n 4 --spacing 8,6,6",
    "root DIR": "root data/kits19",
    "fold$k": "fold0",
    "--hard 20 --per_hard 10": "--hard 1 --per_hard 1",
    "--data data/kits19 --out data/registered0 --workers 4": "--data data/kits19 "
    "--out data/registered0 --hard 1 --per_hard 1 --allow_fewer --workers 2",
    # "masks" stands for those of every case.
    "--predictions masks --labels": "--predictions oof --labels",
    "--predictions masks --cts data/kits19": "--predictions test_masks "
    "--cts data/kits19_test --allow_missing",
    "--config my_config.py": "--config my_config.py --config.epochs=1 "
    "--config.sample.shape=16,32,32 --config.data.spacing_mm=4.0,4.0,4.0 "
    "--config.data.downsample=1,1,1 --config.data.folds=2",
    "--workers 8": "--workers 2",
    "--workers 4": "--workers 2",
}
FIRST = ("docs/tutorial.md", "docs/howto/registration.md")
PAGES = [*FIRST, *(page for page in pages.pages() if page not in FIRST)]


def reason(command: str) -> str:
    """Why a command is not run; "" where it is."""
    return next((why for part, why in NOT_RUN.items() if part in command), "")


def run(command: str, folder: Path) -> None:
    for old, new in REPLACED.items():
        command = command.replace(old, new)
    words = shlex.split(command)
    own = dict(w.split("=", 1) for w in words[: _program(words)])
    words = [sys.executable if w == "python" else w for w in words[_program(words) :]]
    if words[0] == "vnet-jax":
        words[:1] = [sys.executable, "-m", "vnet_jax"]
    path = os.pathsep.join(filter(None, [str(pages.ROOT), own.pop("PYTHONPATH", "")]))
    environment = {**os.environ, **own, "PYTHONPATH": path, "XLA_FLAGS": QUICK}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (
        f"{command}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    )


QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def _program(words: list[str]) -> int:
    """How many words set a variable of the environment."""
    return next(i for i, word in enumerate(words) if "=" not in word)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder in which commands run once each; those of FIRST have run."""
    for extra in ("pydicom", "highdicom"):
        pytest.importorskip(extra, reason="the extra `dicom`")
    folder = fill(tmp_path_factory.mktemp("reader"))
    seen = set()

    def follow(page: str) -> None:
        for name, text in pages.files(page).items():
            (folder / name).write_text(text)
        for command in pages.commands(page):
            if command not in seen and not reason(command):
                run(command, folder)
                seen.add(command)

    for page in FIRST:
        if page != FIRST[1] or shutil.which("greedy") or _has_greedy():
            follow(page)
    return follow


def _has_greedy() -> bool:
    try:
        import picsl_greedy  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of(page, reader):
    if "registration" in page:
        pytest.importorskip("picsl_greedy", reason="the extra `registration`")
    reader(page)


def test_pages_with_commands_are_read():
    found = {page: len(pages.commands(page)) for page in PAGES}
    assert found["README.md"] > 10 and found["docs/tutorial.md"] > 8
    assert sum(found.values()) > 60


def test_no_reason_is_left_over():
    every = [command for page in PAGES for command in pages.commands(page)]
    for part in NOT_RUN:
        assert any(part in command for command in every), part


def test_every_program_and_config_named_is_there():
    for page in PAGES:
        for command in pages.commands(page):
            for word in shlex.split(command):
                if word.startswith(("bin/", "configs/")):
                    file = pages.ROOT / word.split(":")[0]
                    assert file.is_file(), f"{page}: {word}"


def test_blocks_of_python_compile():
    for page in PAGES:
        for block in (*pages.scripts(page), *pages.files(page).values()):
            compile(block, page, "exec")


def test_a_loop_of_ones_own_learns(capsys):
    (block,) = pages.scripts("docs/howto/own_loop.md")
    exec(compile(block, "own_loop.md", "exec"), {})
    losses = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 10 and losses[-1] < losses[0]
