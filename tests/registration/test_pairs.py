import json

import pytest

from vnet_jax.errors import InputError
from vnet_jax.registration.folds import Fold
from vnet_jax.registration.pairs import (
    MOST,
    Pair,
    draw,
    hardest,
    read_scores,
    refuse_held_out,
)
from vnet_jax.scores.folder import Report

FOLD = Fold(tuple("abcdefgh"), frozenset("vt"))
SCORES = dict(zip("abcdefghvt", (5, 1, 3, 1, 9, 8, 7, 6, 0, 0), strict=True))
SCORES = {name: score / 10 for name, score in SCORES.items()}


def test_scores_by_what_is_asked_for(scores):
    assert read_scores(scores)["case_00003"] == 0.3
    assert read_scores(scores, "kidney")["case_00003"] == 0.7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no scores"),
        ('{"cases": [{"id": "a"}]}', "no scores"),
        ('{"cases": [{"id": "a", "phase2": {"tumour": NaN}}]}', "is nan"),
        ('{"cases": [{"id": "a", "phase2": {"tumour": 97}}]}', "is 97"),
    ],
)
def test_bad_scores_are_refused(tmp_path, text, words):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_scores(path)


def test_the_worst_training_cases_and_no_held_out_one():
    # v and t have 0, the worst of all, and are held out; b and d tie.
    assert hardest(SCORES, FOLD, 3) == ("b", "d", "c")


@pytest.mark.parametrize("count", [0, 8, 101])
def test_too_many_hard_cases(count):
    with pytest.raises(InputError, match="pass 1 to 7"):
        hardest(SCORES, FOLD, count)


def test_a_training_case_without_a_score():
    scores = {name: score for name, score in SCORES.items() if name != "e"}
    with pytest.raises(InputError, match="no score for 1 training cases, e"):
        hardest(scores, FOLD, 2)


def test_floating_cases_are_the_others_each_once():
    pairs = draw(0, 1, ("b", "d"), FOLD)
    assert sorted(pair.floating for pair in pairs) == list("acefgh")
    assert {pair.reference for pair in pairs} == {"d"}
    assert [pair.name for pair in pairs[:2]] == ["case_90100", "case_90101"]


def test_the_draw_depends_on_the_seed_and_the_reference_alone():
    first = [pair.floating for pair in draw(0, 0, ("b", "d"), FOLD)]
    assert first == [pair.floating for pair in draw(0, 1, ("d", "b"), FOLD)]
    assert first != [pair.floating for pair in draw(1, 0, ("b", "d"), FOLD)]
    assert first != [pair.floating for pair in draw(0, 1, ("b", "d"), FOLD)]
    # One case less leaves the order of the others.
    fewer = Fold(tuple("abcdefg"), frozenset("vt"))
    left = [pair.floating for pair in draw(0, 0, ("b", "d"), fewer)]
    assert left == [name for name in first if name != "h"]


def test_names_have_room_for_all():
    many = Fold(tuple(f"x{k}" for k in range(300)), frozenset())
    pairs = draw(0, 0, ("x0",), many)
    assert len(pairs) == MOST
    assert len({pair.name for pair in pairs}) == MOST


@pytest.mark.parametrize("names", ["va", "at", "a?"])
def test_a_held_out_case_is_refused(names):
    with pytest.raises(InputError, match="not a training case of this fold"):
        refuse_held_out(Pair(*names, 0, 0), FOLD)


def test_evaluates_scores_are_read(tmp_path):
    dice = {"kidney": 0.9, "tumour": 0.25, "mean": 0.575, "kidney_alone": 0.8}
    report = Report(cases=[{"id": "a", "phase2": dice}])
    (tmp_path / "scores.json").write_text(json.dumps(report.as_dict()))
    assert read_scores(tmp_path / "scores.json") == {"a": 0.25}
