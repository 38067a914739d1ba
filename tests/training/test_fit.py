"""Real runs of the real loop on six tiny cases."""

import json
import os
import shutil
import signal

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.errors import InputError
from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.digest import digest
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.log import read_log
from vnet_jax.training import fit as module
from vnet_jax.training import regions, setup
from vnet_jax.training.fit import fit
from vnet_jax.training.initial import open_start
from vnet_jax.training.programs import programs
from vnet_jax.training.report import Diverged, StepReports


def rows(path, kind):
    return [row for row in read_log(path) if row["kind"] == kind]


def losses(path) -> list[tuple]:
    """What training computed in each step, bit for bit."""
    return [
        tuple(sorted((k, v) for k, v in row.items() if k != "waiting"))
        for row in rows(path, "train")
    ]


@pytest.fixture(scope="module")
def straight(tiny_config, tmp_path_factory):
    """A run that was never stopped: 4 epochs of 2 steps, validated after 2 and 4."""
    path = tmp_path_factory.mktemp("runs") / "straight"
    assert fit(tiny_config(), str(path)) == 0
    return path


def test_the_log_has_every_step_and_every_validation(straight):
    assert [row["step"] for row in rows(straight, "train")] == list(range(1, 9))
    assert [row["epoch"] for row in rows(straight, "train")] == [0, 0, 1, 1, 2, 2, 3, 3]
    validations = rows(straight, "validation")
    assert [row["step"] for row in validations] == [4, 8]
    for row in validations:
        assert row["boxes"] == "whole volumes"
        assert [c["id"] for c in row["cases"]] == list(
            RunFolder(straight).splits.validation
        )
        means = [c["mean"] for c in row["cases"]]
        assert row["mean"] == pytest.approx(sum(means) / len(means))


def test_the_loss_decreases(straight):
    found = [row["loss"] for row in rows(straight, "train")]
    assert np.mean(found[-2:]) < 0.9 * np.mean(found[:2])


def test_the_folder_is_whole(straight):
    run = RunFolder(straight)
    assert run.synthetic and run.checkpoints.steps() == [4, 8]
    assert (straight / "curves.png").read_bytes().startswith(b"\x89PNG")
    scores = {row["step"]: row["mean"] for row in rows(straight, "validation")}
    assert run.checkpoints.scores() == scores
    assert len(run.splits.train) == 4 and len(run.splits.validation) == 2


def test_stopped_and_resumed_is_never_stopped(
    straight, tiny_config, tmp_path, monkeypatch
):
    path = tmp_path / "stopped"
    push = StepReports.push

    def push_and_signal(self, step, metrics, ids):
        push(self, step, metrics, ids)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(StepReports, "push", push_and_signal)
    assert fit(tiny_config(), str(path)) == 143
    assert RunFolder(path).checkpoints.steps() == [3]
    monkeypatch.undo()
    assert fit(tiny_config(), str(path)) == 0
    assert losses(path) == losses(straight)
    assert [row["step"] for row in rows(path, "start")] == [0, 3]
    a, b = RunFolder(path), RunFolder(straight)
    assert a.checkpoints.best() == b.checkpoints.best()
    assert a.identity() == b.identity()  # parameters and running averages
    for step in (4, 8):
        ours, theirs = a.checkpoints._meta(step), b.checkpoints._meta(step)
        assert ours == theirs  # the optimiser's memory as well


def test_stopped_during_validation_the_next_start_scores_the_step(
    straight, tiny_config, tmp_path, monkeypatch
):
    path = tmp_path / "stopped"
    validate = module.validate

    def validate_and_signal(*arguments):
        signal.raise_signal(signal.SIGINT)
        return validate(*arguments)

    monkeypatch.setattr(module, "validate", validate_and_signal)
    assert fit(tiny_config(), str(path)) == 130
    assert RunFolder(path).checkpoints.steps() == [4]
    assert rows(path, "validation") == []
    monkeypatch.undo()
    assert fit(tiny_config(), str(path)) == 0
    assert losses(path) == losses(straight)
    assert rows(path, "validation") == rows(straight, "validation")
    assert RunFolder(path).identity() == RunFolder(straight).identity()


