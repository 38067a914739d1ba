import json
import shutil

import pytest

from tests.training.conftest import write_case
from vnet_jax.data.cache import GridSpec
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError
from vnet_jax.training.cases import open_frozen, open_new

SPEC = GridSpec((4.0, 4.0, 4.0))
NUMBERS = dict(seed=0, folds=3, fold=0, test=0)


@pytest.fixture
def copied(tiny_root, tmp_path):
    """The data set and a cache that a test may spoil."""
    root = shutil.copytree(tiny_root, tmp_path / "tiny")
    return root, tmp_path / "cache"


def test_every_labelled_case_is_in_one_part(copied):
    root, cache = copied
    (root / "case_00002" / "segmentation.nii.gz").unlink()  # a test case, no fault
    cases = open_new(str(root), str(cache), SPEC, **NUMBERS)
    ids = [c.id for c in cases.train + cases.validation]
    assert sorted(ids) == [f"case_{n:05d}" for n in (0, 1, 3, 4, 5)]
    assert cases.splits.validation == tuple(c.id for c in cases.validation)
    assert cases.refused == [] and cases.synthetic


def test_one_real_case_among_the_training_ones_is_no_longer_synthetic(copied):
    root, cache = copied
    first = open_new(str(root), str(cache), SPEC, **NUMBERS).train[0].id
    (root / first / "case.json").unlink()
    assert not open_new(str(root), str(cache), SPEC, **NUMBERS).synthetic


def test_a_refused_case_is_named_and_the_others_are_divided(copied):
    root, cache = copied
    (root / "case_00003" / "imaging.nii.gz").write_bytes(b"")
    cases = open_new(str(root), str(cache), SPEC, **NUMBERS)
    assert len(cases.train) + len(cases.validation) == 5
    assert len(cases.refused) == 1 and "case_00003" in str(cases.refused[0])


def test_no_data_set_is_one_line_that_says_what_to_pass(tmp_path):
    with pytest.raises(InputError, match=r"--config\.data\.root=DIR"):
        open_new(str(tmp_path / "none"), str(tmp_path), SPEC, **NUMBERS)


def test_a_data_set_without_labels_is_refused(copied):
    root, cache = copied
    for label in root.glob("*/segmentation.nii.gz"):
        label.unlink()
    with pytest.raises(InputError, match="none of its cases has a label"):
        open_new(str(root), str(cache), SPEC, **NUMBERS)


def test_frozen_splits_are_taken_as_they_are(copied):
    root, cache = copied
    splits = Splits(("case_00004", "case_00001"), ("case_00000",))
    cases = open_frozen(str(root), str(cache), SPEC, splits)
    assert [c.id for c in cases.train] == ["case_00004", "case_00001"]
    assert [c.id for c in cases.validation] == ["case_00000"]
    assert cases.splits == splits


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda folder: shutil.rmtree(folder), "1 cases of this run are missing"),
        (lambda folder: (folder / "segmentation.nii.gz").unlink(), "its label is gone"),
        (lambda folder: (folder / "imaging.nii.gz").write_bytes(b""), "case_00001"),
    ],
)
def test_a_frozen_case_that_cannot_be_used_stops(copied, spoil, wrong):
    root, cache = copied
    spoil(root / "case_00001")
    splits = Splits(("case_00004", "case_00001"), ("case_00000",))
    with pytest.raises(InputError, match=wrong):
        open_frozen(str(root), str(cache), SPEC, splits)


def warped(root, parents) -> str:
    """A data set of cases that are made of others; its folder."""
    for number in parents:
        write_case(root, number)
    cases = {
        f"case_{number:05d}": {"reference": a, "floating": b}
        for number, (a, b) in parents.items()
    }
    facts = {"version": 1, "cases": cases}
    (root / "provenance.json").write_text(json.dumps(facts))
    return str(root)


def test_further_data_sets_train_and_never_validate(copied, tmp_path):
    root, cache = copied
    plain = open_new(str(root), str(cache), SPEC, **NUMBERS)
    a, b = plain.splits.train[:2]
    extra = [warped(tmp_path / "warped", {900: (a, b), 901: (b, a)})]
    cases = open_new(str(root), str(cache), SPEC, **NUMBERS, extra=extra)
    assert [c.id for c in cases.train[-2:]] == ["case_00900", "case_00901"]
    assert [c.id for c in cases.train[:-2]] == [c.id for c in plain.train]
    assert cases.splits.extra == ("case_00900", "case_00901")
    assert cases.splits.validation == plain.splits.validation
    folders = {folder.name.split("-")[0] for folder in cache.iterdir()}
    assert folders == {"tiny", "warped"}


def test_a_warped_copy_of_a_validation_case_is_refused(copied, tmp_path):
    root, cache = copied
    splits = open_new(str(root), str(cache), SPEC, **NUMBERS).splits
    seen = splits.validation[0]
    extra = [warped(tmp_path / "warped", {900: (splits.train[0], seen)})]
    said = f"case_00900 of {seen}"
    with pytest.raises(InputError, match=said):
        open_new(str(root), str(cache), SPEC, **NUMBERS, extra=extra)
    with pytest.raises(InputError, match=said):
        open_frozen(str(root), str(cache), SPEC, splits, extra)


def test_a_run_goes_on_with_the_further_cases_it_began_with(copied, tmp_path):
    root, cache = copied
    a, b, c, _ = open_new(str(root), str(cache), SPEC, **NUMBERS).splits.train
    extra = [warped(tmp_path / "warped", {900: (a, b)})]
    splits = open_new(str(root), str(cache), SPEC, **NUMBERS, extra=extra).splits
    warped(tmp_path / "more", {901: (b, c)})
    more = [*extra, str(tmp_path / "more")]
    cases = open_frozen(str(root), str(cache), SPEC, splits, more)
    assert cases.splits == splits
    (tmp_path / "warped" / "case_00900" / "imaging.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="case_00900"):
        open_frozen(str(root), str(cache), SPEC, splits, extra)
    with pytest.raises(InputError, match=r"missing: case_00900.*data\.extra"):
        open_frozen(str(root), str(cache), SPEC, splits, more[1:])


def test_further_cases_that_cannot_be_used_are_told_and_all_of_them_refused(
    copied, tmp_path
):
    root, cache = copied
    a, b = open_new(str(root), str(cache), SPEC, **NUMBERS).splits.train[:2]
    extra = [warped(tmp_path / "warped", {900: (a, b), 901: (b, a)})]
    (tmp_path / "warped" / "case_00900" / "imaging.nii.gz").write_bytes(b"")
    cases = open_new(str(root), str(cache), SPEC, **NUMBERS, extra=extra)
    assert cases.splits.extra == ("case_00901",)
    assert len(cases.refused) == 1 and "case_00900" in str(cases.refused[0])
    (tmp_path / "warped" / "case_00901" / "imaging.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="warped: none of its cases can be used"):
        open_new(str(root), str(cache), SPEC, **NUMBERS, extra=extra)


def test_a_case_added_later_is_told_and_left_out(copied):
    root, cache = copied
    splits = open_new(str(root), str(cache), SPEC, **NUMBERS).splits
    assert open_frozen(str(root), str(cache), SPEC, splits).notes == []
    write_case(root, 77)
    cases = open_frozen(str(root), str(cache), SPEC, splits)
    assert cases.splits == splits
    (note,) = cases.notes
    assert "1 labelled cases are not in the frozen split" in note
    assert note.endswith("case_00077")
