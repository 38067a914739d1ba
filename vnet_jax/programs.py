"""Where programs and configs lie: in a checkout, or in an installed package."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def command(name: str, *arguments) -> tuple[str, ...]:
    """The command line of a program.

    Args:
        name: such as "train".
        *arguments: its flags.

    Returns:
        This Python with `bin/NAME.py` in a checkout, with `-m vnet_jax NAME` elsewhere.
    """
    script = CHECKOUT / "bin" / f"{name}.py"
    # -P: a folder vnet_jax where the user happens to stand is not ours.
    start = (str(script),) if script.is_file() else ("-P", "-m", "vnet_jax", name)
    return (sys.executable, *start, *map(str, arguments))


def config_folder() -> Path:
    """The folder of the configs that come with the program."""
    beside = CHECKOUT / "configs"
    return beside if (beside / "phase1.py").is_file() else PACKAGE / "configs"


def config_names() -> list[str]:
    """The configs that come with the program, by name."""
    return sorted(p.stem for p in config_folder().glob("*.py") if p.stem != "__init__")


def config_file(given: str) -> str:
    """The path of a config.

    Args:
        given: a path; or the name of a config that comes with the program, "phase2" or
            "configs/phase2.py"; either with `:ARGUMENT` after it.

    Returns:
        A path where there is such a file, with its argument; else what was given.
    """
    name, colon, argument = given.partition(":")
    path = Path(name)
    if path.is_file():
        return given
    by_name = path.parent in (Path("."), Path("configs")) and path.suffix in ("", ".py")
    ours = config_folder() / f"{path.stem}.py"
    if by_name and path.stem and ours.is_file():
        return f"{ours}{colon}{argument}"
    return given


def offer_configs(files: Iterable[str] = ()) -> None:
    """Lets a config say `from configs import phase1`, wherever it lies.

    Args:
        files: configs that are in use. Where one lies in a folder called configs, that
            folder is looked through before the one that comes with the program.
    """
    own = [Path(file.partition(":")[0]).resolve().parent for file in files]
    own = [str(folder) for folder in own if folder.name == "configs"]
    package = types.ModuleType("configs", "Configs of a user's own, then ours.")
    package.__path__ = list(dict.fromkeys([*own, str(config_folder())]))
    sys.modules["configs"] = package
