import json
from pathlib import Path

import pytest

from vnet_jax.data.extra import (
    find_extra,
    patients_of,
    read_provenance,
    refuse_leaks,
    refuse_warped,
)
from vnet_jax.data.splits import Splits
from vnet_jax.errors import InputError

OWN = ["case_1", "case_2", "case_3", "case_4"]
SPLITS = Splits(("case_1", "case_2"), ("case_3",), ("case_4",))


def data_set(root: Path, cases: dict | list) -> str:
    """A KiTS19 tree of empty files; a dict says of whom each case is made."""
    for name in cases:
        folder = root / name
        folder.mkdir(parents=True)
        for file in ("imaging", "segmentation"):
            (folder / f"{file}.nii.gz").touch()
    if isinstance(cases, dict):
        origins = {
            name: {"reference": a, "floating": b} for name, (a, b) in cases.items()
        }
        facts = {"version": 1, "cases": origins}
        (root / "provenance.json").write_text(json.dumps(facts))
    return str(root)


def check(*roots: str) -> list:
    extra = find_extra(roots, OWN)
    refuse_leaks(extra, OWN, SPLITS)
    return extra


def test_copies_of_training_patients_are_welcome(tmp_path):
    root = data_set(tmp_path / "warped", {"case_90": ("case_1", "case_2")})
    (one,) = check(root)
    assert [case.id for case in one.cases] == ["case_90"]
    assert one.parents == {"case_90": ("case_1", "case_2")}


@pytest.mark.parametrize("parents", [("case_1", "case_3"), ("case_4", "case_1")])
def test_a_copy_of_a_validation_or_test_patient_is_refused(tmp_path, parents):
    cases = {"case_90": ("case_1", "case_2"), "case_91": parents}
    with pytest.raises(InputError, match=r"1 cases are made of .*case_91 of case_[34]"):
        check(data_set(tmp_path / "warped", cases))


def test_a_copy_of_a_copy_is_found_through_two_data_sets(tmp_path):
    first = data_set(tmp_path / "first", {"case_90": ("case_3", "case_3")})
    second = data_set(tmp_path / "second", {"case_91": ("case_1", "case_90")})
    with pytest.raises(InputError, match="case_91 of case_3"):
        refuse_leaks(find_extra([first, second], OWN)[::-1], OWN, SPLITS)
    # Without the first set nobody can tell who case_90 is.
    with pytest.raises(InputError, match="case_91 is made of case_90, whom no data"):
        check(second)


def test_a_circle_has_no_patient_and_is_refused(tmp_path):
    cases = {"case_90": ("case_91", "case_91"), "case_91": ("case_90", "case_90")}
    with pytest.raises(InputError, match="whom no data set has"):
        check(data_set(tmp_path / "warped", cases))


def test_other_patients_need_ids_of_their_own(tmp_path):
    assert check(data_set(tmp_path / "others", ["other_1", "other_2"]))[0].parents == {}
    with pytest.raises(InputError, match=r"case_2 are in another .* no provenance"):
        check(data_set(tmp_path / "twins", ["case_2"]))
    twice = data_set(tmp_path / "twice", ["other_1"])
    with pytest.raises(InputError, match="other_1 are in another"):
        check(twice, twice)


def test_a_case_without_an_origin_among_those_that_have_one(tmp_path):
    root = data_set(tmp_path / "warped", {"case_90": ("case_1", "case_2")})
    data_set(Path(root), ["case_91"])
    with pytest.raises(InputError, match="does not say of whom case_91"):
        check(root)


def test_patients_at_the_end_of_the_line():
    parents = {"c": ("a", "b"), "d": ("c", "e")}
    assert patients_of("d", parents) == {"a", "b", "e"}
    assert patients_of("a", parents) == {"a"}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2, "cases": {}}', '{"version": 1, "cases": [1]}']
)
def test_a_damaged_provenance_is_refused(tmp_path, text):
    assert read_provenance(tmp_path) == {}
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(InputError, match="no provenance"):
        read_provenance(tmp_path)


def test_a_data_set_of_copies_cannot_be_the_main_one(tmp_path):
    refuse_warped(data_set(tmp_path / "others", ["other_1"]))
    with pytest.raises(InputError, match=r"pass it as --config\.data\.extra"):
        refuse_warped(data_set(tmp_path / "w", {"case_90": ("case_1", "case_2")}))


def test_no_such_data_set_names_the_option():
    with pytest.raises(InputError, match=r"nowhere: no such folder.*data\.extra"):
        find_extra(["nowhere"], OWN)
