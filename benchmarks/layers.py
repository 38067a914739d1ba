"""Each convolution of the V-Net by itself: where a step's milliseconds go.

Forward, gradient of the input and gradient of the kernel of every 5x5x5 layer, as the
networks run it, in the forms that `vnet_jax.models.conv` might have taken instead, and
in PyTorch. All of them are called in turn, so that a slow minute falls on all.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from benchmarks import flops
from benchmarks.compare import PAUSE_S
from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker
from benchmarks.program import CHANNELS_LAST, EAGER, OURS

WORKS = ("forward", "input_gradient", "kernel_gradient")
USED = "used"  # our form, as the networks run it
RIVAL = {"cpu": EAGER, "gpu": CHANNELS_LAST}
DTYPE = {"cpu": "float32", "gpu": "bfloat16"}
ROUNDS = 5


def of_vnet(shape: Sequence[int]) -> list[dict]:
    """The 5x5x5 convolutions of the paper's V-Net, those of one size as one.

    Returns:
        {"shape": (D, H, W), "inputs", "outputs", "count": how many there are} of each,
        from full resolution down.
    """
    full = math.prod(shape)
    counts = Counter(
        (round(math.log2(full / layer.voxels) / 3), layer.inputs, layer.outputs)
        for layer in flops.network("vnet", shape)
        if layer.taps == flops.CONV
    )
    return [
        {
            "shape": [n // 2**level for n in shape],
            "inputs": inputs,
            "outputs": outputs,
            "count": count,
        }
        for (level, inputs, outputs), count in sorted(counts.items())
    ]


def run(launcher: Launcher, shape: Sequence[int], done: Callable[[dict], None]) -> None:
    """Times every layer.

    Args:
        launcher: starts the workers.
        shape: voxels (D, H, W) at full resolution.
        done: is given each row: what `of_vnet` says of the layer, work, dtype, flop,
            seconds {form or rival: median of a call}, not_run {the same: reason}.
    """
    forms, refused = start(launcher)
    for layer in of_vnet(shape):
        for work in WORKS:
            what = {**layer, "work": work, "dtype": DTYPE[launcher.device]}
            seconds, not_run = _in_turn(forms, what)
            row = {**what, "flop": flop(layer), "seconds": seconds}
            done(row | {"not_run": {**refused, **not_run}})


def start(launcher: Launcher) -> tuple[dict[str, Worker], dict[str, str]]:
    """The worker of each form, and why a side is missing."""
    forms, refused = {}, {}
    try:
        ours = launcher.ours("benchmarks.layers_ours")
        forms = dict.fromkeys(ours.ask("forms")["forms"], ours)
    except NotRun as failure:
        refused[OURS] = str(failure)
    rival = RIVAL[launcher.device]
    try:
        forms[rival] = launcher.torch("benchmarks.layers_theirs")
    except NotRun as failure:
        refused[rival] = str(failure)
    return forms, refused


def flop(layer: Mapping) -> int:
    """FLOP of one call; each of WORKS has the same."""
    voxels = math.prod(layer["shape"])
    return 2 * voxels * flops.CONV * layer["inputs"] * layer["outputs"]


def _in_turn(forms: Mapping[str, Worker], what: Mapping) -> tuple[dict, dict]:
    """Median seconds of each form, and why the others were not run."""
    times, not_run = {}, {}
    for form, worker in forms.items():
        try:
            worker.ask("prepare", what=what, form=form)
            times[form] = []
        except NotRun as failure:
            not_run[form] = str(failure)
    for _ in range(ROUNDS):
        for form, seconds in times.items():
            time.sleep(PAUSE_S)
            seconds.append(forms[form].ask("time", form=form)["seconds"])
    return {form: statistics.median(s) for form, s in times.items()}, not_run


def sums(rows: Sequence[Mapping]) -> list[dict]:
    """For each work the seconds of all layers of one V-Net, form by form.

    Returns:
        {"work", "seconds": {form: sum over the layers, None where one was not run}}.
    """
    totals = []
    for work in WORKS:
        mine = [row for row in rows if row["work"] == work]
        forms = dict.fromkeys(form for row in mine for form in row["seconds"])
        seconds = {
            form: sum(row["count"] * row["seconds"][form] for row in mine)
            if all(form in row["seconds"] for row in mine)
            else None
            for form in forms
        }
        totals.append({"work": work, "seconds": seconds})
    return totals
