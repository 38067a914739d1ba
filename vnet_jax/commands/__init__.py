"""What the programs in bin/ do: flags, then one call."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
from functools import partial

from absl import app, flags

from vnet_jax.commands import output, parsing
from vnet_jax.commands.huge_pages import ask_for_huge_pages
from vnet_jax.errors import InputError

#: Exit statuses beside 0 (docs/reference.md states all): bad input; stopped by Ctrl-C;
#: stopped by SIGTERM. 1 is a fault of the program itself.
BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143
#: What the operating system says where nothing more can be written.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(name: str, package: str = __name__, called: str = "") -> None:
    """Parses the flags of the command `name` and runs it; never returns.

    The command's `main(argv)` returns its exit status, or None for 0. An `InputError`,
    a wrong flag and a full disk become one line on stderr and exit status 2; Ctrl-C
    exits with 130 and SIGTERM with 143. On Linux the program starts itself anew once,
    see `huge_pages`.

    Args:
        name: the command's module, such as "train".
        package: where that is; this package by default.
        called: what the user called, as `vnet-jax train`; `bin/train.py` by default.
    """
    ask_for_huge_pages()
    signal.signal(signal.SIGTERM, _terminated)
    called = called or f"bin/{name}.py"
    sys.argv[0] = called  # absl's help speaks of it
    try:
        command = importlib.import_module(f"{package}.{name}")
        sys.argv[1:] = parsing.with_config_files(sys.argv[1:])
    except InputError as error:
        sys.exit(_refused(error))
    _offer_help(command, called)
    # absl would log at INFO, and orbax tells six lines a checkpoint.
    argv = [called, "--verbosity=-1", *sys.argv[1:]]
    app.run(
        lambda rest: _guarded(name, command.main, rest),
        argv=argv,
        flags_parser=partial(_flags_of, more=getattr(command, "ARGUMENTS", False)),
    )


def _flags_of(argv: list[str], more: bool) -> list[str]:
    try:
        return parsing.parse(argv, more)
    except InputError as error:
        sys.exit(_refused(error))
    except BrokenPipeError:  # --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)


def _offer_help(command, called: str) -> None:
    """Has --help tell the command's docstring and flags; absl looks in bin/ alone."""
    text = command.__doc__ or ""
    if called.startswith("vnet-jax"):
        text = re.sub(r"\bpython bin/(\w+)\.py", r"vnet-jax \1", text)
    # A backslash in a docstring joins the lines of a long command.
    text = re.sub(r"(?<=\S) {5,}(?=\S)", " \\\\\n        ", text)
    sys.modules["__main__"].__doc__ = text.replace("%", "%%")
    for flag in flags.FLAGS.get_key_flags_for_module(command.__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _guarded(name: str, main, argv) -> int:
    with output.Channel(name, **output.asked()) as channel:
        channel.status = _status(main, argv)
    return channel.status


def _status(main, argv) -> int:
    try:
        return main(argv) or 0
    except InputError as error:
        return _refused(error)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        line = f"{where}{error.strerror}; make room and start again"
        line = f"{line}: what was written before is whole"
        print(f"vnet_jax: {line}", file=sys.stderr)
        output.tell(error={"line": line})
        return BAD_INPUT
    except KeyboardInterrupt:
        print("vnet_jax: stopped", file=sys.stderr)
        return INTERRUPTED


def _refused(error: InputError) -> int:
    print(f"vnet_jax: {error}", file=sys.stderr)
    path = None if error.path is None else str(error.path)
    output.tell(
        error={
            "line": str(error),
            "path": path,
            "wrong": error.wrong,
            "remedy": error.remedy,
        }
    )
    return BAD_INPUT


def _terminated(number, frame) -> None:
    """SIGTERM ends the program as Ctrl-C does; training has a handler of its own.

    As process 1 of a container it would be ignored without one.
    """
    del number, frame
    print("vnet_jax: stopped", file=sys.stderr)
    sys.exit(TERMINATED)
