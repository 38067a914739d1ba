"""What a run leaves: JSON after each row, a table, a plot; and its progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tell
from vnet_jax.data.files import whole_file, write_json
from vnet_jax.reports import tables


class Report:
    """The results of one suite, on disk as soon as they are there.

    Attributes:
        folder: bench.json, bench.md, bench.png and logs/ lie in it.
        results: what bench.json holds.
    """

    def __init__(self, folder: Path, machine: dict):
        """Begins with an empty list of rows.

        Args:
            folder: made when missing.
            machine: hardware, versions, rates, date and command.
        """
        self.folder = folder
        self.results: dict = {"machine": machine, "rows": []}
        self._write()

    def add_row(self, row: dict) -> None:
        """Adds a comparison, prints and writes it."""
        self.results["rows"].append(row)
        print(f"  {tell.row(row)}", flush=True)
        self._write()

    def add_part(self, part: dict) -> None:
        """Adds a part around the network, prints and writes it."""
        self.results.setdefault("around", []).append(part)
        print(f"  {tell.part(part)}", flush=True)
        self._write()

    def add_layer(self, layer: dict) -> None:
        """Adds a single convolution, prints and writes it."""
        self.results.setdefault("layers", []).append(layer)
        print(f"  {tell.layer(layer)}", flush=True)
        self._write()

    def add_loading(self, row: dict) -> None:
        """Adds a way to load, prints and writes it."""
        self.results.setdefault("loading", []).append(row)
        print(f"  {tell.loading(row)}", flush=True)
        self._write()

    def put(self, name: str, value) -> None:
        """Sets another part of the results and writes it."""
        self.results[name] = value
        self._write()

    def finish(self) -> None:
        """Writes and prints the tables, draws the plot, names the files."""
        text = self.tables()
        with whole_file(self.folder / "bench.md") as file:
            file.write(text.encode())
        drawn = self._draw()
        print(f"\n{text}")
        print(f"Results: {self.folder / 'bench.json'}, bench.md; plot: {drawn}")

    def tables(self) -> str:
        """All results as Markdown."""
        results = self.results
        parts = [
            (tell.HEADER, map(tell.cells, results["rows"])),
            (tell.SCALING_HEADER, map(tell.scaling_cells, results.get("scaling", ()))),
            (tell.RACE_HEADER, tell.race_cells(results.get("race"))),
            tell.layers(results.get("layers", ())),
            (tell.LOADING_HEADER, map(tell.loading_cells, results.get("loading", ()))),
            (tell.AROUND_HEADER, map(tell.around_cells, results.get("around", ()))),
        ]
        tables_ = [_table(header, list(cells)) for header, cells in parts]
        return "\n".join([tell.machine(results["machine"]), *filter(None, tables_)])

    def _draw(self) -> str:
        """The plot's name, or why there is none."""
        try:
            from benchmarks import chart

            return chart.draw(self.folder / "bench.png", self.results)
        except ModuleNotFoundError as error:
            return f"not run: {error.name.partition('.')[0]} is not installed"

    def _write(self) -> None:
        write_json(self.folder / "bench.json", finite(self.results))


def finite(value):
    """The same with None for numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    odd = isinstance(value, float) and not math.isfinite(value)
    return None if odd else value


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tables.markdown(header, rows) if rows else ""
