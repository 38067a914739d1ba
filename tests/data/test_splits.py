import json
import random

import pytest

from vnet_jax.data.splits import Splits, read_splits, split, write_splits
from vnet_jax.errors import InputError

IDS = [f"case_{i:05d}" for i in range(20)]


def test_sizes_of_the_demo():
    # 20 phantoms, 4 set apart, 4 folds: 12 train, 4 validate.
    splits = split(IDS, seed=0, folds=4, fold=0, test=4)
    assert tuple(map(len, (splits.train, splits.validation, splits.test))) == (12, 4, 4)


@pytest.mark.parametrize("test", [0, 3])
def test_folds_are_disjoint_and_complete(test):
    splits = [split(IDS, seed=1, folds=5, fold=k, test=test) for k in range(5)]
    for one in splits:
        assert sorted(one.train + one.validation + one.test) == IDS
    validated = [name for one in splits for name in one.validation]
    assert len(set(validated)) == len(validated) == 20 - test
    assert len({one.test for one in splits}) == 1


def test_folds_differ_in_size_by_one_at_most():
    sizes = [len(split(IDS, seed=0, folds=6, fold=k).validation) for k in range(6)]
    assert sum(sizes) == 20
    assert max(sizes) - min(sizes) == 1


def test_order_of_the_ids_does_not_matter():
    shuffled = IDS[:]
    random.Random(3).shuffle(shuffled)
    assert shuffled != IDS
    args = dict(seed=0, folds=5, fold=2, test=2)
    assert split(shuffled, **args) == split(IDS, **args)


def test_the_seed_matters():
    splits = {split(IDS, seed=s, folds=5, fold=0, test=4) for s in range(10)}
    assert len(splits) == 10


def test_the_draw_is_the_same_on_every_machine():
    # sha256sum of "0", a zero byte and the id orders the cases 5 3 1 4 0 2: the first
    # two are set apart, every second of the rest, from the first, validates.
    assert split(IDS[:6], seed=0, folds=2, fold=0, test=2) == Splits(
        train=("case_00002", "case_00004"),
        validation=("case_00000", "case_00001"),
        test=("case_00003", "case_00005"),
    )


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (dict(folds=5, fold=5), "data.fold 5 is not one of the 5 folds"),
        (dict(folds=5, fold=-1), "data.fold -1"),
        (dict(folds=1, fold=0), "data.folds is 1"),
        (dict(folds=5, fold=0, test=16), "20 labelled cases, less 16 .* 5 folds"),
        (dict(folds=21, fold=0), "21 folds"),
        (dict(folds=2, fold=0, test=-1), "less -1"),
    ],
)
def test_numbers_that_cannot_work(args, reason):
    with pytest.raises(InputError, match=reason):
        split(IDS, seed=0, **args)


def test_as_few_cases_as_folds_still_work():
    splits = split(IDS[:5], seed=0, folds=5, fold=4)
    assert len(splits.validation) == 1


def test_an_id_twice_is_refused():
    with pytest.raises(InputError, match="case_00003"):
        split([*IDS, "case_00003"], seed=0, folds=5, fold=0)
    with pytest.raises(InputError, match=r"cases in two sets .* b"):
        Splits(train=("a", "b"), validation=("b",))


def test_written_and_read_back(tmp_path):
    splits = split(IDS, seed=0, folds=5, fold=1, test=2)
    path = tmp_path / "run" / "splits.json"
    write_splits(path, splits)
    assert read_splits(path) == splits


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a split"),
        ('{"train": ["a"]}', "not a split"),
        ('{"train": ["a"], "validation": ["a"], "test": []}', "two sets"),
    ],
)
def test_a_damaged_or_unsound_split_is_refused(tmp_path, text, reason):
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        read_splits(path)
    assert caught.value.path == path


def test_a_missing_split(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_splits(tmp_path / "splits.json")


def test_the_file_is_plain(tmp_path):
    path = tmp_path / "splits.json"
    write_splits(path, Splits(train=("a",), validation=("b",)))
    assert json.loads(path.read_text()) == {
        "train": ["a"],
        "validation": ["b"],
        "test": [],
    }
