"""Lists the configs that come with the program, or copies them to change them.

    python bin/configs.py
    python bin/configs.py --out configs
    python bin/train.py --config configs/phase2.py

`--config phase2` names one of them from anywhere. A config that says `from configs
import phase1` finds the one in its own folder first, where that is called configs.
Nothing is overwritten.
"""

from __future__ import annotations

import ast
from pathlib import Path

from absl import flags

from vnet_jax import programs
from vnet_jax.data.files import whole_file
from vnet_jax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string("out", None, "a folder for copies of all of them")


def main(argv: list[str]) -> int:
    """Lists or copies; see the module's docstring."""
    del argv
    folder, names = programs.config_folder(), programs.config_names()
    if not FLAGS.out:
        width = max(map(len, names))
        for name in names:
            text = (folder / f"{name}.py").read_text(encoding="utf-8")
            line = (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
            print(f"{name:{width}}  {line}")
        return 0
    targets = {name: Path(FLAGS.out) / f"{name}.py" for name in names}
    if there := [path for path in targets.values() if path.exists()]:
        raise InputError(there[0], "is there already", "name another folder as --out")
    for name, path in targets.items():
        with whole_file(path) as file:
            file.write((folder / f"{name}.py").read_bytes())
    print(f"{len(names)} configs in {FLAGS.out}")
    return 0
