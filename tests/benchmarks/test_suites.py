import pytest

from benchmarks import machine_rates, multi
from benchmarks.program import Comparison, Program
from benchmarks.suites import FULL, SUITES

TRAINING = "cascade train_step 80x240x384 bfloat16"


def names(suite):
    return [str(c) for c in SUITES[suite].comparisons]


def test_the_gpu_suite_begins_with_the_cascades_training_step():
    assert names("gpu")[:7] == [
        f"{TRAINING} vs torch-channels-last-3d",
        f"{TRAINING} remat vs vnet_jax-without-remat",
        "cascade forward 80x240x384 bfloat16 vs torch-eager",
        "cascade forward 80x240x384 bfloat16 vs torch-channels-last-3d",
        f"{TRAINING} vs torch-compile-channels-last-3d",
        f"{TRAINING} vs vnet_jax-native",
        "cascade forward 80x240x384 bfloat16 vs vnet_jax-native",
    ]
    assert SUITES["gpu"].minutes == 8.0


def test_the_gpu_suite_has_the_full_region_of_interest_alone():
    assert {c.ours.shape for c in SUITES["gpu"].comparisons} == {FULL}


def test_the_cpu_suite_has_both_sizes_and_every_mode():
    rows = SUITES["cpu"].comparisons
    for shape in ((32, 64, 96), (80, 128, 192)):
        for work, net in (
            ("forward", "vnet"),
            ("train_step", "vnet"),
            ("train_step", "cascade"),
        ):
            program = Program(work, net, shape)
            assert Comparison(program, program.against("torch-eager")) in rows
    full = {str(c.ours) for c in rows if c.ours.shape == FULL}
    assert full == {f"cascade forward 80x240x384 {d}" for d in ("float32", "bfloat16")}
    small = [c for c in rows if c.ours.shape == (32, 64, 96)]
    assert len(small) == len(set(small)) == 2 * 2 * 2 * 3


def test_a_program_survives_json():
    program = Program("forward", "vnet", (16, 32, 48), remat=True)
    listed = program.settings() | {"shape": [16, 32, 48]}
    assert Program.of(listed) == program


def test_the_machines_rate_is_the_highest():
    a = {"matmul": {"float32": 1.0, "bfloat16": 9.0}, "copy": 5.0}
    b = {"matmul": {"float32": 2.0}, "copy": 4.0}
    best = machine_rates.best({"a": a, "b": b})
    assert best["matmul"] == {"float32": 2.0, "bfloat16": 9.0}
    assert best["by"] == {"matmul": {"float32": "b", "bfloat16": "a"}, "copy": "a"}
    assert machine_rates.best({}) == {
        "matmul": {},
        "copy": None,
        "by": {"matmul": {}, "copy": None},
    }


def test_a_product_that_would_take_too_long_is_measured_small(monkeypatch):
    sizes = []
    monkeypatch.setattr(machine_rates, "fastest", lambda call, repeats=5: call())

    def product(n, dtype):
        sizes.append(n)
        return lambda: 1.0

    assert machine_rates.product_rate(product, 4096, "float32") == 2 * 1024**3
    assert sizes == [1024]
    assert machine_rates.product_rate(product, 2048, "float32") == 2 * 2048**3
    assert sizes == [1024, 1024, 2048]


def test_scaling_by_hand():
    rows = [
        {"devices": n, "batch": n, "ours_s": ours, "rival_s": rival}
        for n, ours, rival in ((1, 2.0, 3.0), (2, 2.5, None))
    ]
    first, second = multi.scaling(rows)
    assert first["ours_samples_per_s"] == 0.5 and first["ours_efficiency"] == 1.0
    assert second["ours_samples_per_s"] == 0.8 and second["ours_efficiency"] == 0.8
    assert second["rival_samples_per_s"] is second["rival_efficiency"] is None


def test_devices_that_are_not_there_are_not_run():
    assert multi.missing("gpu", 2, 1) == "2 devices, 1 here"
    assert multi.missing("gpu", 2, 4) == multi.missing("cpu", 4, 1) == ""


@pytest.mark.parametrize(("device", "rate"), [("cpu", 3.0), ("gpu", 6.0)])
def test_two_gpus_can_do_twice_as_much(device, rate):
    rates = {"matmul": {"float32": 3.0}, "copy": 1.0}
    assert multi.scaled(rates, device, 2)["matmul"]["float32"] == rate
