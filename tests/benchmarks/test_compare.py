import pytest

from benchmarks import compare
from benchmarks.pool import Ready
from benchmarks.program import EAGER, Comparison, Program


class Clock(Ready):
    """A program whose calls take what the test says; a text is a reason to stop."""

    def __init__(self, name, seconds, calls, **facts):
        super().__init__(facts=facts)
        self.name, self.seconds, self.calls = name, iter(seconds), calls

    def ask(self, do):
        if self.reason:
            return {}
        self.calls.append(f"{self.name} {do}")
        if do != "time":
            return {"peak_mb": 7.0}
        took = next(self.seconds)
        if isinstance(took, str):
            self.reason = took
            return {}
        return {"seconds": took}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(compare, "PAUSE_S", 0.0)


def test_the_sides_are_called_in_turn():
    calls = []
    a, b = Clock("a", [1, 2, 3], calls), Clock("b", [4, 5, 6], calls)
    timing = compare.alternate(a, b, 3)
    assert calls == ["a time", "b time"] * 3
    assert (timing.ours, timing.rival) == ([1, 2, 3], [4, 5, 6])


def test_medians_ratio_and_spread_by_hand():
    numbers = compare.Timing([1.0, 2.0, 4.0], [3.0, 3.0, 10.0]).numbers()
    assert (numbers["ours_s"], numbers["rival_s"]) == (2.0, 3.0)
    assert numbers["ratio"] == 1.5
    assert numbers["spread"] == [1.5, 3.0]  # 3 / 1, 3 / 2, 10 / 4
    assert numbers["rounds"] == 3


def test_a_side_that_stops_leaves_the_other_running():
    calls = []
    a, b = Clock("a", [1, 2, 3], calls), Clock("b", [4, "out of memory"], calls)
    timing = compare.alternate(a, b, 3)
    assert (timing.ours, timing.rival) == ([1, 2, 3], [4])
    assert b.reason == "out of memory"


def test_one_side_alone_has_no_ratio():
    numbers = compare.Timing([1.0, 3.0], []).numbers()
    assert numbers["ours_s"] == 2.0
    assert numbers["rival_s"] is numbers["ratio"] is numbers["spread"] is None


@pytest.mark.parametrize(
    ("round_s", "budget_s", "rounds"),
    [(1.0, 10.0, 10), (60.0, 40.0, 3), (0.0, 1.0, 15)],
)
def test_rounds_fill_the_budget_within_bounds(round_s, budget_s, rounds):
    assert compare.rounds_for(round_s, budget_s) == rounds


def test_memory_is_asked_for_around_the_rounds():
    calls = []
    a, b = Clock("a", [1.0] * 4, calls, warm_s=1.0), Clock("b", [2.0] * 4, calls)
    numbers = compare.measure(a, b, budget_s=4.0).numbers()
    assert calls[:2] == ["a reset_peak", "b reset_peak"]
    assert calls[-2:] == ["a peak", "b peak"]
    assert (numbers["rounds"], numbers["ours_peak_mb"]) == (4, 7.0)
    assert numbers["in_turn"]


def test_two_that_do_not_fit_together_run_one_after_the_other():
    calls, program = [], Program("forward", "vnet", (16, 16, 16))
    comparison = Comparison(program, program.against(EAGER))
    sides = {
        comparison.ours: Clock("a", [1.0] * 15, calls, warm_s=1.0),
        comparison.rival: Clock("b", [2.0] * 15, calls, warm_s=1.0),
    }

    class Pool:
        def keep(self, programs):
            calls.append(f"keep {len(programs)}")

        def ready(self, program):
            return sides[program]

    ours, rival, timing = compare.apart(Pool(), comparison, budget_s=6.0)
    alone = ["reset_peak", *["time"] * 3, "peak"]
    expected = [*(f"a {do}" for do in alone)], [*(f"b {do}" for do in alone)]
    assert calls == ["keep 0", *expected[0], "keep 0", *expected[1]]
    assert (timing.numbers()["ratio"], timing.in_turn) == (2.0, False)
    assert (ours, rival) == tuple(sides.values())


@pytest.mark.parametrize(
    ("ours", "rival", "expected"),
    [
        ("", "out of memory", True),
        ("out of memory", "", True),
        ("", "", False),
        ("out of memory", "PyTorch is not installed", False),
        ("", "RuntimeError: no kernel", False),
    ],
)
def test_when_memory_alone_is_in_the_way(ours, rival, expected):
    sides = Ready(reason=ours), Ready(reason=rival)
    assert compare.too_large_together(*sides) == expected
