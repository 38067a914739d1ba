import json

import pytest

from vnet_jax.data.folds import Folds, draw_folds, read_folds, write_folds
from vnet_jax.data.splits import split
from vnet_jax.errors import InputError

IDS = [f"case_{i:05d}" for i in range(20)]
TWO = Folds(0, (("a", "b"), ("c",)), ("d",), {"kits19": ("a", "b", "c", "d", "e")})


@pytest.mark.parametrize("test", [0, 3])
def test_each_fold_is_the_split_that_a_training_would_draw_itself(test):
    folds = draw_folds(IDS, seed=2, folds=5, test=test)
    for k in range(5):
        assert folds.splits(k) == split(IDS, seed=2, folds=5, fold=k, test=test)
    assert sorted([*folds.ids, *folds.test]) == IDS


def test_a_fold_that_is_not_there():
    with pytest.raises(InputError, match=r"data\.fold 2 is not one of the 2 folds"):
        TWO.splits(2)
    with pytest.raises(InputError, match=r"data\.fold -1"):
        TWO.splits(-1)


def test_a_later_case_is_a_stranger():
    assert TWO.strangers(["e", "a", "d"]) == ["e"]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_folds(count):
    with pytest.raises(InputError, match="at least 2"):
        draw_folds(IDS, seed=0, folds=count)


def test_written_and_read_back(tmp_path):
    path = tmp_path / "out" / "folds.json"
    write_folds(path, TWO)
    assert read_folds(path) == TWO
    assert json.loads(path.read_text()) == {
        "version": 1,
        "seed": 0,
        "folds": [["a", "b"], ["c"]],
        "test": ["d"],
        "sources": {"kits19": ["a", "b", "c", "d", "e"]},
    }


GOOD = {"version": 1, "seed": 0, "folds": [["a"], ["b"]], "test": [], "sources": {}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"folds": [["a"], ["a"]]}, "two sets of one split"),
        ({"test": ["b"]}, "two sets of one split"),
        ({"folds": [["a"], []]}, "folds of 1, 0 cases"),
        ({"folds": [["a", "b"]]}, "folds of 2 cases"),
        ({"folds": ["ab", "c"]}, "is no list of ids"),
        ({"folds": [[1], [2]]}, "is no list of ids"),
        ({"version": 2}, "version 2, this program reads 1"),
        ({"seed": None}, "no frozen folds"),
    ],
)
def test_a_damaged_or_unsound_file_is_refused(tmp_path, change, reason):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(InputError, match=reason) as caught:
        read_folds(path)
    assert caught.value.path == path
    path.write_text(json.dumps(GOOD))
    assert read_folds(path).ids == ("a", "b")


def test_no_file_and_no_json(tmp_path):
    path = tmp_path / "folds.json"
    with pytest.raises(InputError, match="no such file; bin/crossval"):
        read_folds(path)
    path.write_text("{")
    with pytest.raises(InputError, match="no frozen folds"):
        read_folds(path)
