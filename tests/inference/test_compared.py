import json

import numpy as np
import pytest

from tests.inference.visits import write_visit
from vnet_jax.errors import InputError
from vnet_jax.inference.compared import compare
from vnet_jax.inference.visit import read_visit

#: A large one on the right, a small one and a middling one on the left.
BIG, SMALL, MIDDLE = (78, 0, 10), (-60, 14, 30), (-70, -8, -15)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    return write_visit(folder, "p", tumours=[(BIG, 14), (SMALL, 6), (MIDDLE, 9)])


def compared(before, after, days=None, bare=False):
    for path in (before, after) if bare else ():
        path.with_suffix("").with_suffix(".nii.gz").rename(path.with_suffix(".away"))
    try:
        return compare(read_visit(before), read_visit(after), days)[0]
    finally:
        for path in (before, after) if bare else ():
            path.with_suffix(".away").rename(path.with_suffix(".nii.gz"))


def kinds(facts):
    return [(row["kind"], row["side"]) for row in facts["tumours"]]


@pytest.mark.parametrize("bare", [False, True])
def test_growth_after_a_motion(first, tmp_path, bare):
    shift, turn = (6, -9, 12), (0.0 if bare else 8.0)
    after = write_visit(
        tmp_path,
        "q",
        tumours=[(BIG, 18), (SMALL, 6), (MIDDLE, 11)],
        shift=shift,
        degrees=turn,
    )
    facts = compared(first, after, 365, bare)
    assert kinds(facts) == [
        ("matched", "right"),
        ("matched", "left"),
        ("matched", "left"),
    ]
    big, middle, small = facts["tumours"]
    ml = [4 / 3 * np.pi * r**3 / 1000 for r in (14, 18)]
    assert big["ml"]["before"] == pytest.approx(ml[0], rel=0.03)
    assert big["ml"]["a_year"] == pytest.approx(ml[1] - ml[0], rel=0.06)
    assert big["diameter_mm"]["a_year"] == pytest.approx(8, abs=1.5)
    doubling = 365 * np.log(2) / np.log(ml[1] / ml[0])
    assert big["doubling_days"] == pytest.approx(doubling, rel=0.06)
    assert not big["diameter_within_error"]
    assert abs(small["ml"]["percent"]) < 12
    assert small["diameter_within_error"]
    assert middle["ml"]["change"] > 1
    method = "centres" if bare else "rigid"
    for side in ("left", "right"):
        motion = facts["alignment"][side]
        assert motion["method"] == method
        assert motion["degrees"] == pytest.approx(turn, abs=1)
    told = " ".join(facts["warnings"])
    assert ("no mask" in told) == bare


def test_new_gone_split_and_merged(first, tmp_path):
    after = write_visit(
        tmp_path,
        "q",
        # The big one is two, the small one is gone, a new one is at the lower pole.
        tumours=[
            ((84, 0, 10), 6.5),
            ((70, 0, 10), 6.5),
            (MIDDLE, 9),
            ((-60, 10, -38), 5),
        ],
    )
    facts = compared(first, after)
    assert sorted(kinds(facts)) == [
        ("gone", "left"),
        ("matched", "left"),
        ("new", "left"),
        ("split", "right"),
    ]
    split = next(row for row in facts["tumours"] if row["kind"] == "split")
    assert len(split["after"]) == 2
    assert split["diameter_mm"]["change"] is None
    assert split["ml"]["change"] < 0
    new = next(row for row in facts["tumours"] if row["kind"] == "new")
    assert new["ml"]["before"] is None
    assert new["ml"]["a_year"] is None
    back = compared(after, first)
    assert ("merged", "right") in kinds(back)


def test_a_kidney_that_is_gone_takes_its_tumours_along(first, tmp_path):
    after = write_visit(
        tmp_path, "q", tumours=[(SMALL, 6), (MIDDLE, 9)], kidneys=("left",)
    )
    facts = compared(first, after, 400)
    assert ("gone", "right") in kinds(facts)
    assert facts["alignment"]["right"] is None
    assert facts["kidneys"]["right"]["ml"]["after"] is None
    assert "kidney right: only before, its tumours are not matched" in facts["warnings"]


def test_uncertainty_is_that_of_the_intervals(first, tmp_path):
    facts = json.loads(first.read_text())
    facts["intervals_ml"] = {"level": 0.9, "tumour": [12.0, 16.0], "kidney_left": None}
    facts["notice"] = "trained on synthetic CTs"
    before = tmp_path / "p.json"
    before.write_text(json.dumps(facts))
    (tmp_path / "p.nii.gz").write_bytes(first.with_suffix(".nii.gz").read_bytes())
    after = write_visit(
        tmp_path,
        "q",
        tumours=[(BIG, 17)],
        intervals={"level": 0.9, "tumour": [18.0, 25.0], "kidney_left": None},
    )
    found = compared(before, after, 50)
    assert found["notice"] == "trained on synthetic CTs"
    interval = found["uncertainty"]["intervals_ml"]["tumour"]
    assert (interval["low_ml"], interval["high_ml"]) == (2.0, 13.0)
    assert interval["grown"]
    assert any(text.startswith("50 days") for text in found["warnings"])
    assert compared(first, after)["uncertainty"]["intervals_ml"] is None


def test_what_is_no_visit_is_one_line(first, tmp_path):
    mask = tmp_path / "x.nii.gz"
    mask.write_bytes(first.with_suffix(".nii.gz").read_bytes())
    with pytest.raises(
        InputError, match=r"no summary x\.json beside it; make one: bin/m"
    ):
        read_visit(mask)
    summary = tmp_path / "x.json"
    facts = json.loads(first.read_text())
    for change, wrong in [
        ({"schema": 2}, "a summary of schema 2, and not 3"),
        ({"tumour_count": 9}, "tells of 9 tumours, its mask has 3"),
        ({"outputs": {"x.nii.gz": "0"}}, "has changed since x.json was written"),
        ({"kidneys": None}, "a summary without"),
        ({"tumours": [{}]}, "a summary without side"),
    ]:
        summary.write_text(json.dumps(facts | change))
        with pytest.raises(InputError, match=wrong):
            read_visit(summary)
    for text in ("{", "[]", '{"cases": 1}'):
        summary.write_text(text)
        with pytest.raises(InputError, match=r"x\.json: no "):
            read_visit(summary)
    with pytest.raises(InputError, match="no such file"):
        read_visit(tmp_path / "no.json")


def test_a_mask_names_its_summary(first):
    assert read_visit(first.with_suffix(".nii.gz")).facts["case"] == "p"
