import csv
import json
import re
import zlib

import pytest

from vnet_jax.data.cases import find_cases
from vnet_jax.data.prepare import GridSpec
from vnet_jax.errors import InputError
from vnet_jax.registration import augment as room
from vnet_jax.registration.augment import Plan, augment, missing
from vnet_jax.registration.folds import Fold
from vnet_jax.registration.greedy import Greedy
from vnet_jax.registration.niftyreg import PROGRAMS, NiftyReg
from vnet_jax.registration.studies import Region

IDS = tuple(f"case_{k:05d}" for k in range(8))
FOLD = Fold(IDS[:6], frozenset(IDS[6:]))
PLAN = Plan(IDS[:2], FOLD, per_hard=2)
REGION = Region(GridSpec((3.0, 1.0, 1.0)), None)
ENGINE = Greedy("1.4", 1)  # a name and settings; what it aligns is in test_engines


def record(pair, accepted=True, reason=""):
    quality = {"similarity": 0.5, "jacobian_min": 0.25, "folded": 0.0}
    return {
        "name": pair.name,
        "reference": pair.reference,
        "floating": pair.floating,
        "accepted": accepted,
        "reason": reason,
        "quality": quality if accepted else {},
        "usage": {},
    }


def good(pair):
    """Whether a pair would be accepted: fixed, as an engine's verdict is."""
    return zlib.crc32(f"{pair.floating}{pair.reference}".encode()) % 3 > 0


def finish(draws, per_hard, order):
    """Works off what is missing, each round in some order; returns the records."""
    records = {}
    while todo := missing(draws, records, per_hard):
        for pair in order(todo):
            records[pair.name] = record(pair, good(pair))
    return records


def test_the_refused_are_drawn_again_until_there_are_enough():
    draws = Plan(IDS[:2], FOLD, 2, seed=3).draws()
    records = finish(draws, 2, list)
    for pairs in draws:
        tried = [p for p in pairs if p.name in records]
        assert tried == pairs[: len(tried)]
        kept = [p for p in tried if records[p.name]["accepted"]]
        enough = len(kept) == 2
        assert enough or tried == pairs
        assert not enough or good(tried[-1]), "none after the last that was needed"
    assert any(not r["accepted"] for r in records.values())


def test_neither_the_order_nor_a_stop_changes_the_pairs():
    for seed in range(10):
        draws = Plan(IDS[:2], FOLD, 2, seed).draws()
        once = finish(draws, 2, list)
        # One pair a round, the last first: as if killed after each.
        assert finish(draws, 2, lambda todo: todo[-1:]) == once
        # First one a reference, then two: as if asked for more later.
        more = finish(draws, 1, list)
        while todo := missing(draws, more, 2):
            more |= {pair.name: record(pair, good(pair)) for pair in todo}
        assert more == once


def leave(out, pair, accepted=True, whole=True):
    """What a run leaves of a pair on disk."""
    (out / room.RECORDS).mkdir(parents=True, exist_ok=True)
    text = json.dumps(record(pair, accepted, "" if accepted else "folds"))
    (out / room.RECORDS / f"{pair.name}.json").write_text(text)
    if accepted and whole:
        (out / pair.name).mkdir()
        (out / pair.name / "case.json").write_text("{}")


