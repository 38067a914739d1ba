"""Every test that `docs/faults.md` names is there, and every row names some."""

import ast
import functools
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([a-z_0-9/]+\.py)::(test_\w+)`")


def rows():
    """(number, the row) of each fault."""
    found = re.findall(r"^\| (\d+) (\|.*)$", PAGE, re.MULTILINE)
    return [(int(number), row) for number, row in found]


@functools.cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_tests():
    numbers = [number for number, _ in rows()]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 48
    for number, row in rows():
        assert NAMED.search(row.split("|")[-2]), number


def test_every_test_named_is_there():
    named = NAMED.findall(PAGE)
    assert len(named) > 100
    missing = [f"{file}::{name}" for file, name in named if name not in names_in(file)]
    assert missing == []
