"""What the programs in bin/ do: flags, then one call."""

from __future__ import annotations

import errno
import importlib
import sys

from absl import app, flags

from vnet_jax.commands.huge_pages import ask_for_huge_pages
from vnet_jax.errors import InputError

#: Exit status for bad input; 0 is success, 1 a fault of the program itself.
BAD_INPUT = 2
#: What the operating system says where nothing more can be written.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(name: str, package: str = __name__) -> None:
    """Parses the flags of the command `name` and runs it; never returns.

    The command's `main(argv)` returns its exit status, or None for 0. An `InputError`
    and a full disk become one line on stderr and exit status 2; Ctrl-C exits with 130.
    On Linux the program starts itself anew once, see `huge_pages`.

    Args:
        name: the command's module, such as "train".
        package: where that is; this package by default.
    """
    ask_for_huge_pages()
    command = importlib.import_module(f"{package}.{name}")
    _offer_help(command)
    # absl would log at INFO, and orbax tells six lines a checkpoint.
    argv = [name, "--verbosity=-1", *sys.argv[1:]]
    app.run(lambda rest: _guarded(command.main, rest), argv=argv)


def _offer_help(command) -> None:
    """Has --help tell the command's docstring and flags; absl looks in bin/ alone."""
    sys.modules["__main__"].__doc__ = command.__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(command.__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _guarded(main, argv) -> int:
    try:
        return main(argv) or 0
    except InputError as error:
        print(f"vnet_jax: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        line = f"{where}{error.strerror}; make room and start again"
        print(f"vnet_jax: {line}: what was written before is whole", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("vnet_jax: stopped", file=sys.stderr)
        return 130
