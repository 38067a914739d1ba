import hashlib
import json

import ml_collections
import numpy as np
import pytest

from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.runs import folder as module
from vnet_jax.runs.folder import RunFolder, create, exists, resume

SPLITS = Splits(("a", "b"), ("c",))


def config(**changes) -> ml_collections.ConfigDict:
    made = ml_collections.ConfigDict(
        dict(
            name="phase1",
            phase=1,
            seed=0,
            data=dict(
                root="data/kits19",
                cache="cache",
                phase1="",
                splits="",
                extra=(),
                spacing_mm=(3.0, 0.5, 0.5),
                downsample=(1, 4, 4),
                labels=((0, 0), (1, 1), (2, 2)),
            ),
            sample=dict(shape=(64, 128, 128)),
            model=dict(width=16, classes=3),
            epochs=600,
            batch_size=4,
            device_batch=1,
            mesh=dict(data=0, space=1),
            keep_best=2,
            eval_every=10,
            checkpoint_minutes=15.0,
            loader_threads=2,
        )
    )
    made.update_from_flattened_dict(changes)
    return made.lock()


def saved(make, path, scores) -> RunFolder:
    run = create(path, config(), SPLITS, synthetic=True)
    with run.checkpoints as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, make(step))
            if score is not None:
                checkpoints.score(step, score)
    return run


def test_what_is_created_is_read(tmp_path):
    create(tmp_path / "run", config(), SPLITS, synthetic=True, refused=["d: cut"])
    run = RunFolder(tmp_path / "run")
    assert run.config == config() and run.config.is_locked
    assert run.config.data.labels == ((0, 0), (1, 1), (2, 2))  # tuples, as they were
    assert run.splits == SPLITS
    assert run.synthetic is True
    assert run.model["classes"] == ["background", "kidney", "tumour"]
    assert run.model["spacing_mm"] == [3.0, 0.5, 0.5]
    assert run.model["refused"] == ["d: cut"]
    assert run.model["versions"]["numpy"] == np.__version__
    assert run.checkpoints.keep_best == 2


def test_a_real_case_makes_the_model_not_synthetic(tmp_path):
    assert not create(tmp_path, config(), SPLITS, synthetic=False).synthetic


