import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vnet_jax.experiments.jobs import Job, Slot, run


def job(folder: Path, name: str, code: str, **facts) -> Job:
    return Job(name, (sys.executable, "-c", code), folder / f"{name}.log", **facts)


def write(path: Path, text: str = "x") -> str:
    """Code that appends to a file, so that a test can count its runs."""
    return f"open({str(path)!r}, 'a').write({text!r})"


def quiet(jobs, *slots):
    return run(jobs, slots or (Slot(),), stream=io.StringIO())


def test_jobs_run_in_order_and_what_is_done_is_skipped(tmp_path):
    made = tmp_path / "made"
    jobs = [job(tmp_path, name, write(made, name)) for name in "abc"]
    assert quiet(jobs).failed == []
    assert made.read_text() == "abc"
    assert quiet(jobs).failed == []
    assert made.read_text() == "abc"
    assert json.loads((tmp_path / "a.done").read_text())["seconds"] > 0


def test_another_command_a_lost_output_and_what_builds_on_it_run_again(tmp_path):
    made, output = tmp_path / "made", tmp_path / "output"
    first = job(tmp_path, "a", write(output), outputs=(output,))
    second = job(tmp_path, "b", write(made, "b"), after=("a",))
    third = job(tmp_path, "c", write(made, "c"))
    quiet([first, second, third])
    output.unlink()
    quiet([first, second, third])
    assert made.read_text() == "bcb"  # c builds on nothing
    quiet([first, second, job(tmp_path, "c", write(made, "C"))])
    assert made.read_text() == "bcbC"


def test_a_failure_is_named_takes_its_followers_down_and_spares_the_others(tmp_path):
    made, told = tmp_path / "made", io.StringIO()
    code = "import sys; print('vnet_jax: x: wrong'); print('1 of 2'); sys.exit(3)"
    jobs = [
        job(tmp_path, "a", code),
        job(tmp_path, "b", write(made, "b"), after=("a",)),
        job(tmp_path, "c", write(made, "c"), after=("b",)),
        job(tmp_path, "d", write(made, "d")),
    ]
    outcome = run(jobs, stream=told)
    assert made.read_text() == "d"
    assert outcome.left == ["b", "c"]
    (failure,) = outcome.failed
    assert str(failure).startswith("a ended with status 3: vnet_jax: x: wrong (see ")
    assert str(failure) in told.getvalue()
    assert not (tmp_path / "a.done").exists()


def test_a_job_killed_by_a_signal_has_a_status_as_shells_have_it(tmp_path):
    code = "import os; print('here'); os.abort()"
    (failure,) = quiet([job(tmp_path, "a", code)]).failed
    assert failure.status == 128 + signal.SIGABRT


def test_side_by_side_each_in_its_slot(tmp_path):
    # Each waits until the other has started: one after the other would never end.
    code = """
import os, pathlib, sys, time
here = pathlib.Path({folder!r})
(here / {own!r}).write_text(os.environ['PLACE'] + str(len(os.sched_getaffinity(0))))
end = time.monotonic() + 60
while not (here / {other!r}).exists():
    assert time.monotonic() < end
    time.sleep(0.01)
"""
    jobs = [
        job(tmp_path, a, code.format(folder=str(tmp_path), own=a, other=b))
        for a, b in ("xy", "yx")
    ]
    cpu = frozenset({min(os.sched_getaffinity(0))})
    slots = [Slot({"PLACE": place}, cpu) for place in "01"]
    assert quiet(jobs, *slots).failed == []
    assert {(tmp_path / name).read_text() for name in "xy"} == {"01", "11"}


def test_time_left_is_told_once_every_kind_was_timed(tmp_path):
    told = io.StringIO()
    jobs = [job(tmp_path, n, "pass", kind=k) for n, k in ("ax", "by", "cx", "dy")]
    run(jobs, stream=told)
    done = [line for line in told.getvalue().splitlines() if "done in" in line]
    assert [" left" in line for line in done] == [False, True, True, False]
    assert "b: done in " in done[1] and "2 of 4 jobs, about " in done[1]


def test_a_job_at_work_elsewhere_is_not_started_twice(tmp_path):
    slow = job(tmp_path, "a", "import time; print('up', flush=True); time.sleep(60)")
    with slow.log.open("ab") as log:
        import fcntl

        fcntl.flock(log, fcntl.LOCK_EX)
        (failure,) = quiet([slow]).failed
    assert failure.status == 2 and "another start of this job" in failure.line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_on_and_the_rest_goes_on_later(tmp_path, number):
    """The runner in a process of its own; its child saves and leaves when told."""
    up, saved, made = (tmp_path / name for name in ("up", "saved", "made"))
    child = f"""
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path({str(saved)!r}).write_text("saved")
    sys.exit(143)
if pathlib.Path({str(saved)!r}).exists():
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path({str(up)!r}).write_text("up")
time.sleep(60)
"""
    program = f"""
import sys, pathlib
from vnet_jax.experiments.jobs import Job, run
here = pathlib.Path({str(tmp_path)!r})
jobs = [Job("a", (sys.executable, "-c", {child!r}), here / "a.log"),
        Job("b", (sys.executable, "-c", {write(made)!r}), here / "b.log")]
outcome = run(jobs)
print(outcome.left, outcome.failed, outcome.signal)
"""
    first = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with first:
        end = time.monotonic() + 60
        while not up.exists():
            assert time.monotonic() < end and first.poll() is None
            time.sleep(0.02)
        first.send_signal(number)
        out, err = first.communicate(timeout=60)
    assert out.strip() == f"['a', 'b'] [] {int(number)}", err
    assert saved.exists() and not made.exists()
    again = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert again.returncode == 0 and made.read_text() == "x"


def test_jobs_out_of_order_are_a_mistake(tmp_path):
    jobs = [job(tmp_path, "b", "pass", after=("a",)), job(tmp_path, "a", "pass")]
    with pytest.raises(ValueError, match="job 'b' after"):
        quiet(jobs)
    with pytest.raises(ValueError, match="job 'a'"):
        quiet([jobs[1], jobs[1]])
