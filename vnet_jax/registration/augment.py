"""The hard cases multiplied: pairs drawn, aligned in parallel, kept or drawn again.

What is on disk decides what is still to do, so a run that was killed goes on where it
was, and draws the pairs that it would have drawn.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from vnet_jax.data.cases import Case
from vnet_jax.data.files import write_json
from vnet_jax.data.processes import results
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.registration.align import RECORDS, WORK, make_pair
from vnet_jax.registration.engines import Engine
from vnet_jax.registration.folds import Fold
from vnet_jax.registration.pairs import Pair, draw
from vnet_jax.registration.studies import Region
from vnet_jax.reports.registration import write_tables

#: Of provenance.json.
VERSION = 1


@dataclass(frozen=True)
class Plan:
    """Which warped cases are wanted.

    Attributes:
        hard: ids of the references, the hardest first.
        fold: whose training cases they and the floating images are.
        per_hard: warped cases for each reference.
        seed: of the draw.
    """

    hard: tuple[str, ...]
    fold: Fold
    per_hard: int
    seed: int = 0

    def draws(self) -> list[list[Pair]]:
        """For each reference its pairs in the order in which they are tried."""
        ranks = range(len(self.hard))
        return [draw(self.seed, rank, self.hard, self.fold) for rank in ranks]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves.

    Attributes:
        kept: warped cases in the data set.
        refused: pairs that were tried and refused.
        short: for each reference that has too few, how many it has.
    """

    kept: int
    refused: int
    short: dict[str, int]


def augment(
    cases: Sequence[Case],
    plan: Plan,
    region: Region,
    engine: Engine,
    out: str | Path,
    workers: int = 1,
    shown: bool = True,
) -> Outcome:
    """Makes the warped cases that are not there yet.

    Args:
        cases: of the data set; those of the plan among them.
        plan: what is wanted.
        region: what of each case.
        engine: aligns the pairs, each with threads of its own.
        out: the new data set, in KiTS19's layout, with `provenance.json`, `pairs.csv`,
            `pairs.md` and `pictures`.
        workers: pairs at a time. It changes neither the pairs nor the results.
        shown: whether to show progress and the time left.

    Raises:
        InputError: a case is missing or bad, the folder holds something else or is in
            use, or an engine was killed.
    """
    # Absolute, since engines work in folders of their own.
    out, by_id = Path(out).absolute(), {case.id: case for case in cases}
    draws = plan.draws()
    _check(plan, draws, by_id)
    with _alone(out):
        _same_recipe(out, _recipe(plan, region, engine))
        records = _read_records(out, draws)
        wanted = plan.per_hard * len(plan.hard)
        done = len(_kept(records))
        with Progress("pairs", wanted, start=done, unit="pair", shown=shown) as bar:
            while todo := missing(draws, records, plan.per_hard):
                jobs = [(p, _sources(p, by_id), region, engine, out) for p in todo]
                for record in _results(jobs, workers, out):
                    records[record["name"]] = record
                    _tell(bar, record)
                    _publish(out, records)
        _publish(out, records)
    return _outcome(draws, records, plan.per_hard)


def missing(
    draws: Sequence[Sequence[Pair]], records: Mapping[str, dict], per_hard: int
) -> list[Pair]:
    """The pairs to make next: one more for each that was refused.

    Of a reference's draw the first `per_hard` are tried, and one further for each
    refused. So in the end it is the shortest beginning of the draw with `per_hard` good
    pairs, in whatever order the workers ended.
    """
    todo = []
    for pairs in draws:
        known = [records[p.name] for p in pairs if p.name in records]
        refused = sum(not record["accepted"] for record in known)
        wanted = pairs[: per_hard + refused]
        todo += [pair for pair in wanted if pair.name not in records]
    return todo


def _results(jobs, workers: int, out: Path) -> Iterator[dict]:
    try:
        yield from results(make_pair, jobs, workers)
    except BrokenProcessPool:
        raise InputError(
            out,
            "a worker died, most likely for want of memory",
            "start again with fewer --workers; what is done is kept",
        ) from None


def _sources(pair: Pair, by_id: Mapping[str, Case]) -> tuple[Case, Case]:
    return by_id[pair.reference], by_id[pair.floating]


def _check(plan: Plan, draws, by_id: Mapping[str, Case]) -> None:
    """Refuse, before anything is made, what could not be finished."""
    absent = [name for name in plan.fold.train if name not in by_id]
    if absent:
        raise InputError(
            None,
            f"{len(absent)} training cases are not in --data, {absent[0]} for one",
            "pass the data set that the split was made of",
        )
    if len(draws[0]) < plan.per_hard:
        raise InputError(
            None,
            f"--per_hard={plan.per_hard} of {len(draws[0])} cases to draw from",
            "lower --per_hard or --hard",
        )
    taken = {pair.name for pairs in draws for pair in pairs}.intersection(by_id)
    if taken:
        raise InputError(
            by_id[min(taken)].image,
            f"is called {min(taken)}, as a warped case would be",
            "names from case_90000 on are those of warped cases: rename it",
        )


def _recipe(plan: Plan, region: Region, engine: Engine) -> dict:
    """What every pair of a data set has in common."""
    return {
        "version": VERSION,
        "engine": engine.name,
        "engine_version": engine.version,
        "settings": engine.settings(),
        "region": region.facts(),
        "seed": plan.seed,
        "hard": list(plan.hard),
        "train": list(plan.fold.train),
    }


def _same_recipe(out: Path, recipe: dict) -> None:
    """Freezes the recipe, or refuses to go on with another one."""
    file = out / RECORDS / "recipe.json"
    if not file.is_file():
        write_json(file, recipe)
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    differs = [name for name in recipe if before.get(name) != recipe[name]]
    if differs:
        raise InputError(
            out,
            f"holds pairs made with other settings ({', '.join(differs)})",
            "pass the same ones to go on, or name another --out",
        )


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second run out, and tidies up after one that was killed."""
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                out, "another run is at work there", "wait, or name another --out"
            ) from None
        shutil.rmtree(work)
        work.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _read_records(out: Path, draws) -> dict[str, dict]:
    """The records of pairs that are done: refused, or their case is there."""
    records = {}
    for pair in (pair for pairs in draws for pair in pairs):
        file = out / RECORDS / f"{pair.name}.json"
        if file.is_file():
            record = json.loads(file.read_text(encoding="utf-8"))
            if not record["accepted"] or (out / pair.name / "case.json").is_file():
                records[pair.name] = record
    return records


def _kept(records: Mapping[str, dict]) -> list[dict]:
    return [record for record in records.values() if record["accepted"]]


def _tell(bar: Progress, record: dict) -> None:
    if record["accepted"]:
        bar.advance(note=record["name"], correlation=record["quality"]["similarity"])
    else:
        bar.say(f"{record['name']} refused, drawn again: {record['reason']}")


def _publish(out: Path, records: Mapping[str, dict]) -> None:
    """Where each case comes from, and the tables, as far as the run is."""
    ordered = [records[name] for name in sorted(records)]
    told = {record["name"]: record for record in ordered if record["accepted"]}
    write_json(out / "provenance.json", {"version": VERSION, "cases": told})
    write_tables(out, ordered)


def _outcome(draws, records: Mapping[str, dict], per_hard: int) -> Outcome:
    kept = len(_kept(records))
    counts = {
        pairs[0].reference: sum(
            records[p.name]["accepted"] for p in pairs if p.name in records
        )
        for pairs in draws
    }
    short = {name: count for name, count in counts.items() if count < per_hard}
    return Outcome(kept, len(records) - kept, short)
