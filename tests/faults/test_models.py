"""Trained models from a stranger: nothing in them is run; what does not fit is told.

The factory of `model.factory` is imported from the reader's own Python path alone.
"""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.faults import files
from tests.fuzz import models
from tests.inference import known
from tests.inference.conftest import IPL
from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import ct_from
from vnet_jax.errors import InputError
from vnet_jax.inference.segment import Segmenter
from vnet_jax.runs.bundle import open_bundle
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.packing import write_bundle

PROGRAM = Path(__file__).parents[2] / "bin" / "infer.py"
RAN = "it_ran"
#: What a stranger's module would do.
MODULE = f"open({RAN!r}, 'w').close()\ndef net(**_): pass\n"


def pair(folder, factory, variables=None):
    """Run folders of both phases whose network is made by a factory."""
    variables = variables or known.variables()
    paths = []
    for phase in (1, 2):
        config = known.config(
            phase, IPL.spacing_mm, (1, 1, 1), (16, 16, 16), factory=factory
        )
        path = folder / f"phase{phase}"
        paths.append(known.write_run(path, config, {1: (0.5, variables)}))
    return paths


def bundled(path, runs):
    phase1, phase2 = map(RunFolder, runs)
    write_bundle(path, [phase1], [phase2], licence="CC0-1.0")
    return path


class Act:
    """Unpickled, it acts."""

    def __reduce__(self):
        return os.mkdir, (RAN,)


def infer(folder, *flags):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, str(PROGRAM), "--input=ct.nii.gz", "--output=out", *flags],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "kind", [pytest.param("folders", marks=pytest.mark.slow), "bundle"]
)
def test_a_module_beside_a_model_is_not_imported(tmp_path, kind):
    runs = pair(tmp_path / "runs", "stranger:net")
    files.put(files.SAME[0], tmp_path, "ct")
    flags = [f"--phase1={runs[0]}", f"--phase2={runs[1]}"]
    if kind == "bundle":
        flags = [f"--bundle={bundled(tmp_path / 'kidney.vnet', runs)}"]
    for folder in (tmp_path, tmp_path / "runs", *runs):
        (folder / "stranger.py").write_text(MODULE)
    done = infer(tmp_path, *flags)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "model.factory stranger:net: no module stranger" in line
    assert not list(tmp_path.rglob(RAN)) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "factory", ["os:system", "subprocess:run", "antigravity:net", "os.path:join"]
)
def test_a_module_of_pythons_own_is_no_network(tmp_path, factory):
    runs = pair(tmp_path, factory)
    with pytest.raises(InputError, match="is a module of Python's own"):
        Segmenter(runs[0], [runs[1]])
    assert "antigravity" not in sys.modules


def test_pickles_in_a_checkpoint_are_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    factory = f"{models.__name__}:threshold"
    runs = pair(tmp_path, factory)
    scan = ct_from((files.HU, files.AFFINE))
    for file in (runs[0] / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(pickle.dumps(Act()))
    with pytest.raises(InputError, match=r"scores.json: cannot be read"):
        Segmenter(runs[0], [runs[1]])
    (runs[0] / "checkpoints" / "scores.json").unlink()
    with pytest.raises(InputError, match=r"checkpoints/1: damaged checkpoint"):
        Segmenter(runs[0], [runs[1]])
    runs = pair(tmp_path / "more", factory)
    for file in (runs[0] / "checkpoints" / "1" / "variables").rglob("*"):
        if file.is_file():
            file.write_bytes(pickle.dumps(Act()))
    with pytest.raises(InputError, match=r"checkpoints/1: damaged checkpoint"):
        Segmenter(runs[0], [runs[1]]).segment(scan)
    assert not (tmp_path / RAN).exists()
    pickle.loads(pickle.dumps(Act()))  # the test would see it
    assert (tmp_path / RAN).exists()


def test_a_bundle_with_a_further_part_is_refused(tmp_path):
    from tests.runs.test_sealed import sealed

    path = bundled(tmp_path / "kidney.vnet", pair(tmp_path, "stranger:net"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("stranger.py", MODULE)
    with pytest.raises(InputError):
        open_bundle(path)
    path.write_bytes(sealed(path.read_bytes()))
    with pytest.raises(InputError, match=r"is no plain file|other parts|not where"):
        open_bundle(path)


def test_parameters_of_another_network_are_one_line(tmp_path):
    factory = f"{models.__name__}:threshold"
    runs = pair(tmp_path, factory)  # the parameter has another place there
    segmenter = Segmenter(None, [runs[1]], whole=True)
    scan = ct_from((files.HU, files.AFFINE))
    assert isinstance(scan.volume, Volume)
    with pytest.raises(InputError) as caught:
        segmenter.segment(scan)
    line = str(caught.value)
    assert line.startswith(f"{runs[1]}: its parameters are not those of its network")
    assert "\n" not in line and "gain" in line


ODD = (None, "x", -1, 0, [], {}, [1], 1e30, True, ["a", "b", "c"], [0, 0, 0])
READ = {
    "data": ("spacing_mm", "downsample", "clip_hu", "pad_value"),
    "model": ("classes", "dtype", "width", "norm", "variant", "cascade", "factory"),
    "sample": ("shape",),
    "": ("phase", "overlap", "data", "model", "sample"),
}


def spoiled():
    """(section, name, value) of a field that is gone (KeyError) or odd."""
    for section, names in READ.items():
        for name in names:
            yield from ((section, name, value) for value in (KeyError, *ODD))


def test_an_odd_field_in_a_config_is_one_line_or_works(tmp_path):
    runs = pair(tmp_path, "")
    path = runs[0] / "config.json"
    whole = path.read_text()
    refused = 0
    for section, name, value in spoiled():
        facts = json.loads(whole)
        place = facts[section] if section else facts
        if value is KeyError:
            del place[name]
        else:
            place[name] = value
        path.write_text(json.dumps(facts))
        try:
            Segmenter(runs[0], [runs[1]])
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(runs[0])), error
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize("text", ["[]", "{", "7", "[" * 9999, '{"phase": 1}'])
@pytest.mark.parametrize("name", ["config.json", "model.json", "splits.json"])
def test_a_run_s_files_that_are_none(tmp_path, name, text):
    runs = pair(tmp_path, "")
    (runs[0] / name).write_text(text)
    with pytest.raises(InputError) as caught:
        Segmenter(runs[0], [runs[1]])
    assert str(caught.value).startswith(str(runs[0]))
    assert "\n" not in str(caught.value)
