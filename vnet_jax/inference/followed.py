"""The story of two dates: of a patient, or of every patient of two folders."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from vnet_jax.data.files import whole_file, write_json
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference.compared import FORMAT, compare, places
from vnet_jax.inference.visit import Visit, read_visit, summary_of
from vnet_jax.measures.growth import days_between
from vnet_jax.reports import followup

#: What a single comparison is called.
SINGLE = "comparison"
#: Columns of the table over all cases.
COLUMNS = (
    *("case", "side", "kind", "ml_before", "ml_after", "ml_a_year"),
    *("axial_mm_before", "axial_mm_after", "axial_mm_a_year"),
    *("longest_mm_before", "longest_mm_after", "longest_mm_a_year", "doubling_days"),
)
Dates = tuple[str, str] | None


@dataclass(frozen=True)
class Pair:
    """Two summaries of one patient, and where what comes of them goes.

    Attributes:
        name: of the output's files.
        before: the first date's summary.
        after: the second's.
        out: the JSON; picture and page stand beside it.
        dates: of the two, or None.
    """

    name: str
    before: Path
    after: Path
    out: Path
    dates: Dates

    def beside(self, ending: str) -> Path:
        """A path beside the JSON."""
        return self.out.with_suffix(ending)


def plan(before, after, out, dates: Sequence[str] = ()) -> tuple[list[Pair], list[str]]:
    """Finds the pairs.

    Args:
        before: a summary, the mask beside it, or a folder of summaries.
        after: of the same kind.
        out: a folder, made when missing.
        dates: two dates, the path of a CSV file with the columns case, before, after,
            or nothing.

    Returns:
        The pairs, sorted by name, and the names that only one of the folders has.

    Raises:
        InputError: nothing to compare, or dates that cannot be meant.
    """
    before, after, out = Path(before), Path(after), Path(out)
    for path in (before, after):
        if not path.exists():
            raise InputError(path, "no such file or folder", "give BEFORE and AFTER")
    if before.is_dir() != after.is_dir():
        raise InputError(
            after, f"and {before} are a file and a folder", "give two alike"
        )
    if out.is_file():
        raise InputError(out, "no folder", "name a folder as --out")
    known = _dates(dates)
    if not before.is_dir():
        found = {SINGLE: (summary_of(before), summary_of(after))}
        alone = []
    else:
        first, second = _summaries(before), _summaries(after)
        found = {n: (first[n], second[n]) for n in sorted(first.keys() & second.keys())}
        alone = sorted(first.keys() ^ second.keys())
        if not found:
            raise InputError(after, f"has no case of {before}", "name them alike")
        if out.resolve() in (before.resolve(), after.resolve()):
            raise InputError(out, "holds the summaries", "name another --out")
    pairs = [
        Pair(name, *files, out / f"{name}.json", known(name))
        for name, files in found.items()
    ]
    for pair in pairs:
        if pair.out.resolve() in (pair.before.resolve(), pair.after.resolve()):
            raise InputError(pair.out, "would replace a summary", "name another --out")
    return pairs, alone


def _summaries(folder: Path) -> dict[str, Path]:
    """Name -> summary, of the JSON files that are summaries."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and "schema" in facts:
            found[path.stem] = path
    if not found:
        raise InputError(folder, "holds no summary of infer or measure", "check it")
    return found


def _dates(dates: Sequence[str]):
    """Name -> its two dates."""
    if not dates:
        return lambda name: None
    if len(dates) == 2:
        days_between(*dates)
        pair = (dates[0].strip(), dates[1].strip())
        return lambda name: pair
    if len(dates) == 1 and Path(dates[0]).is_file():
        return _dates_of(Path(dates[0])).get
    raise InputError(
        None,
        f"--dates={','.join(dates)} is neither two dates nor a file",
        "write 2024-01-05,2025-02-01, or name a CSV file: case,before,after",
    )


