import os

import pytest

from vnet_jax.errors import InputError
from vnet_jax.experiments import devices
from vnet_jax.experiments.jobs import Slot


def test_one_after_another_asks_nothing(monkeypatch):
    monkeypatch.setattr(devices, "devices", None)
    assert devices.slots(0) == [Slot()]


@pytest.mark.parametrize(
    ("per_job", "expected"), [(1, ["4", "5", "7"]), (2, ["4,5"]), (3, ["4,5,7"])]
)
def test_gpus_are_cut_into_slots(monkeypatch, per_job, expected):
    monkeypatch.setattr(devices, "devices", lambda: ("GPUs", ["4", "5", "7"]))
    slots = devices.slots(per_job)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == expected


def test_cores_are_cut_into_slots_on_this_machine(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # asked of JAX itself
    slots = devices.slots(1)
    cores = [core for slot in slots for core in slot.cpus]
    assert sorted(cores) == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize("per_job", [4, -1])
def test_more_than_there_are(monkeypatch, per_job):
    monkeypatch.setattr(devices, "devices", lambda: ("GPUs", ["0", "1"]))
    with pytest.raises(InputError, match="but there are 2 GPUs; pass 1 to 2"):
        devices.slots(per_job)


def test_a_jax_that_does_not_start_is_one_line(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    with pytest.raises(InputError, match=r"JAX finds no device: .*abacus"):
        devices.slots(1)
