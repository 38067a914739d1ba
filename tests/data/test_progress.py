import io
import time

import pytest

from vnet_jax.data.progress import Progress, duration


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: clock[0], in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_lines_come_every_few_seconds_and_at_the_end(clock):
    out = io.StringIO()
    with Progress("train", 40, stream=out, every_s=10.0) as progress:
        for _ in range(40):
            clock[0] += 1.0
            progress.advance(loss=0.5, waiting="3 %")
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0] == (
        "train 10/40 (25 %), loss 0.5000, waiting 3 %, 1 steps/s, 00:30 left"
    )
    assert lines[-1].startswith("train 40/40 (100 %)")
    assert lines[-1].endswith("00:00 left")


def test_a_note_says_which_it_was(clock):
    out = io.StringIO()
    with Progress("cache", 3, unit="case", stream=out) as progress:
        for name in "abc":
            clock[0] += 2.0
            progress.advance(note=name)
    assert out.getvalue() == "cache 3/3 (100 %), c, 0.5 cases/s, 00:00 left\n"


def test_a_resumed_job_counts_its_rate_from_where_it_began(clock):
    out = io.StringIO()
    with Progress("train", 100, start=90, stream=out, every_s=1.0) as progress:
        clock[0] += 2.0
        progress.advance()
    # One step in 2 s, nine to go: 18 s. Counted from 0 it would be 91 in 2 s.
    assert out.getvalue() == "train 91/100 (91 %), 0.5 steps/s, 00:18 left\n"


def test_a_terminal_gets_a_bar_and_lines_beside_it():
    out = Terminal()
    with Progress("train", 2, stream=out, unit="case") as progress:
        progress.say("validated")
        progress.advance(2, note="b", loss=0.25)
    assert "validated\n" in out.getvalue()
    assert "2/2" in out.getvalue() and "\r" in out.getvalue()
    assert "b, loss 0.2500" in out.getvalue()


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_silence(stream):
    out = stream()
    with Progress("cache", 1, shown=False, stream=out) as progress:
        progress.advance()
    assert out.getvalue() == ""


def test_a_note_shows_what_is_under_way_and_counts_nothing():
    stream = io.StringIO()
    with Progress("infer", 2, stream=stream, every_s=0) as progress:
        progress.note("a: window 1/3")
        progress.advance()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "infer 0/2, a: window 1/3"
    assert lines[1].startswith("infer 1/2")


def test_notes_come_no_faster_than_lines():
    stream = io.StringIO()
    with Progress("infer", 2, stream=stream, every_s=1e6) as progress:
        progress.note("a: window 1/3")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7.25, "7.2 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (135, "2 min 15 s")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said
