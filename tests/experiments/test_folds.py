import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.conftest import write_case
from vnet_jax.data.folds import draw_folds, read_folds, write_folds
from vnet_jax.errors import InputError
from vnet_jax.experiments import folds as module
from vnet_jax.experiments.folds import check, check_extra, freeze, plan

IDS = [f"case_{n:05d}" for n in range(6)]
DRAWN = draw_folds(IDS, seed=0, folds=3, sources={"tiny": IDS})


def test_the_folds_are_drawn_once_and_frozen_with_all_ids(experiment):
    made = experiment()
    folds, left_out = freeze(made)
    assert folds == DRAWN == read_folds(made.out / "folds.json")
    assert left_out == []
    before = (made.out / "folds.json").stat().st_mtime_ns
    assert freeze(made)[0] == folds
    assert (made.out / "folds.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", [{"data.folds": 2}, {"seed": 1}, {"data.test": 1}])
def test_frozen_folds_refuse_other_numbers(experiment, change):
    freeze(experiment())
    with pytest.raises(InputError, match=r"holds other folds .* another --out"):
        freeze(experiment(**change))


def test_folds_come_from_a_file_where_one_is_given(experiment, tmp_path):
    given = tmp_path / "given.json"
    write_folds(given, draw_folds(IDS, seed=9, folds=2, test=1))
    made = experiment(**{"data.splits": str(given)})
    assert freeze(made)[0] == read_folds(given) == read_folds(made.out / "folds.json")
    with pytest.raises(InputError, match="holds other folds"):
        freeze(experiment())


def test_a_broken_case_is_left_out_of_the_draw_and_refused_once_it_is_in(
    experiment, tiny_data, tmp_path
):
    root = shutil.copytree(tiny_data, tmp_path / "tiny")
    broken = root / "case_00002" / "imaging.nii.gz"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    made = experiment(**{"data.root": str(root)})
    folds, (line,) = freeze(made)
    assert "case_00002/imaging.nii.gz: " in line and "case_00002" not in folds.ids
    assert folds.sources["tiny"] == tuple(IDS)  # it was there
    broken.write_bytes(whole)
    # Mended too late: the folds stay.
    assert freeze(made) == (
        folds,
        ["case_00002: in no fold, it came after they were drawn"],
    )
    (root / "case_00001" / "imaging.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="case_00001"):
        freeze(made)
    shutil.rmtree(root / "case_00001")
    with pytest.raises(InputError, match="1 cases of the folds are missing"):
        freeze(made)


def test_each_fold_is_phase_1_then_phase_2_on_it_then_masks_by_both(experiment):
    made = experiment(**{"data.extra": ("warped_{fold}",)})
    jobs = plan(made, DRAWN, [0, 2])
    assert [job.name for job in jobs] == [
        *("fold 0, phase 1", "fold 0, phase 2", "fold 0, masks"),
        *("fold 2, phase 1", "fold 2, phase 2", "fold 2, masks"),
    ]
    first, second, masks = jobs[3:]
    out = made.out
    assert second.after == (first.name,) and masks.after == (second.name,)
    assert Path(first.argv[1]).name == "train.py" == Path(second.argv[1]).name
    assert "--config.epochs=1" in first.argv and "--config.epochs=2" in second.argv
    for job in (first, second):
        assert "--config.data.fold=2" in job.argv
        assert f"--config.data.splits={out}/folds.json" in job.argv
        assert "--config.data.extra=('warped_2',)" in job.argv
    assert f"--config.data.phase1={out}/fold_2/phase1" in second.argv
    asked = dict(zip(masks.argv[2:], masks.argv[3:], strict=False))
    assert asked["--cases"] == ",".join(DRAWN.folds[2])
    assert asked["--phase1"] == f"{out}/fold_2/phase1"
    assert asked["--phase2"] == f"{out}/fold_2/phase2"
    kept = ("--save_stages", "--save_raw", "--save_probability")
    assert masks.argv[-4:] == (*kept, "--fast")


def test_phase_2_may_have_further_data_of_its_own(experiment):
    made = experiment(**{"data.extra": ("a_{fold}",)})
    made.phases[1].config.data.extra = ("a_{fold}", "b")
    assert made.extra(1, 1) == ("a_1",) and made.extra(1, 2) == ("a_1", "b")


def test_a_clone_of_the_kits19_repository_is_predicted_in_its_data_folder(
    experiment, tiny_data, tmp_path
):
    shutil.copytree(tiny_data, tmp_path / "kits19" / "data")
    made = experiment(**{"data.root": str(tmp_path / "kits19")})
    job = plan(made, DRAWN, [0])[-1]
    assert f"{tmp_path}/kits19/data" in job.argv


def test_phases_may_not_be_swapped(experiment):
    made = experiment()
    check(made)
    with pytest.raises(InputError, match=r"--config: configs/phase2\.py is a config"):
        check(replace(made, phases=made.phases[::-1]))


def warped(root: Path, parents: dict[int, tuple[str, str]]) -> None:
    for number in parents:
        write_case(root, number)
    cases = {
        f"case_{number:05d}": {"reference": a, "floating": b}
        for number, (a, b) in parents.items()
    }
    facts = {"version": 1, "cases": cases}
    (root / "provenance.json").write_text(json.dumps(facts))


def test_each_fold_has_its_own_further_data_and_a_leak_stops_before_any_training(
    experiment, tmp_path
):
    made = experiment(**{"data.extra": (str(tmp_path / "warped_{fold}"),)})
    for fold in range(3):
        inside = DRAWN.splits(fold).train
        warped(tmp_path / f"warped_{fold}", {900 + fold: inside[:2]})
    check_extra(made, DRAWN, range(3))
    leak = DRAWN.folds[1][0]
    shutil.rmtree(tmp_path / "warped_1")
    warped(tmp_path / "warped_1", {911: (leak, leak)})
    check_extra(made, DRAWN, [0, 2])
    with pytest.raises(InputError, match=f"warped_1: 1 cases are made of .*{leak}"):
        check_extra(made, DRAWN, range(3))


def test_further_data_that_cannot_be_read_stops_too(experiment, tmp_path):
    made = experiment(**{"data.extra": (str(tmp_path / "warped"),)})
    warped(tmp_path / "warped", {900: DRAWN.folds[0][:2]})
    (tmp_path / "warped" / "case_00900" / "imaging.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="case_00900"):
        check_extra(made, DRAWN, [1])


def test_the_placeholder_is_what_the_documentation_says():
    assert module.FOLD == "{fold}"
