import io

from vnet_jax.data.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


def test_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with Progress(3, "cache", "case", stream=stream) as progress:
        for name in "abc":
            progress.advance(name)
    (line,) = stream.getvalue().splitlines()  # within the first seconds, only the last
    assert line.startswith("cache: 3/3 c, ")
    assert line.endswith("00:00 left")


def test_a_bar_on_a_terminal():
    stream = Terminal()
    with Progress(2, "cache", "case", stream=stream) as progress:
        progress.advance("a")
        progress.advance("b")
    last = stream.getvalue().split("\r")[-1]
    assert "2/2" in last
    assert "case" in last


def test_silence():
    stream = Terminal()
    with Progress(1, "cache", "case", shown=False, stream=stream) as progress:
        progress.advance()
    assert stream.getvalue() == ""