def test_a_finished_run_does_nothing_and_publishes_all(dataset, tmp_path):
    out = tmp_path / "out"
    first, second = PLAN.draws()
    for pair in (*first[:2], second[0], second[2]):
        leave(out, pair)
    leave(out, second[1], accepted=False)
    (out / room.WORK / "abandoned").mkdir(parents=True)
    outcome = augment(find_cases(dataset()), PLAN, REGION, ENGINE, out, shown=False)
    assert (outcome.kept, outcome.refused, outcome.short) == (4, 1, {})
    assert not (out / room.WORK).exists()
    told = json.loads((out / "provenance.json").read_text())
    assert told["version"] == 1
    kept = ["case_90000", "case_90001", "case_90100", "case_90102"]
    assert list(told["cases"]) == kept
    assert told["cases"]["case_90102"]["reference"] == "case_00001"
    assert told["cases"]["case_90102"]["floating"] == second[2].floating
    rows = list(csv.DictReader((out / "pairs.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [*kept[:3], "case_90101", "case_90102"]
    assert [row["reason"] for row in rows] == ["", "", "", "folds", ""]
    assert rows[0]["jacobian_min"] == "0.25"
    assert re.search(r"case_90101 .* folds", (out / "pairs.md").read_text())


def test_a_record_without_its_case_is_not_done(tmp_path):
    draws = PLAN.draws()
    for pair in (*draws[0][:2], *draws[1][:2]):
        leave(tmp_path, pair, whole=pair is not draws[1][0])
    records = room._read_records(tmp_path, draws)
    assert missing(draws, records, 2) == [draws[1][0]]


def test_an_engine_that_gives_up_refuses_the_pair(tmp_path, dataset):
    for name in PROGRAMS:
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho no overlap\nexit 1\n")
        program.chmod(0o755)
    engine, out = NiftyReg(tmp_path, "1.5"), tmp_path / "out"
    outcome = augment(find_cases(dataset()), PLAN, REGION, engine, out, 2, shown=False)
    assert (outcome.kept, outcome.refused) == (0, 8)
    assert outcome.short == {"case_00000": 0, "case_00001": 0}
    said = json.loads((out / room.RECORDS / "case_90000.json").read_text())
    assert said["reason"] == "reg_aladin ended with status 1: no overlap"
    assert not list(out.glob("case_*"))


def test_references_without_enough_pairs_are_told(tmp_path, dataset):
    first, second = PLAN.draws()
    for k, pair in enumerate(first):
        leave(tmp_path / "out", pair, accepted=k == 0)
    for pair in second[:2]:
        leave(tmp_path / "out", pair)
    cases = find_cases(dataset())
    outcome = augment(cases, PLAN, REGION, ENGINE, tmp_path / "out", shown=False)
    assert outcome.short == {"case_00000": 1}


@pytest.mark.parametrize(
    ("plan", "names", "words"),
    [
        (PLAN, IDS[:5], "1 training cases are not in --data, case_00005"),
        (Plan(IDS[:2], FOLD, 5), IDS, "--per_hard=5 of 4 cases"),
        (PLAN, (*IDS, "case_90103"), "called case_90103, as a warped case would be"),
    ],
)
def test_what_could_not_be_finished_is_not_begun(tmp_path, plan, names, words):
    for name in names:
        (tmp_path / "kits" / name).mkdir(parents=True)
        (tmp_path / "kits" / name / "imaging.nii.gz").touch()
    cases = find_cases(tmp_path / "kits")
    with pytest.raises(InputError, match=words):
        augment(cases, plan, REGION, ENGINE, tmp_path / "out", shown=False)
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused(tmp_path):
    recipe = room._recipe(PLAN, REGION, ENGINE)
    room._same_recipe(tmp_path, recipe)
    room._same_recipe(tmp_path, room._recipe(PLAN, REGION, Greedy("1.4", 8)))
    for plan, engine, differs in (
        (PLAN, Greedy("1.5", 1), "engine_version"),
        (Plan(IDS[:2], FOLD, 2, seed=1), ENGINE, "seed"),
        (Plan(IDS[1:3], FOLD, 2), ENGINE, "hard"),
    ):
        with pytest.raises(InputError, match=rf"other settings \({differs}\)"):
            room._same_recipe(tmp_path, room._recipe(plan, REGION, engine))


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        room._alone(tmp_path),
        pytest.raises(InputError, match="another run is at work"),
        room._alone(tmp_path),
    ):
        pass
    with room._alone(tmp_path):
        assert (tmp_path / room.WORK).is_dir()
