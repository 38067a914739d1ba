import shutil

import pytest

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
