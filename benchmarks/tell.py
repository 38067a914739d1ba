"""The results in words: a line for each row, cells for the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.layers import sums
from vnet_jax.reports.tables import NOTHING

NOT_RUN = "not run"
HEADER = (
    *("work", "rival", "ours s", "rival s", "ratio (spread)", "peak MB"),
    *("TFLOP/s (share)", "compile s", "first call s"),
)
RACE_HEADER = ("race", "steps", "training s", "total s", "Dice")
SCALING_HEADER = ("devices", "ours samples/s", "share", "rival samples/s", "share")
LOADING_HEADER = (
    "loading",
    "threads",
    "samples/s",
    "PyTorch's",
    "ratio",
    "MB/s",
    "GPUs",
)
AROUND_HEADER = ("part", "seconds", "what", "peak MB")


def row(row: Mapping) -> str:
    """One line: both times, the ratio and its spread, or why not."""
    words = [f"{work(row)}: vnet_jax {_seconds(row, 'ours')}"]
    words.append(f"{row['rival']} {_seconds(row, 'rival')}")
    if row["ratio"] is not None:
        words.append(f"ratio {ratio(row)}, {row['rounds']} rounds")
    if row["difference"] is not None:
        words.append(f"logits apart by {row['difference']:.0e}")
    return ", ".join(words)


def work(row: Mapping) -> str:
    """Such as "cascade train_step 80x240x384 bfloat16 remat"."""
    words = [row["net"], row["work"], "x".join(map(str, row["shape"])), row["dtype"]]
    words += [f"width {row['width']}"] * (row["width"] != 16)
    words += [f"batch {row['batch']} on {row['devices']}"] * (row["batch"] > 1)
    words += ["remat"] * row["remat"]
    return " ".join(words + ["native convolutions"] * row["native"])


def ratio(row: Mapping) -> str:
    """Such as "1.21 (1.19 to 1.24)"."""
    if row["ratio"] is None:
        return NOTHING
    low, high = row["spread"]
    apart = "" if row["in_turn"] else ", not in turn"
    return f"{row['ratio']:.2f} ({low:.2f} to {high:.2f}{apart})"


def cells(row: Mapping) -> list[str]:
    """A row's cells under HEADER."""
    return [
        work(row),
        row["rival"],
        _seconds(row, "ours"),
        _seconds(row, "rival"),
        ratio(row),
        _both(row, _peak),
        _both(row, _speed),
        _both(row, lambda r, side: _short(r[f"{side}_compile_s"])),
        _both(row, lambda r, side: _short(r[f"{side}_first_s"])),
    ]


def race_cells(race: Mapping | None) -> Iterator[list[str]]:
    """A line for each runner of a race under RACE_HEADER; none without a race."""
    for side, run in (race or {"sides": {}})["sides"].items():
        if run["not_run"]:
            yield [side, f"{NOT_RUN}: {run['not_run']}", *[NOTHING] * 3]
            continue
        steps = str(run["steps"]) + ("" if run["reached"] else ", target not reached")
        seconds = [_short(run["training_s"]), _short(run["total_s"])]
        yield [side, steps, *seconds, f"{run['dice']:.3f}"]


def part(part: Mapping) -> str:
    """One line for a part around the network."""
    if part["not_run"]:
        return f"{part['part']}: {NOT_RUN}: {part['not_run']}"
    steps = [f"{name} {s:.3g}" for name, s in part.get("steps", {}).items()]
    said = f" ({', '.join(steps)})" if steps else ""
    return f"{part['part']}, {part['what']}: {_short(part['seconds'])} s{said}"


def layer(row: Mapping) -> str:
    """One line for a single convolution."""
    said = [f"{form} {1e3 * s:.3g}" for form, s in row["seconds"].items()]
    said += [f"{form} {NOT_RUN}" for form in row["not_run"]]
    return f"{layer_name(row)}, {row['work']}, ms: {', '.join(said)}"


