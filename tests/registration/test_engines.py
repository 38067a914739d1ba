"""The real engines, where they are installed, on boxes and small phantoms."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from vnet_jax.data.cache import GridSpec, build_cache
from vnet_jax.data.cases import find_cases
from vnet_jax.data.phantom_files import drawn_recipes, write_cases
from vnet_jax.errors import InputError
from vnet_jax.registration.align import align
from vnet_jax.registration.engines import ENGINES, make
from vnet_jax.registration.quality import measure
from vnet_jax.registration.studies import Region, read_study

PROGRAM = Path(__file__).parents[2] / "bin" / "register.py"
COARSE = (6.0, 4.0, 4.0)
FLAGS = ("--spacing=6,4,4", "--roi=32,48,80", "--threads=1")


SLOW = {"niftyreg"}
PARAMS = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in sorted(ENGINES)
]


@pytest.fixture(scope="module", params=PARAMS)
def engine(request):
    try:
        return make(request.param, threads=1)
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms")
    assert write_cases(out, drawn_recipes(5, 0, COARSE), shown=False)[1] == []
    return out


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    write_cases(out, drawn_recipes(2, 0, COARSE), shown=False)
    return find_cases(out)


@pytest.fixture(scope="module")
def aligned(engine, two, tmp_path_factory):
    """Two phantoms aligned, with the engine and its folder."""
    folder = tmp_path_factory.mktemp(engine.name)
    region = Region(GridSpec(COARSE), (32, 48, 80))
    studies = read_study(two[0], region), read_study(two[1], region, 30.0)
    return engine, folder, studies, align(*studies, engine, folder)


def test_what_is_not_installed_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"pip install .*registration"):
        make("greedy", 1)
    with pytest.raises(InputError, match=r"reg_f3d.*docs/registration.md"):
        make("niftyreg", 1)


def test_each_step_brings_the_patients_closer(aligned):
    _, _, (reference, floating), result = aligned
    quality = measure(
        (reference.image, reference.label),
        list(result.moved.values()),
        result.jacobian,
        floating.label,
    )
    before, affine, last = (
        quality.similarity_before,
        quality.similarity_affine,
        quality.similarity,
    )
    assert before < affine < last
    assert quality.dice > quality.dice_affine
    assert result.usage.cpu_s > 0


def test_the_labels_are_the_floating_cases_own(aligned):
    _, _, (reference, floating), result = aligned
    for image, label in result.moved.values():
        assert image.shape == label.shape == reference.image.shape
        assert set(np.unique(label)) <= set(np.unique(floating.label))
        # Linear, not clipped: nothing beyond the voxels that were there.
        assert image.min() >= -1024
        assert 250 < image.max() <= floating.image.max()


def test_positions_tell_what_the_engine_did(aligned):
    engine, folder, (_, floating), result = aligned
    positions = engine.positions(folder / "fixed_clipped.nii", folder)
    index = np.moveaxis(floating.frame.to_index(positions), -1, 0)
    source = floating.image.astype(np.float32)
    own = map_coordinates(source, index, order=1, mode="nearest")
    last = np.array(source.shape)[:, None, None, None] - 1
    inside = ((index > 0) & (index < last)).all(axis=0)
    assert inside.mean() > 0.5
    apart = np.abs(own - result.moved["non-rigid"][0])[inside]
    assert np.percentile(apart, 99) < 2, "HU"


def test_the_same_again_is_the_same(aligned, tmp_path):
    engine, _, studies, result = aligned
    again = align(*studies, engine, tmp_path)
    assert np.array_equal(again.moved["non-rigid"][0], result.moved["non-rigid"][0])
    assert np.array_equal(again.jacobian, result.jacobian)


def command(phantoms, out, *more):
    names = [case.id for case in find_cases(phantoms)]
    scores = [{"id": n, "phase2": {"tumour": k / 10}} for k, n in enumerate(names)]
    files = {
        "scores": {"cases": scores},
        "splits": {"train": names[:4], "validation": names[4:], "test": []},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, facts in files.items():
        path = out.parent / f"{name}.json"
        path.write_text(json.dumps(facts))
        paths.append(f"--{name}={path}")
    where = (f"--data={phantoms}", f"--out={out}", "--hard=1", "--per_hard=2")
    return [sys.executable, str(PROGRAM), *paths, *where, *FLAGS, *more]


def written(out):
    return {
        file.relative_to(out): file.read_bytes()
        for file in sorted(out.glob("case_*/*.nii.gz"))
    }


@pytest.mark.slow
def test_the_program_killed_goes_on_as_if_it_had_not_been(engine, phantoms, tmp_path):
    flags = (f"--engine={engine.name}",)
    whole, out = tmp_path / "a" / "whole", tmp_path / "b" / "killed"
    done = subprocess.run(
        command(phantoms, whole, *flags), capture_output=True, text=True
    )
    assert "warped cases in" in done.stdout, done.stderr
    process = subprocess.Popen(
        command(phantoms, out, *flags, "--workers=2"), stderr=subprocess.DEVNULL
    )
    while not list(out.glob("pairs/case_*.json")) and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = subprocess.run(
        command(phantoms, out, *flags), capture_output=True, text=True
    )
    assert again.stdout.replace(str(out), "") == done.stdout.replace(str(whole), "")
    assert written(out) == written(whole)
    kept = json.loads((out / "provenance.json").read_text())["cases"]
    assert sorted(kept) == sorted(case.id for case in find_cases(out))


@pytest.mark.slow
def test_the_result_is_a_data_set(engine, phantoms, tmp_path):
    out = tmp_path / "out"
    run = command(phantoms, out, f"--engine={engine.name}", "--whole")
    done = subprocess.run(run, capture_output=True, text=True)
    kept = json.loads((out / "provenance.json").read_text())["cases"]
    assert kept, done.stdout + done.stderr
    cases = find_cases(out)
    cached, refused = build_cache(
        cases, tmp_path / "cache", GridSpec(COARSE), progress=False
    )
    assert (len(cached), refused) == (len(kept), [])
    for case, name in zip(cases, kept, strict=True):
        assert case.id == name
        assert case.synthetic
        assert (out / "pictures" / f"{name}.png").is_file()
