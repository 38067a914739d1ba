"""The story of one run: who is here, what they can do, row after row, the results."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import around, compare, layers, loading, multi, race
from benchmarks.launch import Launcher, python_with_torch
from benchmarks.meeting import describe, meet, no_bfloat16
from benchmarks.pool import Deadline, Pool, Ready
from benchmarks.program import Comparison
from benchmarks.report import Report
from benchmarks.rows import row_of
from benchmarks.suites import FULL, SMALL, SUITES


class Run:
    """One suite on one machine; a context, which ends every worker."""

    def __init__(
        self,
        suite: str,
        out: Path,
        *,
        torch_python: str = "",
        device: str = "",
        minutes: float | None = None,
        only: str = "",
    ):
        """Starts nothing yet.

        Args:
            suite: a name in SUITES.
            out: folder for the results.
            torch_python: the interpreter with PyTorch; "" for this one.
            device: "cpu" or "gpu" where the suite leaves it open; "" for the best.
            minutes: after which nothing more is begun; None for the suite's own.
            only: text that a comparison's name must hold; "around" for the parts
                around the network.
        """
        self.name, self.suite, self.only = suite, SUITES[suite], only
        self.deadline = Deadline(minutes or self.suite.minutes)
        self.launcher = Launcher(
            self.suite.device or device,
            python_with_torch(torch_python),
            out.absolute() / "logs",
        )
        self._scratch = tempfile.TemporaryDirectory(prefix="vnet_jax_bench_")
        self.scratch, self.out = Path(self._scratch.name), out
        torchrun = suite == "multi"
        self.pool = Pool(self.launcher, self.deadline, self.scratch, torchrun)

    def __enter__(self) -> Run:
        """Itself."""
        return self

    def __exit__(self, *exception) -> None:
        """Ends the workers and removes what was on its way between them."""
        self.launcher.close()
        self._scratch.cleanup()

    def run(self) -> None:
        """Measures everything, writing as it goes."""
        print(f"Suite {self.name}: versions, and the machine's rates", flush=True)
        self.sides = meet(self.launcher, self.suite)
        self.report = Report(self.out, describe(self.name, self.launcher, self.sides))
        self.rates = self.report.results["machine"]["rates"]
        own = {
            "layers": self._layers,
            "loader": self._loader,
            "multi": self._multi,
            "race": self._race,
        }
        own.get(self.name, self._compare)()
        if self.suite.around and self.only in ("", "around"):
            self._around()
        self.report.finish()

    def _compare(self) -> None:
        for number, comparison in enumerate(every := self._chosen(), 1):
            print(f"[{number}/{len(every)}] {comparison}", flush=True)
            self._row(comparison, self.rates)

    def _chosen(self) -> list[Comparison]:
        """The suite's comparisons that `only` leaves."""
        every = self.suite.comparisons
        if self.name == "multi":
            every = multi.comparisons(self.launcher.device)
        return [c for c in every if self.only in str(c)]

    def _row(self, comparison: Comparison, rates: dict, reason: str = "") -> None:
        """Measures one comparison; `reason` says why it cannot be run."""
        if comparison.ours.dtype == "bfloat16":
            reason = reason or no_bfloat16(self.launcher.device)
        ours = rival = Ready(reason=reason)
        if not reason:
            ours, rival = self.pool.pair(comparison)
        timing = compare.measure(ours, rival, self.suite.budget_s)
        if compare.too_large_together(ours, rival):
            print("  too large for both at a time: one after the other", flush=True)
            parts = (self.pool, comparison, self.suite.budget_s)
            ours, rival, timing = compare.apart(*parts)
        self.report.add_row(row_of(comparison, ours, rival, timing.numbers(), rates))

    def _multi(self) -> None:
        device = self.launcher.device
        here = self.sides.get("vnet_jax", {}).get("devices", 1)
        for comparison in self._chosen():
            print(f"{comparison}", flush=True)
            devices = comparison.ours.devices
            rates = multi.scaled(self.rates, device, devices)
            self._row(comparison, rates, multi.missing(device, devices, here))
            self.report.put("scaling", multi.scaling(self.report.results["rows"]))

    def _layers(self) -> None:
        shape = FULL if self.launcher.device == "gpu" else SMALL
        layers.run(self.launcher, shape, self.report.add_layer)

    def _loader(self) -> None:
        loading.run(self.launcher, self.scratch, self.report.add_loading)

    def _race(self) -> None:
        race.run(self.launcher, self.scratch, lambda now: self.report.put("race", now))

    def _around(self) -> None:
        print("The parts around the network", flush=True)
        self.pool.keep(())
        small = self.suite.around == "small"
        cases = [around.Case()]
        if not small:
            cases.append(around.Case("bfloat16", reason=no_bfloat16("cpu")))
            cases.append(around.Case(checkpoints=5))
        done = self.report.add_part
        around.run(self.launcher, self.scratch, small=small, cases=cases, done=done)