def test_a_finished_run_trains_no_more_but_can_be_extended(
    straight, tiny_config, tmp_path
):
    path = shutil.copytree(straight, tmp_path / "copy")
    assert fit(tiny_config(), str(path)) == 0
    assert losses(path) == losses(straight)
    assert fit(tiny_config(epochs=5), str(path)) == 0
    assert [row["step"] for row in rows(path, "train")] == list(range(1, 11))
    assert losses(path)[:8] == losses(straight)
    assert rows(path, "start")[-1]["changed"] == {"epochs": [4, 5]}


def test_one_program_serves_all_runs_and_steps(straight, tiny_config):
    config = tiny_config()
    job = module.prepare(
        config, RunFolder(straight), setup.open_run(config, straight)[1]
    )
    assert programs.cache_info().hits > 0
    assert len(job.on_devices.step.compiled) == 1


def test_what_is_not_finite_stops_and_names_the_cases(
    tiny_config, tmp_path, monkeypatch
):
    path = tmp_path / "run"
    sample_of = setup.sample_of
    bad = []

    def poisoned(config):
        sample = sample_of(config)

        def draw(cached, rng, out):
            image, label = sample(cached, rng, out)
            if cached.id in bad:
                image = np.full_like(image, np.nan)
            return image, label

        return draw

    monkeypatch.setattr(setup, "sample_of", poisoned)
    assert fit(tiny_config(epochs=2), str(path)) == 0
    good = RunFolder(path).checkpoints.digest(4)
    bad.append(RunFolder(path).splits.train[0])
    with pytest.raises(Diverged, match="loss is nan") as stopped:
        fit(tiny_config(epochs=4), str(path))
    assert bad[0] in str(stopped.value)
    assert RunFolder(path).checkpoints.steps() == [4]
    assert RunFolder(path).checkpoints.digest(4) == good
    (row,) = rows(path, "diverged")
    assert bad[0] in row["cases"] and row["loss"] == "nan"
    bad.clear()
    assert fit(tiny_config(epochs=4), str(path)) == 0
    assert rows(path, "diverged") == []  # cut back


def test_time_saves_too(tiny_config, tmp_path, monkeypatch):
    saved = []
    save = Checkpoints.save

    def save_and_note(self, step, state):
        saved.append(step)
        save(self, step, state)

    monkeypatch.setattr(Checkpoints, "save", save_and_note)
    config = tiny_config(epochs=2, checkpoint_minutes=1e-9)
    assert fit(config, str(tmp_path / "run")) == 0
    assert saved == [1, 2, 3, 4]


