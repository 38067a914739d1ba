"""A slice of the fuzz run: each kind of mutation ends in a CT or in one line."""

import pytest

from tests.dicom_writer import PLANTED
from tests.fuzz.dicom import MUTATIONS, mutated
from vnet_jax.ct import dicom
from vnet_jax.errors import InputError

pytest.importorskip("pydicom", reason="the extra dicom is not installed")


def test_each_mutation_once(tmp_path):
    ends = {"read": 0, "refused": 0}
    tried = set()
    for name, path in mutated(tmp_path, seed=1, count=len(MUTATIONS)):
        tried.add(name.partition(" ")[0])
        try:
            for case in dicom.asked(dicom.find(path), None):
                case.read()
            ends["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            assert str(error).startswith(str(path))
            assert not any(word in str(error) for word in PLANTED.values())
            ends["refused"] += 1
    assert tried == set(MUTATIONS)
    assert min(ends.values()) > 0
    assert list(tmp_path.iterdir()) == []
