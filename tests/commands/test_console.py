"""`vnet-jax` as a user types it, and what every command has in common."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from vnet_jax import __version__, programs
from vnet_jax.commands import console
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image, write_mask

ROOT = Path(__file__).parents[2]
GRID = Grid((16, 32, 40), np.diag([5.0, 4.0, 3.0, 1.0]))


def call(*arguments, folder=ROOT, module=("-m", "vnet_jax")):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *module, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


#: A program of a few flags, which imports nothing that takes long.
PROGRAM = """
import sys, types
from absl import flags
from ml_collections import config_flags
flags.DEFINE_string("out", None, "a folder", required={required})
flags.DEFINE_integer("workers", 1, "processes")
CONFIG = config_flags.DEFINE_config_file("config", None, "a config", lock_config=True)
module = types.ModuleType("slow", "Sleeps.")
def main(argv):
    import time
    print("runs", flush=True)
    {body}
module.main = main
sys.modules["vnet_jax.commands.slow"] = module
from vnet_jax.commands import output_flags, run
run("slow")
"""


def flagged(*arguments, folder=ROOT):
    """The program with a flag that must be given."""
    body = "print(CONFIG.value.phase, CONFIG.value.epochs)"
    program = PROGRAM.format(required=True, body=body)
    return call(*arguments, folder=folder, module=("-c", program))


def test_alone_it_lists_every_program_of_bin():
    known = console.names()
    bare = {path.stem for path in (ROOT / "bin").glob("*.py")} - {"bench"}
    assert set(known) == bare  # bench lies outside the package
    assert all(line.endswith(".") for line in known.values())
    done = call()
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {name} " in done.stdout for name in known)
    assert call("--help").stdout == done.stdout


def test_version():
    done = call("--version")
    assert (done.returncode, done.stdout) == (0, f"vnet-jax {__version__}\n")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("trian", "no command 'trian'; did you mean train?"),
        ("Evaluate", "did you mean evaluate?"),
        ("xyz", "no command 'xyz'; `vnet-jax` alone lists them"),
        ("cleaning", "no command 'cleaning'"),  # a module of ours, but no command
    ],
)
def test_a_misspelt_command_gets_the_nearest(asked, said):
    done = call(asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_help_of_a_command_speaks_of_it():
    done = call("evaluate", "--help")
    assert "vnet-jax evaluate --predictions masks --labels data/kits19" in done.stdout
    assert "vnet-jax evaluate:\n" in done.stdout
    assert "bin/evaluate.py" not in done.stdout.split("flags:")[0]
    for flag in ("--[no]json:", "--[no]quiet:", "--[no]dry_run:", "--predictions:"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ot=x",), "Unknown command line flag 'ot'"),
        ((), "--out is missing; --help lists the flags"),
        (("--out=x", "--workers=two"), "flag --workers=two"),
        (("--out=x", "stray"), "'stray' belongs to no flag"),
        (("--out=x", "--config=phase9"), "phase9: no such config; give a file, or one"),
        (
            ("--out=x", "--config=phase1", "--config.epoch=3"),
            "no field epoch; did you mean epochs?",
        ),
        (("--out=x", "--config", "phase1", "--config.epochs=x"), "--config.epochs=x"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(arguments, said, tmp_path):
    done = flagged(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert done.stderr.startswith("vnet_jax: ")
    assert list(tmp_path.iterdir()) == []


def test_flags_and_a_config_by_name():
    done = flagged("--out", "x", "--config", "phase2", "--config.epochs=7")
    assert (done.returncode, done.stdout) == (0, "runs\n2 7\n")


def test_a_fault_in_ones_own_config_keeps_its_traceback(tmp_path):
    (tmp_path / "mine.py").write_text("def get_config():\n    return None.x\n")
    done = flagged("--out=x", "--config=mine.py", folder=tmp_path)
    assert done.returncode == 1
    assert "mine.py" in done.stderr and "Traceback" in done.stderr


def test_configs_by_name_and_ones_own_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = str(ROOT / "configs" / "phase2.py")
    for given in ("phase2", "phase2.py", "configs/phase2.py"):
        assert programs.config_file(given) == ours
    assert programs.config_file("phase2:x") == f"{ours}:x"
    for given in ("nowhere", "other/phase2.py", ""):
        assert programs.config_file(given) == given
    assert call("configs", "--out", "configs", folder=tmp_path).returncode == 0
    assert programs.config_file("configs/phase2.py") == "configs/phase2.py"
    again = call("configs", "--out", "configs", folder=tmp_path)
    assert again.returncode == 2 and "is there already" in again.stderr
    names = sorted(path.stem for path in (tmp_path / "configs").iterdir())
    assert names == programs.config_names()
    listed = call("configs", folder=tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()] == names

    # Its phase2.py says `from configs import phase1`: the copy, not the package's.
    monkeypatch.setitem(sys.modules, "configs", None)
    monkeypatch.delitem(sys.modules, "configs.phase1", raising=False)
    copy = tmp_path / "configs" / "phase1.py"
    copy.write_text(copy.read_text() + "\nMINE = True\n")
    programs.offer_configs(["configs/phase2.py"])
    from configs import phase1, phase2_strong

    assert phase1.MINE and Path(phase2_strong.__file__).parent == tmp_path / "configs"
    for name in [n for n in sys.modules if n.startswith("configs.")]:
        del sys.modules[name]


def test_the_package_names_every_room_and_the_configs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    rooms = {f"vnet_jax.{p.parent.name}" for p in (ROOT / "vnet_jax").glob("*/*.py")}
    others = {"vnet_jax", "vnet_jax.configs", "vnet_jax.reports.web"}
    assert set(packages) == rooms | others
    assert project["project"]["scripts"] == {
        "vnet-jax": "vnet_jax.commands.console:start"
    }


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two labels, one prediction."""
    root = tmp_path_factory.mktemp("scored")
    mask = np.zeros(GRID.shape, np.uint8)
    mask[4:10, 8:20, 8:20] = 1
    mask[5:8, 10:14, 10:14] = 2
    for name in ("labels/a", "labels/b", "masks/a"):
        (root / name).parent.mkdir(exist_ok=True)
        write_mask(root / f"{name}.nii.gz", mask, GRID)
    return root


