"""The rooms stand in the order in which the data walks; imports go to the left."""

import ast
from pathlib import Path

import pytest

ROOMS = (
    "ct models data scores measures runs reports registration inference training "
    "experiments commands"
).split()  # README: "The house"
PACKAGE = Path(__file__).parent.parent / "vnet_jax"
FILES = sorted(p for p in PACKAGE.glob("*/*.py") if p.parent.name in ROOMS)


def imported_rooms(source: str) -> set[str]:
    """The rooms of vnet_jax that a module's source imports, at any depth."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "vnet_jax" and len(p) > 1} & set(ROOMS)


def wrong_way(room: str, source: str) -> set[str]:
    return {r for r in imported_rooms(source) if ROOMS.index(r) > ROOMS.index(room)}


def test_every_folder_of_the_package_is_a_room():
    folders = {p.parent.name for p in PACKAGE.glob("*/*.py")}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_imports_go_to_the_left(path):
    assert not wrong_way(path.parent.name, path.read_text(encoding="utf-8"))


def test_the_check_can_fail():
    assert wrong_way("ct", "from vnet_jax.training import fit") == {"training"}
    assert wrong_way("ct", "def f():\n    import vnet_jax.data.cache") == {"data"}
    assert wrong_way("data", "from vnet_jax import ct") == set()
