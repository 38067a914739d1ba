"""The estimate of the memory, and what is said where there is less."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from tests.inference import known
from vnet_jax import memory, models, processor
from vnet_jax.ct.geometry import Grid
from vnet_jax.ct.nifti import write_image
from vnet_jax.inference import batch, needs, outlook
from vnet_jax.inference.case import NOTHING
from vnet_jax.inference.segment import Segmenter

PAPER = Grid((112, 626, 626), np.diag([3.0, 0.78162497, 0.78162497, 1]))


def paper_ensemble(phase, width=16):
    """An ensemble as `of_networks` sees it, without a run."""
    cascade = phase == 2
    window = (80, 240, 384) if cascade else (64, 128, 128)
    down = (1, 1, 1) if cascade else (1, 4, 4)
    config = known.config(phase, (3.0, 0.78162497, 0.78162497), down, window, cascade)
    config.model.width = width
    predictor = SimpleNamespace(module=models.build(**config.model), window=window)
    return SimpleNamespace(
        predictors=[predictor],
        runs=[SimpleNamespace(config=config)],
        classes=3,
        stages=2 if cascade else 1,
        grid_settings=((3.0, 0.78162497, 0.78162497), down),
    )


def test_the_papers_phases_at_full_size(monkeypatch):
    """5.6 GB; what was measured, up to 5.9, stands in docs/reference.md."""
    phases = {"phase1": paper_ensemble(1), "phase2": paper_ensemble(2)}
    whole = SimpleNamespace(**phases, whole=False, dtype=None)
    networks = needs.of_networks(whole)
    assert networks[1] < networks[2]
    needed = needs.of_case(whole, networks, PAPER)
    assert 4.5e9 < needed < 6e9
    given = SimpleNamespace(phase1=None, phase2=whole.phase2, whole=False)
    assert needs.of_case(given, {2: networks[2]}, PAPER) == needed  # phase 2 is larger
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: True)
    quick = SimpleNamespace(**phases, whole=False, dtype="bfloat16")
    less = needs.of_case(quick, needs.of_networks(quick), PAPER)
    assert 3e9 < less < 0.75 * needed
    tiled = SimpleNamespace(phase1=None, phase2=whole.phase2, whole=True)
    more = needs.of_case(tiled, {2: networks[2]}, PAPER) - needed
    assert more == pytest.approx(4 * np.prod(PAPER.shape), rel=1e-6)


@pytest.fixture
def jobs(tmp_path, ct):
    write_image(tmp_path / "ct.nii.gz", ct.array, ct.grid)
    return batch.plan(tmp_path / "ct.nii.gz", tmp_path / "out")


def test_less_than_needed_is_one_line_and_it_goes_on(jobs, runs, monkeypatch):
    segmenter = Segmenter(runs[0], [runs[1]])
    stream = io.StringIO()
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    monkeypatch.setattr(memory, "held_bytes", lambda: 10**8)
    assert batch.run(jobs, segmenter, stream=stream) == []
    (line,) = [x for x in stream.getvalue().splitlines() if "memory" in x]
    assert line.startswith(
        "ct: segmenting takes about 1.1 GB of memory, 0.2 GB are free"
    )
    assert "raise the container's limit" in line
    monkeypatch.setattr(memory, "available_memory", lambda: 10**10)
    assert needs.too_little(10**9) == ""


def test_a_program_that_does_not_fit_never_runs(jobs, runs, monkeypatch):
    segmenter = Segmenter(runs[0], [runs[1]])
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    ((_, reason),) = batch.run(jobs, segmenter, stream=io.StringIO())
    assert "out of memory (the network takes 0.0 GB beside its variables" in reason
    assert not jobs[0].mask.exists()


def test_what_a_batch_would_do(jobs, runs, tmp_path):
    segmenter = Segmenter(runs[0], [runs[1]])
    found = outlook.of_jobs(jobs, segmenter, NOTHING, False)
    assert [(c["done"], c["wrong"]) for c in found["cases"]] == [(False, None)]
    assert found["seconds"] is None and found["needed_bytes"] > 7e8
    assert outlook.lines(found, "segment", "segmented")[1] == "1 of 1 cases to segment"
    assert not (tmp_path / "out").exists()
    assert batch.run(jobs, segmenter, stream=io.StringIO()) == []
    found = outlook.of_jobs(jobs, segmenter, NOTHING, False)
    assert found["cases"][0]["done"] and found["seconds"] > 0
    assert outlook.lines(found, "segment", "segmented")[-1] == "0 of 1 cases to segment"
    again = outlook.lines(
        outlook.of_jobs(jobs, segmenter, NOTHING, True), "segment", "segmented"
    )
    assert (
        "about 1.1 GB of memory" in again[-1] and "as those that are done" in again[-2]
    )
    jobs[0].source.write_bytes(b"")
    found = outlook.of_jobs(jobs, segmenter, NOTHING, False)
    assert "empty" in found["cases"][0]["wrong"]
    done = outlook.of_done(jobs[0], None)
    assert done["status"] == "ok" and done["failed"] is None
    assert outlook.of_done(jobs[0], "why")["failed"] == "why"