def test_a_refused_case_trains_the_others_and_exits_with_2(
    tiny_root, tiny_config, tmp_path, capsys
):
    """Labels without a tumour and without anything are among the others."""
    root = shutil.copytree(tiny_root, tmp_path / "tiny")
    for number, most in enumerate((1, 0, 1, 0)):
        path = root / f"case_{number:05d}" / "segmentation.nii.gz"
        label = nib.load(path)
        fewer = np.minimum(np.asarray(label.dataobj), most)
        nib.save(nib.Nifti1Image(fewer, label.affine), path)
    shutil.copytree(root / "case_00000", root / "case_00009")
    (root / "case_00009" / "imaging.nii.gz").write_bytes(b"no image")
    config = tiny_config(
        **{"data.root": str(root), "data.cache": str(tmp_path / "c"), "epochs": 1}
    )
    assert fit(config, str(tmp_path / "run")) == 2
    said = capsys.readouterr()  # at the start, and as an error at the end
    assert (said.out.count("left out:"), said.err.count("left out:")) == (1, 1)
    run = RunFolder(tmp_path / "run")
    assert "case_00009" in run.model["refused"][0]
    assert run.checkpoints.steps() == [2]
    assert np.isfinite([row["loss"] for row in rows(run.path, "train")]).all()
    (validation,) = rows(run.path, "validation")
    assert np.isfinite([c["mean"] for c in validation["cases"]]).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample.shape", (16, 32, 40)),
        ("phase", 3),
        ("epochs", 0),
        ("device_batch", 0),
        ("eval_every", 0),
        ("data.labels", ((0, 0), (1, 1), (2, 5))),
        ("model.variant", "unet"),
        ("loss.name", "hinge"),
        ("augment.noise", -1.0),
    ],
)
def test_a_config_that_cannot_train_is_refused_before_anything_is_written(
    tiny_config, tmp_path, field, value
):
    with pytest.raises(InputError):
        fit(tiny_config(**{field: value}), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_cascade_needs_a_weight_for_each_stage(tiny_config, tmp_path):
    with pytest.raises(InputError, match="for 2 stages"):
        fit(tiny_config(2, stage_weights=(1.0,)), str(tmp_path / "run"))


def test_another_config_does_not_resume(straight, tiny_config):
    with pytest.raises(InputError, match=r"learning_rate was 0\.003, is 0\.1"):
        fit(tiny_config(learning_rate=0.1), str(straight))


def test_phase_2_validates_on_phase_1s_boxes_and_keeps_them(
    straight, tiny_config, tmp_path, monkeypatch
):
    path = tmp_path / "phase2"
    config = tiny_config(
        2, **{"data.phase1": str(straight), "epochs": 2, "stage_weights": (1.0, 0.25)}
    )
    assert fit(config, str(path)) == 0
    (row,) = rows(path, "validation")
    assert row["boxes"] == "phase 1's boxes"
    kept = json.loads((path / regions.FILE).read_text())
    assert set(kept["boxes"]) == set(RunFolder(path).splits.validation)
    assert kept["phase1"] == RunFolder(straight).identity(1)
    for row in rows(path, "train"):
        weighted = row["loss_stage1"] + 0.25 * row["loss_stage2"]
        assert row["loss"] == pytest.approx(weighted, rel=1e-6)
    monkeypatch.setattr(regions, "locate", None)  # not asked again
    assert fit(config, str(path)) == 0


def test_a_new_run_starts_from_another(straight, tiny_config, tmp_path, capsys):
    """From its best step, parameters and average alike; resumed without it."""
    source = shutil.copytree(straight, tmp_path / "source")
    run = RunFolder(source)
    step = run.ensemble(1)[0]
    config = tiny_config(init_from=str(source), epochs=1)
    path = tmp_path / "run"
    assert fit(config, str(path)) == 0
    assert f"starts from {source}, step {step}\n" in capsys.readouterr().out
    (row,) = rows(path, "start")
    assert row["init_from"]["sha256"] == run.checkpoints.digest(step)
    assert losses(path)[0] != losses(straight)[0]
    shutil.rmtree(source)
    assert fit(config, str(path)) == 0
    assert [row["init_from"] is None for row in rows(path, "start")] == [False, True]
    said = f"init_from was '{source}', is ''"
    with pytest.raises(InputError, match=said):
        fit(tiny_config(epochs=1), str(path))


def test_the_first_step_starts_from_the_others_values(straight, tiny_config, tmp_path):
    config = tiny_config(init_from=str(straight))
    start = open_start(config, tmp_path / "run")
    folder, cases, _ = setup.open_run(config, tmp_path / "run")
    job = module.prepare(config, folder, cases)
    _, state = module._start(job, False, start)
    run = RunFolder(straight)
    best = run.checkpoints.digest(run.ensemble(1)[0])
    assert digest(state.variables) == best  # the average
    assert digest({"params": state.params, "batch_stats": state.batch_stats}) == best
    assert int(state.step) == 0 and start.synthetic and folder.synthetic


def test_a_start_of_unknown_cts_makes_a_run_not_synthetic(tiny_config, tmp_path):
    folder, cases, _ = setup.open_run(tiny_config(), tmp_path / "run", None)
    assert cases.synthetic and not folder.synthetic


def test_a_start_that_does_not_fit_leaves_nothing(straight, tiny_config, tmp_path):
    config = tiny_config(init_from=str(straight), **{"model.width": 4})
    with pytest.raises(InputError, match=r"model\.width is 2 there, 4 in the config"):
        fit(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_phase_2_refuses_what_is_no_phase_1(straight, tiny_config, tmp_path):
    with pytest.raises(InputError, match="no run"):
        fit(tiny_config(2, **{"data.phase1": str(tmp_path)}), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_loop_waits_for_the_step_before_never_for_its_own():
    """A report reads a step's numbers only when the next one has been started."""
    asked = []

    class Number:
        def __init__(self, step):
            self.step = step

        def __float__(self):
            asked.append(self.step)
            return 1.0

    class Sink:
        waiting_s = 0.0

        def write(self, *a, **k):
            pass

        def advance(self, **k):
            pass

    reports = StepReports(Sink(), Sink(), Sink(), lambda step: 0.1, 10)
    reports.push(1, {"loss": Number(1)}, ["a"])
    assert asked == []
    reports.push(2, {"loss": Number(2)}, ["a"])
    assert asked == [1]
    reports.flush()
    assert asked == [1, 2]
