"""What the programs in bin/ do: flags, then one call."""

from __future__ import annotations

import importlib
import sys

from absl import app

from vnet_jax.commands.huge_pages import ask_for_huge_pages
from vnet_jax.errors import InputError

#: Exit status for bad input; 0 is success, 1 a fault of the program itself.
BAD_INPUT = 2


def run(name: str) -> None:
    """Parses the flags of the command `name` and runs it; never returns.

    The command's `main(argv)` returns its exit status, or None for 0. An `InputError`
    becomes one line on stderr and exit status 2; Ctrl-C exits with 130. On Linux the
    program starts itself anew once, see `huge_pages`.

    Args:
        name: a module of this package, such as "train".
    """
    ask_for_huge_pages()
    command = importlib.import_module(f"vnet_jax.commands.{name}")
    # absl would log at INFO, and orbax tells six lines a checkpoint.
    argv = [name, "--verbosity=-1", *sys.argv[1:]]
    app.run(lambda rest: _guarded(command.main, rest), argv=argv)


def _guarded(main, argv) -> int:
    try:
        return main(argv) or 0
    except InputError as error:
        print(f"vnet_jax: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("vnet_jax: stopped", file=sys.stderr)
        return 130
