"""`vnet-jax NAME ...`: every program of bin/ as one command."""

from __future__ import annotations

import ast
import difflib
import sys
from pathlib import Path

from vnet_jax import __version__, commands

USAGE = """\
Kidneys and kidney tumours in abdominal CT: research software, not a medical device.

usage: vnet-jax COMMAND [--flag=value ...]
       vnet-jax COMMAND --help
       vnet-jax --version

"""


def names() -> dict[str, str]:
    """Each command with the first line of its docstring; imports none of them.

    Modules whose flags bear the same names cannot be imported beside each other.
    """
    found = {}
    for path in sorted(Path(commands.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        if "main" in functions:
            found[path.stem] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def start() -> None:
    """Runs the command that the command line names; never returns."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked == "--version":
        print(f"vnet-jax {__version__}")
        sys.exit(0)
    known = names()
    if asked in ("--help", "-h", "help"):
        print(listing(known), end="")
        sys.exit(0)
    if asked not in known:
        print(f"vnet-jax: {_unknown(asked, known)}", file=sys.stderr)
        sys.exit(commands.BAD_INPUT)
    del sys.argv[1]
    commands.run(asked, called=f"vnet-jax {asked}")


def listing(known: dict[str, str]) -> str:
    """What `vnet-jax` alone prints."""
    width = max(map(len, known))
    lines = [f"  {name:{width}}  {line}" for name, line in known.items()]
    return USAGE + "commands:\n" + "\n".join(lines) + "\n"


def _unknown(asked: str, known: dict[str, str]) -> str:
    near = difflib.get_close_matches(asked.lower(), known, 1)
    said = f"did you mean {near[0]}?" if near else "`vnet-jax` alone lists them"
    return f"no command {asked!r}; {said}"
