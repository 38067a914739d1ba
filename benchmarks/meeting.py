"""Who takes part, on what machine, and what that machine can do."""

from __future__ import annotations

import datetime
import os
import shlex
import sys

import vnet_jax
from benchmarks import machine_rates
from benchmarks.launch import Launcher
from benchmarks.pipe import NotRun, Worker
from benchmarks.suites import Suite
from vnet_jax import processor
from vnet_jax.commands.huge_pages import TUNABLES
from vnet_jax.reports import machine

NO_GPU = {"vnet_jax": "JAX sees no GPU", "torch": "PyTorch sees no GPU"}
PATIENCE_S = 600.0


def meet(launcher: Launcher, suite: Suite) -> dict[str, dict]:
    """Asks both sides what they are and what the machine can do with them.

    A side that is not here, or not on the device wanted, is noted in
    `launcher.refused`. Where the device is left open, it is the best that JAX has.

    Args:
        launcher: starts the workers; its device is set.
        suite: how large a product and a copy to measure.

    Returns:
        side -> what its `hello` told, with "rates": library -> rates.
    """
    sides = {}
    open_choice = not launcher.device
    launcher.device = launcher.device or "gpu"
    for side, start in (("vnet_jax", launcher.ours), ("torch", launcher.torch)):
        try:
            worker = start()
            facts = worker.ask("hello", timeout_s=PATIENCE_S)
            if side == "vnet_jax" and open_choice:
                launcher.device = facts["platform"]
            if facts["platform"] == launcher.device:
                facts["rates"] = _rates(worker, side, launcher.device, suite)
                sides[side] = facts
            else:
                launcher.refused[side] = NO_GPU[side]
            worker.close()
        except NotRun as failure:
            launcher.refused[side] = str(failure)
    return sides


def _rates(worker: Worker, side: str, device: str, suite: Suite) -> dict[str, dict]:
    """Library -> rates of the machine."""
    much = {"size": suite.size, "megabytes": suite.megabytes}
    dtypes = ["float32"] + ["bfloat16"] * (not no_bfloat16(device))
    library = {"vnet_jax": "jax"}.get(side, side)
    measured = {}
    try:
        measured[library] = worker.ask("rates", PATIENCE_S, dtypes=dtypes, **much)
        if side == "vnet_jax" and device == "cpu":
            measured["numpy"] = worker.ask("numpy_rates", PATIENCE_S, **much)
    except NotRun as failure:  # no shares, then; the rows can still be measured
        print(f"  the rates of {library}: not run: {failure}", flush=True)
    return measured


def describe(suite: str, launcher: Launcher, sides: dict[str, dict]) -> dict:
    """The machine, for the results: hardware, versions, rates, date, command."""
    measured = {}
    for facts in sides.values():
        measured |= facts["rates"]
    own = {"vnet_jax": vnet_jax.__version__} | machine.versions(())
    versions = {side: facts["versions"] for side, facts in sides.items()}
    versions["vnet_jax"] = own | versions.get("vnet_jax", {})
    ours = sides.get("vnet_jax", {})
    return {
        "suite": suite,
        "hardware": machine.hardware(),
        "device": ours.get("device", "none"),
        "devices": ours.get("devices", 0),
        "convolutions": ours.get("convolutions", {}),
        "torch_threads": sides.get("torch", {}).get("threads"),
        "versions": versions,
        "not_run": dict(launcher.refused),
        "rates": machine_rates.best(measured) | {"measured": measured},
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": shlex.join(["python", "bin/bench.py", *_arguments()]),
        "load": _load(),
        "huge_pages": os.environ.get(TUNABLES, "not asked for"),
    }


def no_bfloat16(device: str) -> str:
    """Why bfloat16 is not measured here, or ""."""
    if device == "gpu":
        return ""
    known = processor.multiplies_bfloat16()
    return "" if known else "the processor has no AVX512_BF16"


def _arguments() -> list[str]:
    return [a for a in sys.argv[1:] if not a.startswith("--verbosity")]


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return "unknown"
    one, five, _ = os.getloadavg()
    return f"{one:.2f} over 1 minute, {five:.2f} over 5, at the start"