def layers(rows: Sequence[Mapping]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Header and cells of single convolutions, and their sums over the V-Net."""
    forms = tuple(dict.fromkeys(form for row in rows for form in row["seconds"]))

    def cells(first, row, flop):
        seconds = [row["seconds"].get(form) for form in forms]
        return [*first, row["work"], *(_milliseconds(s, flop) for s in seconds)]

    lines = [cells([layer_name(r), str(r["count"])], r, r["flop"]) for r in rows]
    if rows:
        lines += [cells(["all", ""], total, None) for total in sums(rows)]
    named = (f"{form}, ms (GFLOP/s)" for form in forms)
    return ("layer", "how many", "work", *named), lines


def loading(row: Mapping) -> str:
    """One line for a way to load."""
    name, threads, mine, theirs, ratio, mb, gpus = loading_cells(row)
    if "samples_per_s" not in row:
        return f"{name}: {mine}"
    rates = f"{mine} samples/s, PyTorch {theirs}, ratio {ratio}"
    return f"{name}, {threads} threads: {rates}; {mb} MB/s, feeds {gpus} GPUs"


def loading_cells(row: Mapping) -> list[str]:
    """A way to load under LOADING_HEADER."""
    if "share" in row:
        said = f"{row['share']:.1%} of the time with steps of {row['step_s']:g} s"
        return ["waiting for a batch", "2", said, *[NOTHING] * 4]
    if "samples_per_s" not in row:
        return [row["name"], NOTHING, f"{NOT_RUN}: {row['not_run']}", *[NOTHING] * 4]
    name = f"{row['name']} {'x'.join(map(str, row['shape']))}"
    name += ", augmented" * row["augmented"]
    rival = f"{NOT_RUN}: {row['not_run']}"
    rates = [_short(row["samples_per_s"]), _short(row["rival_samples_per_s"])]
    rates = rates if row["ratio"] else [rates[0], rival]
    ratio_ = NOTHING
    if row["ratio"]:
        ratio_ = "{:.2f} ({:.2f} to {:.2f})".format(row["ratio"], *row["spread"])
    more = [f"{row['mb_per_s']:.0f}", _short(row["gpus"])]
    return [name, str(row["workers"]), *rates, ratio_, *more]


def scaling_cells(line: Mapping) -> list[str]:
    """Samples a second on so many devices, and as a share of n times one."""
    cells = [str(line["devices"])]
    for side in ("ours", "rival"):
        share = line[f"{side}_efficiency"]
        cells.append(_short(line[f"{side}_samples_per_s"]))
        cells.append(NOTHING if share is None else f"{share:.0%}")
    return cells


def around_cells(part: Mapping) -> list[str]:
    """A part around the network under AROUND_HEADER."""
    if part["not_run"]:
        return [part["part"], f"{NOT_RUN}: {part['not_run']}", NOTHING, NOTHING]
    return [part["part"], _short(part["seconds"]), part["what"], _mb(part["peak_mb"])]


def machine(facts: Mapping) -> str:
    """Hardware, versions and rates, a line each."""
    lines = [f"{name}: {value}" for name, value in facts["hardware"].items()]
    lines.append(f"Device: {facts['device']}")
    for side, versions in facts["versions"].items():
        said = ", ".join(f"{name} {version}" for name, version in versions.items())
        lines.append(f"{side}: {said}")
    lines += rates(facts["rates"])
    lines += [f"{k}: {facts[k]}" for k in ("date", "command", "load", "huge_pages")]
    return "".join(f"- {line}\n" for line in lines)


def rates(rates: Mapping) -> Iterator[str]:
    """What the machine can do, a line each."""
    for dtype, rate in rates["matmul"].items():
        by = rates["by"]["matmul"][dtype]
        yield f"Matrix product {dtype}: {rate / 1e12:.3g} TFLOP/s ({by})"
    if rates["copy"]:
        yield f"Copy: {rates['copy'] / 1e9:.3g} GB/s ({rates['by']['copy']})"


def _seconds(row: Mapping, side: str) -> str:
    seconds, reason = row[f"{side}_s"], row[f"{side}_not_run"]
    if seconds is None:
        return f"{NOT_RUN}: {reason}"
    return f"{seconds:.4g} s" + (f" (then: {reason})" if reason else "")


def layer_name(row: Mapping) -> str:
    """A convolution by its voxels and channels: "32x64x96, 16 to 32"."""
    size = "x".join(map(str, row["shape"]))
    return f"{size}, {row['inputs']} to {row['outputs']}"


def _milliseconds(seconds: float | None, flop: int | None) -> str:
    rate = f" ({flop / seconds / 1e9:.0f})" if seconds and flop else ""
    return NOTHING if seconds is None else f"{1e3 * seconds:.3g}{rate}"


def _both(row: Mapping, of) -> str:
    return " / ".join(of(row, side) for side in ("ours", "rival"))


def _peak(row: Mapping, side: str) -> str:
    planned = row[f"{side}_planned_mb"]  # of ours alone
    more = f" (planned {planned:.0f})" if planned is not None else ""
    return _mb(row[f"{side}_peak_mb"]) + more


def _speed(row: Mapping, side: str) -> str:
    rate, share = row[f"{side}_flop_per_s"], row[f"{side}_share"]
    if rate is None:
        return NOTHING
    return f"{rate / 1e12:.3g}" + (f" ({share:.0%})" if share is not None else "")


def _mb(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _short(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