def _dates_of(path: Path) -> dict[str, tuple[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["case"]: (row["before"], row["after"]) for row in rows}
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise InputError(path, "no columns case, before, after", "name them") from None
    for name, (before, after) in found.items():
        try:
            days_between(before or "", after or "")
        except InputError as error:
            raise InputError(path, f"{name}: {error.wrong}", error.remedy) from None
    return found


def run(
    pairs: Sequence[Pair],
    *,
    overwrite: bool = False,
    strict: bool = False,
    stream=None,
) -> tuple[list[tuple[str, dict]], list[str]]:
    """Compares every pair; one that fails is told and the others go on.

    Args:
        pairs: from `plan`.
        overwrite: also pairs whose summaries and dates have not changed.
        strict: stop at the first failure.
        stream: where progress goes; stderr by default.

    Returns:
        Name and facts of each that was compared, and a line for each that was not.

    Raises:
        InputError: with `strict`, the first failure.
    """
    stream = sys.stderr if stream is None else stream
    told, failed = [], []
    with Progress("compare", len(pairs), unit="case", stream=stream) as bar:
        for pair in pairs:
            try:
                told.append((pair.name, _one(pair, overwrite)))
            except (InputError, OSError, MemoryError) as error:
                told_as = _told_as(pair, error)
                if strict:
                    raise told_as from error
                failed.append(str(told_as))
            bar.advance(note=pair.name)
    return told, failed


def _told_as(pair: Pair, error: Exception) -> InputError:
    """Bad input tells its own; a full disk or too little memory names the output."""
    if isinstance(error, InputError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    return InputError(pair.out, text, "check disk and memory")


def is_done(pair: Pair) -> bool:
    """Whether the same summaries and dates gave what lies there now."""
    return _done(pair, _digests(pair)) is not None


def _digests(pair: Pair) -> list[str]:
    return [_sha256(path) for path in (pair.before, pair.after)]


def _one(pair: Pair, overwrite: bool) -> dict:
    digests = _digests(pair)
    if not overwrite and (done := _done(pair, digests)):
        return done
    before, after = read_visit(pair.before), read_visit(pair.after)
    days = days_between(*pair.dates) if pair.dates else None
    facts, groups, motions = compare(before, after, days)
    facts |= {"dates": pair.dates and list(pair.dates), "summaries_sha256": digests}
    png = _picture(pair, facts, (before, after), groups, motions)
    followup.page(pair.beside(".html"), facts, png)
    write_json(pair.out, facts)
    return facts


def _picture(
    pair: Pair, facts: Mapping, visits: tuple[Visit, Visit], groups, motions
) -> Path | None:
    """The picture; None where a CT is missing, and then no old one stays behind."""
    png, (before, after) = pair.beside(".png"), visits
    if before.ct is None or after.ct is None:
        png.unlink(missing_ok=True)
        return None
    spots = []
    for number, (group, row) in enumerate(zip(groups, facts["tumours"], strict=True)):
        motion = motions[row["side"]]
        centres = (
            places(before, after, group, False, motion),
            places(after, before, group, True, motion),
        )
        sizes = [
            visit.facts["tumours"][i]["diameter_mm"]
            for visit, which in ((before, group.before), (after, group.after))
            for i in which
        ]
        spots.append(followup.Spot(_title(number, row), centres, max(sizes)))
    if not spots:
        for side, motion in motions.items():
            if motion is not None:
                kidneys = [v.facts["kidneys"][side] for v in (before, after)]
                centres = tuple(kidney["centre_mm"] for kidney in kidneys)
                length = max(kidney["length_mm"] for kidney in kidneys)
                spots.append(followup.Spot(f"kidney {side}", centres, length))
    if not spots:
        png.unlink(missing_ok=True)
        return None
    cts = [visit.ct for visit in (before, after)]
    masks = [visit.mask.array for visit in (before, after)]
    followup.picture(png, facts, cts, masks, spots)
    return png


def _title(number: int, row: Mapping) -> str:
    ends = ["none" if ml is None else f"{ml:.1f} ml" for ml in _ends(row["ml"])]
    text = f"{number + 1}  {row['side']}, {row['kind']}: {ends[0]} to {ends[1]}"
    sizes = _ends(row["axial_diameter_mm"])
    if None not in sizes:
        text += f", axial {sizes[0]:.0f} to {sizes[1]:.0f} mm"
    return text


def _ends(change: Mapping) -> tuple:
    return change["before"], change["after"]


def _done(pair: Pair, digests: Sequence[str]) -> dict | None:
    """What lies there, where the same summaries and dates gave it."""
    try:
        facts = json.loads(pair.out.read_text(encoding="utf-8"))
        dates = pair.dates and list(pair.dates)
        same = (facts["format"], facts["summaries_sha256"], facts["dates"])
        if same == (FORMAT, list(digests), dates) and pair.beside(".html").is_file():
            return facts
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not ours
        pass
    return None


def write_table(path: Path, told: Mapping[str, Mapping]) -> None:
    """Writes a CSV file with a row for each tumour of each case.

    Args:
        path: of the file.
        told: case -> its facts.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, facts in told.items():
        for row in facts["tumours"]:
            cells = [name, row["side"], row["kind"]]
            cells += [_cell(row["ml"][key]) for key in ("before", "after", "a_year")]
            for size in ("axial_diameter_mm", "diameter_mm"):
                cells += [
                    _cell(row[size][key]) for key in ("before", "after", "a_year")
                ]
            table.writerow([*cells, _cell(row["doubling_days"])])
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
