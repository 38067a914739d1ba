"""The command line: configs by name, and wrong flags as one line."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from absl import flags

from vnet_jax import programs
from vnet_jax.errors import InputError

#: Flags that name a config, in the commands that have them.
CONFIGS = ("config", "config2")
HELP = "--help lists the flags"


def with_config_files(arguments: list[str]) -> list[str]:
    """The arguments with `--config phase2` made the path of that config.

    Configs may then say `from configs import phase1`: see `programs.offer_configs`.

    Args:
        arguments: of the command line, after the command's flags are defined.

    Raises:
        InputError: no such config.
    """
    out, files, follows = [], [], False
    flag = "|".join(name for name in CONFIGS if name in flags.FLAGS) or "$^"
    for word in arguments:
        given = re.fullmatch(rf"(--?(?:{flag}))(?:=(.*))?", word, re.DOTALL)
        value = word if follows else given and given[2]
        if value is not None:
            path = programs.config_file(value)
            _check(path, value)
            files.append(path)
            word = path if follows else f"{given[1]}={path}"
        follows = bool(given) and given[2] is None and not follows
        out.append(word)
    programs.offer_configs(files)
    return out


def _check(path: str, given: str) -> None:
    if not Path(path.partition(":")[0]).is_file():
        remedy = f"give a file, or one of {', '.join(programs.config_names())}"
        raise InputError(given, "no such config", remedy)


def parse(argv: list[str], more: bool = False) -> list[str]:
    """Parses the flags.

    Args:
        argv: the program's name and its arguments.
        more: the command takes arguments that are no flags, and checks them itself.

    Returns:
        What absl hands to `main`: the program's name, and with `more` those arguments.

    Raises:
        InputError: a flag that is unknown, missing or has a wrong value; a field that a
            config has not; without `more` an argument that is no flag.
    """
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise InputError(None, _plainly(error), HELP) from None
    except Exception as error:
        if not _of_a_field(error):
            raise
        raise InputError(None, f"--config: {_field(error)}") from None
    if len(rest) > 1 and not more:
        wrong = f"{rest[1]!r} belongs to no flag"
        raise InputError(None, wrong, "write every value as --flag=value")
    return rest


def _plainly(error: flags.Error) -> str:
    text = " ".join(str(error).split())
    missing = re.match(r"flag --(\w+)=None: Flag --\1 must have a value", text)
    return f"--{missing[1]} is missing" if missing else text


def _of_a_field(error: Exception) -> bool:
    """Whether an override of a field raised it, and not the code of a config."""
    frames = traceback.extract_tb(error.__traceback__)
    parsed = ("absl", "ml_collections", "vnet_jax")
    return isinstance(error, AttributeError | KeyError | TypeError) and all(
        any(f"/{name}/" in frame.filename.replace("\\", "/") for name in parsed)
        for frame in frames
    )


def _field(error: Exception) -> str:
    """In words; ConfigDict wraps one exception's text in another's, quotes and all."""
    text = str(error)
    if not isinstance(error, AttributeError) or "'" not in text:
        return " ".join(text.split())
    name, guess = re.search(r"\w+", text), re.search(r'Did you mean "(\w+)"', text)
    return f"no field {name[0]}" + (f"; did you mean {guess[1]}?" if guess else "")
