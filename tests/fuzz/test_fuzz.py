"""A slice of `make fuzz`, and that a fault would be seen."""

import numpy as np
import pytest

from tests.fuzz import models, nifti, nifti_file, trial
from vnet_jax.inference import case_files

COUNT = 53  # every second mutation of the list


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return models.known_pair(tmp_path_factory.mktemp("known"))


@pytest.fixture
def place(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_every_file_ends_in_a_mask_or_in_one_line(known, place):
    kinds, names = [], set()
    for name, path in nifti.mutated(place / "in", 11, COUNT):
        outcome = trial.attempt(
            known, path, place / "out", trial.same_place, picture=False
        )
        assert outcome.kind != trial.FAULT, (name, outcome.line)
        kinds.append(outcome.kind)
        names.add(name)
    assert min(kinds.count(trial.MASK), kinds.count(trial.REFUSED)) > 10
    assert names == set(nifti.MUTATIONS)


def test_the_same_seed_makes_the_same_files(place):
    def made():
        return [p.read_bytes() for _, p in nifti.mutated(place / "in", 3, 20)]

    assert made() == made()


def test_what_no_mutation_touched_has_a_mask(known, place):
    rng = np.random.default_rng(5)
    for index in range(3):
        file = nifti_file.healthy(rng)
        path = place / "in" / f"{index}.nii"
        path.write_bytes(file.whole())
        outcome = trial.attempt(known, path, place / "out", trial.same_place, False)
        assert outcome.kind == trial.MASK, outcome


@pytest.fixture
def healthy(place):
    path = place / "in" / "a.nii"
    path.write_bytes(nifti_file.healthy(np.random.default_rng(0)).whole())
    return path


@pytest.mark.parametrize("fault", ["flip", "moved", "raises", "writes", "many lines"])
def test_each_fault_is_seen(known, place, healthy, monkeypatch, fault):
    write = case_files.write_mask

    def flipped(path, mask, grid):
        write(path, np.flip(mask, 0), grid)

    def moved(path, mask, grid):
        write(path, mask, grid.crop((1, 0, 0), grid.shape))

    def raises(*_):
        raise RuntimeError("a fault of the program")

    def writes(path, mask, grid):
        path.with_name("half.part").touch()
        raise OSError(28, "No space left")

    def many_lines(*_):
        raise OSError(5, "an error of the disk")

    functions = dict(flip=flipped, moved=moved, raises=raises, writes=writes)
    monkeypatch.setattr(case_files, "write_mask", functions.get(fault, many_lines))
    outcome = trial.attempt(known, healthy, place / "out", trial.same_place, False)
    assert outcome.kind == trial.FAULT
    assert list((place / "out").iterdir()) == []


def test_too_long_and_too_much_memory_are_seen(known, place, healthy, monkeypatch):
    segment = known.segment
    kept = []

    def slow(*args):
        while True:
            pass

    def large(*args):
        kept.append(np.ones(60 << 17))  # 60 MiB
        return segment(*args)

    monkeypatch.setattr(trial, "SECONDS", 1)
    monkeypatch.setattr(known, "segment", slow)
    outcome = trial.attempt(known, healthy, place / "out", trial.same_place, False)
    assert (outcome.kind, outcome.line) == (trial.FAULT, "more than 1 s")
    monkeypatch.setattr(trial, "SECONDS", 60)
    monkeypatch.setattr(trial, "MEMORY", 50 << 20)
    monkeypatch.setattr(known, "segment", large)
    outcome = trial.attempt(known, healthy, place / "out", trial.same_place, False)
    assert outcome.kind == trial.FAULT and "took 0.0" in outcome.line
