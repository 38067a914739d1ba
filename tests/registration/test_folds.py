import json

import pytest

from vnet_jax.errors import InputError
from vnet_jax.registration.folds import read_fold

FOLDS = {"version": 1, "seed": 0, "folds": [["a", "b"], ["c"], ["d"]], "test": ["t"]}
SPLIT = {"train": ["b", "a"], "validation": ["c"], "test": ["t"]}


def written(tmp_path, facts):
    path = tmp_path / "splits.json"
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return path


def test_a_fold_trains_on_the_other_folds(tmp_path):
    fold = read_fold(written(tmp_path, FOLDS), 1)
    assert fold.train == ("a", "b", "d")
    assert fold.held_out == {"c", "t"}


def test_one_split_is_its_own_fold(tmp_path):
    fold = read_fold(written(tmp_path, SPLIT), 3)
    assert fold.train == ("a", "b")
    assert fold.held_out == {"c", "t"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("{", "no split of cases"),
        ({"train": ["a"]}, "no split of cases"),
        ([], "no split of cases"),
        ({**SPLIT, "train": [1]}, "no split of cases"),
        ({**SPLIT, "train": ["a", "c"]}, "both in training and held out: c"),
        ({**FOLDS, "folds": [["a"], ["a"]]}, "both in training and held out: a"),
        ({**FOLDS, "folds": [["a"]]}, "fold 1 is not one of its 1 folds"),
    ],
)
def test_a_bad_file_is_named(tmp_path, facts, words):
    path = written(tmp_path, facts)
    with pytest.raises(InputError, match=words) as caught:
        read_fold(path, 1)
    assert caught.value.path == path


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_fold(tmp_path / "none.json", 0)
