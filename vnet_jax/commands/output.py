"""What a command says: to people, as one JSON document, or nothing but errors."""

from __future__ import annotations

import contextlib
import json
import os
import sys

from absl import flags

#: What the command told of itself, for `--json`.
_told: dict = {}


def tell(**facts) -> None:
    """Adds facts to the document of `--json`.

    Args:
        **facts: ready for JSON; `docs/reference.md` states those of each command.
    """
    _told.update(facts)


def note(line: str) -> None:
    """Says on stderr what is good to know and no error; nothing with `--quiet`."""
    if not asked()["quiet"]:
        print(f"vnet_jax: {line}", file=sys.stderr)


def asked() -> dict[str, bool]:
    """--json and --quiet, where the command has them."""
    names = ("json", "quiet")
    return {name: name in flags.FLAGS and flags.FLAGS[name].value for name in names}


class Channel:
    """stdout and stderr of a command while it runs.

    With `json` everything that is printed goes to stderr, that of libraries and of
    other processes, too, and one JSON object to stdout at the end, whatever the end is.
    With `quiet` there is neither progress nor result, only errors.

    Attributes:
        status: the exit status, once it is known.
    """

    def __init__(self, command: str, json: bool, quiet: bool):
        self.status = 1
        self._command, self._json, self._quiet = command, json, quiet
        self._stdout: int | None = None

    def __enter__(self) -> Channel:
        """Turns stdout away where that was asked for."""
        if self._quiet:
            from vnet_jax.data import progress  # tqdm: not for who imports this alone

            progress.silence()
        if self._json or self._quiet:
            sys.stdout.flush()
            self._stdout = os.dup(1)
            with contextlib.closing(_Sink(self._quiet)) as sink:
                os.dup2(sink.number, 1)
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Writes the document; an error goes its way."""
        if self._stdout is None:
            return
        sys.stdout.flush()
        os.dup2(self._stdout, 1)
        os.close(self._stdout)
        if self._json:
            if isinstance(error, SystemExit):
                self.status = error.code
            elif error is not None:
                tell(error={"line": f"{kind.__name__}: {error}"})
            facts = {"command": self._command, "status": self.status, **_told}
            print(json.dumps(facts, indent=1), flush=True)


class _Sink:
    """Where stdout goes: nowhere, or to stderr."""

    def __init__(self, nowhere: bool):
        self._opened = os.open(os.devnull, os.O_WRONLY) if nowhere else None
        self.number = 2 if self._opened is None else self._opened

    def close(self) -> None:
        if self._opened is not None:
            os.close(self._opened)