def evaluate(root, *flags):
    names = ("--predictions=masks", "--labels=labels", "--nosurface", "--workers=1")
    return call("evaluate", *names, *flags, folder=root)


def test_json_is_one_document_and_all_else_on_stderr(scored):
    done = evaluate(scored, "--out=scores", "--json")
    assert done.returncode == 2  # b has no prediction
    facts = json.loads(done.stdout)
    assert (facts["command"], facts["status"]) == ("evaluate", 2)
    assert (facts["scored"], facts["missing"]) == (["a"], ["b"])
    assert facts["summary"]["phase2"]["kidney"]["mean"] == 1
    assert "cases scored" in done.stderr and "no prediction for b" in done.stderr


def test_quiet_says_errors_alone(scored):
    done = evaluate(scored, "--out=quiet", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vnet_jax: no prediction for b\n"
    assert (scored / "quiet" / "scores.json").is_file()
    done = evaluate(scored, "--out=quiet", "--quiet", "--allow_missing", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, 0)


def test_json_tells_bad_input_too(scored):
    done = call(
        *("evaluate", "--predictions=nowhere", "--labels=labels", "--out=x", "--json"),
        folder=scored,
    )
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["status"]) == (2, 2)
    assert facts["error"]["path"] == "nowhere"
    assert facts["error"]["wrong"] == "no such folder"
    assert facts["error"]["line"] in done.stderr


def test_dry_runs_write_nothing(scored, tmp_path):
    done = evaluate(scored, "--out=dry", "--dry_run")
    assert done.returncode == 0 and not (scored / "dry").exists()
    assert done.stdout == "masks: 1 of 2 cases to score, no prediction for b\n"
    case = tmp_path / "data" / "case_00000"
    case.mkdir(parents=True)
    hu = np.random.default_rng(0).integers(-200, 300, GRID.shape).astype(np.int16)
    write_image(case / "imaging.nii.gz", hu, GRID)
    flags = ("--data=data", "--cache=cache", "--dry_run", "--json")
    done = call("preprocess", *flags, folder=tmp_path)
    facts = json.loads(done.stdout)
    assert (facts["cases"], facts["labelled"]) == (1, 0)
    assert facts["to_build"] == ["case_00000"] and len(facts["grids"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signals_end_with_their_status(number, status):
    # A shell's background jobs ignore Ctrl-C and hand that down; here it counts.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = heard + PROGRAM.format(required=False, body="time.sleep(60)")
    with subprocess.Popen(
        [sys.executable, "-c", program, "--json"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline() == "runs\n"
        time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == "vnet_jax: stopped\n"
    assert json.loads(out)["status"] == status


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return None", 0, ""),
        ("raise RuntimeError('ours')", 1, "RuntimeError: ours"),
        ("raise OSError(28, 'No space left on device')", 2, "make room"),
    ],
)
def test_statuses(body, status, said):
    done = call("--json", module=("-c", PROGRAM.format(required=False, body=body)))
    assert done.returncode == status
    facts = json.loads(done.stdout)
    assert facts["status"] == status and facts["command"] == "slow"
    assert said in done.stderr and said in facts.get("error", {"line": ""})["line"]
    assert ("Traceback" in done.stderr) == (status == 1)
