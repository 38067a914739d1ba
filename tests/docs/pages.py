"""The commands of the documentation, read from its pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What a line of a command begins with, after variables such as PYTHONPATH=.
PROGRAMS = ("python", "make", "vnet-jax", "sbatch", "pip", "docker", "git")
STARTS = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(PROGRAMS)}) ")
#: A block that begins with a file's name is that file.
NAMED = re.compile(r"# (\w+\.py)\n")


def pages() -> list[str]:
    """README and all pages of docs/, from the root of the repository."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if "_build" not in path.parts]


def blocks(page: str) -> list[str]:
    """Its blocks of code, fenced or set in, without the indentation."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fenced = r"^ *```[^\n]*\n(?P<fenced>.*?)^ *```"
    indented = r"(?:^(?P<in> {4,})\S[^\n]*\n(?:^(?: {4,}[^\n]*)?\n)*)"
    found = []
    for match in re.finditer(f"{fenced}|{indented}", text, re.M | re.S):
        block = match["fenced"] if match["fenced"] is not None else match[0]
        depth = len(match["in"] or "")
        lines = [line[depth:] for line in block.splitlines()]
        found.append("\n".join(lines).rstrip() + "\n")
    return found


def commands(page: str) -> list[str]:
    """Its commands, each in one line."""
    found = []
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            line = " ".join(line.split("  #")[0].split())
            if STARTS.match(line):
                found.append(line)
    return found


def files(page: str) -> dict[str, str]:
    """Name and content of the Python files that it shows."""
    parts = []
    for block in blocks(page):
        own = "".join(line for line in block.splitlines(True) if not STARTS.match(line))
        parts += re.split(r"(?=^# \w+\.py\n)", own, flags=re.M)
    return {m[1]: part for part in parts if (m := NAMED.match(part))}


def scripts(page: str) -> list[str]:
    """Its fenced blocks of Python that are no named file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    return [block for block in found if not NAMED.match(block)]