def test_a_folder_without_a_config_is_no_run(tmp_path):
    create(tmp_path / "run", config(), SPLITS, synthetic=True)
    (tmp_path / "run" / "config.json").unlink()  # killed before its last file
    assert not exists(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        RunFolder(tmp_path / "run")


def test_another_format_is_refused(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(InputError, match="format 99, this program reads 1"):
        RunFolder(tmp_path)


def test_a_cut_file_is_refused(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    (tmp_path / "model.json").write_text('{"format"')
    with pytest.raises(InputError, match=r"model\.json: cannot be read"):
        RunFolder(tmp_path)


def test_the_same_config_resumes(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    run, changed = resume(tmp_path, config())
    assert changed == {} and run.config == config()


def test_what_may_change_is_noted_and_kept(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    now = config(**{"epochs": 700, "device_batch": 2, "data.root": "/elsewhere"})
    run, changed = resume(tmp_path, now)
    assert changed == {
        "data.root": ["data/kits19", "/elsewhere"],
        "device_batch": [1, 2],
        "epochs": [600, 700],
    }
    assert run.config == now
    assert RunFolder(tmp_path).config.epochs == 700


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.width", 8),
        ("data.spacing_mm", (3.0, 1.0, 1.0)),
        ("batch_size", 2),
        ("seed", 1),
        ("epochs", 500),
        ("data.phase1", "runs/phase1"),
        ("phase", 2),
    ],
)
def test_what_would_change_the_model_is_refused_by_name(tmp_path, key, value):
    create(tmp_path, config(), SPLITS, synthetic=True)
    with pytest.raises(InputError, match=f"{key} was .*, is "):
        resume(tmp_path, config(**{key: value}))
    assert RunFolder(tmp_path).config == config()


def test_all_changed_keys_are_listed(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    with pytest.raises(InputError, match=r"batch_size was 4, is 8; seed was 0, is 3"):
        resume(tmp_path, config(seed=3, batch_size=8, epochs=601))


def test_a_new_field_is_refused_too(tmp_path):
    create(tmp_path, config(), SPLITS, synthetic=True)
    now = config()
    with now.unlocked():
        now.extra = 1
    with pytest.raises(InputError, match="extra was None, is 1"):
        resume(tmp_path, now)


def test_an_older_run_without_a_younger_field_goes_on_as_the_same(make, tmp_path):
    run = saved(make, tmp_path, {1: 0.2})
    now = config()
    with now.unlocked():
        now.init_from = ""
    resumed, changed = resume(tmp_path, now)
    assert changed == {} and resumed.identity() == run.identity()
    now.epochs = 700  # writes the config anew, the younger field with it
    resumed, changed = resume(tmp_path, now)
    assert changed == {"epochs": [600, 700]} and resumed.config.init_from == ""
    assert resumed.identity() == run.identity()
    now.init_from = "runs/other"
    with pytest.raises(InputError, match="init_from was '', is 'runs/other'"):
        resume(tmp_path, now)


def test_every_free_key_exists_in_the_config():
    assert module.FREE <= module._flat(config()).keys()


def test_the_ensemble_is_the_best_or_the_newest(make, tmp_path):
    assert saved(make, tmp_path / "a", {1: 0.2, 2: 0.9, 3: 0.5}).ensemble() == [2, 3]
    assert saved(make, tmp_path / "b", {1: 0.2, 2: 0.9, 3: 0.5}).ensemble(1) == [2]
    assert saved(make, tmp_path / "c", {1: None, 2: None}).ensemble() == [2]


def test_a_run_without_a_checkpoint_has_no_ensemble(tmp_path):
    run = create(tmp_path, config(), SPLITS, synthetic=True)
    with pytest.raises(InputError, match="holds no checkpoint"):
        run.identity()


def test_the_identity_is_of_config_and_parameters_not_of_places(make, tmp_path):
    first = saved(make, tmp_path / "a", {1: 0.2, 2: 0.9})
    identity = first.identity()
    assert identity["phase"] == 1 and identity["steps"] == [2, 1]
    assert identity["synthetic"] is True and len(identity["sha256"]) == 64
    assert saved(make, tmp_path / "b", {1: 0.2, 2: 0.9}).identity() == identity
    moved, _ = resume(tmp_path / "b", config(**{"data.root": "/elsewhere"}))
    assert moved.identity() == identity
    assert saved(make, tmp_path / "c", {1: 0.2, 3: 0.9}).identity() != identity
    assert first.identity(1)["sha256"] != identity["sha256"]


def with_parts(**changes) -> ml_collections.ConfigDict:
    """A config of today: a loss of several fields, a factory for the network."""
    made = config()
    with made.unlocked():
        made.loss = dict(name="dice", factory="", kwargs={}, class_weights=())
        made.loss.focal_gamma = 2.0
        made.model.factory, made.model.kwargs = "", {}
        made.augment = dict(flip=(0.0, 0.0, 0.5), elastic_mm=0.0, swap=())
        made.augment.chance = dict(blur=1.0)
        made.update_from_flattened_dict(changes)
    return made.lock()


def make_older(path) -> None:
    """Takes out of a run folder what older ones do not have."""
    facts = json.loads((path / "config.json").read_text())
    facts["loss"] = facts["loss"]["name"]
    facts["augment"] = {"flip": facts["augment"]["flip"]}
    del facts["model"]["factory"], facts["model"]["kwargs"]
    (path / "config.json").write_text(json.dumps(facts))


def test_a_run_from_before_the_loss_had_fields_goes_on_as_the_same(make, tmp_path):
    run = create(tmp_path, with_parts(), SPLITS, synthetic=True)
    with run.checkpoints as checkpoints:
        checkpoints.save(1, make(1))
    identity = run.identity()
    make_older(tmp_path)
    old = RunFolder(tmp_path)
    assert old.config.loss.name == "dice" and old.identity() == identity
    resumed, changed = resume(tmp_path, with_parts())
    assert changed == {} and resumed.identity() == identity
    # What the hash of such a run was before there were the fields.
    flat = {k: v for k, v in module._flat(config()).items() if k not in module.FREE}
    flat |= {"loss": "dice", "augment.flip": [0.0, 0.0, 0.5]}
    digest = run.checkpoints.digest(1)
    text = "\n".join([json.dumps(flat, sort_keys=True), digest])
    assert identity["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss.name", "focal"),
        ("loss.class_weights", (1.0, 1.0, 2.0)),
        ("model.factory", "parts:Net"),
        ("augment.elastic_mm", 4.0),
        ("augment.chance.blur", 0.5),
    ],
)
def test_a_younger_field_that_is_used_is_part_of_what_a_run_is(
    make, tmp_path, key, value
):
    found = []
    for name, changes in (("a", {}), ("b", {key: value})):
        run = create(tmp_path / name, with_parts(**changes), SPLITS, synthetic=True)
        with run.checkpoints as checkpoints:
            checkpoints.save(1, make(1))
        found.append(run.identity()["sha256"])
    assert found[0] != found[1]
    make_older(tmp_path / "a")
    with pytest.raises(InputError, match=f"{key} was .*, is "):
        resume(tmp_path / "a", with_parts(**{key: value}))
