"""Two programs in turn, A B A B, and what their times say."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.pipe import OUT_OF_MEMORY
from benchmarks.pool import Pool, Ready
from benchmarks.program import Comparison

FEWEST, MOST = 3, 15  # rounds
PAUSE_S = 0.05  # for the threads of the other side, which spin a little before sleeping


@dataclass(frozen=True)
class Timing:
    """Seconds of both sides, round by round.

    Attributes:
        ours: of our program; [] where it did not run.
        rival: of the other.
        ours_peak_mb: the most memory that it held meanwhile.
        rival_peak_mb: of the other.
        in_turn: A B A B; else one side after the other.
    """

    ours: list[float]
    rival: list[float]
    ours_peak_mb: float | None = None
    rival_peak_mb: float | None = None
    in_turn: bool = True

    def numbers(self) -> dict:
        """Medians, their ratio, how far the rounds spread, and the peaks.

        Returns:
            ours_s and rival_s, medians; ratio = rival_s / ours_s, above 1 where ours is
            faster; spread = [lowest, highest] rival / ours of the single rounds; the
            peaks; rounds; in_turn. None where a side did not run.
        """
        ours_s, rival_s = _median(self.ours), _median(self.rival)
        both = ours_s is not None and rival_s is not None
        pairs = zip(self.ours, self.rival, strict=False)
        ratios = [rival / ours for ours, rival in pairs]
        return {
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s if both else None,
            "spread": [min(ratios), max(ratios)] if both else None,
            "ours_peak_mb": self.ours_peak_mb,
            "rival_peak_mb": self.rival_peak_mb,
            "rounds": max(len(self.ours), len(self.rival)),
            "in_turn": self.in_turn,
        }


def alternate(ours: Ready, rival: Ready, rounds: int) -> Timing:
    """Calls both in turn; a side that does not run is left out, the other goes on."""
    times: tuple[list, list] = ([], [])
    for _ in range(rounds):
        for side, seconds in zip((ours, rival), times, strict=True):
            if side.reason:
                continue
            time.sleep(PAUSE_S)
            took = side.time()
            if took is not None:
                seconds.append(took)
    return Timing(*times)


def rounds_for(round_s: float, budget_s: float) -> int:
    """As many rounds as a budget allows, within FEWEST and MOST."""
    return min(MOST, max(FEWEST, int(budget_s / max(round_s, 1e-9))))


def measure(ours: Ready, rival: Ready, budget_s: float) -> Timing:
    """Times both and asks for their peaks of memory.

    Args:
        ours: our program.
        rival: the other.
        budget_s: seconds to spend; at least FEWEST rounds are run.
    """
    round_s = sum(side.facts.get("warm_s", 0.0) for side in (ours, rival))
    for side in (ours, rival):
        side.ask("reset_peak")
    timing = alternate(ours, rival, rounds_for(round_s, budget_s))
    peaks = [side.ask("peak").get("peak_mb") for side in (ours, rival)]
    return dataclasses.replace(timing, ours_peak_mb=peaks[0], rival_peak_mb=peaks[1])


def too_large_together(ours: Ready, rival: Ready) -> bool:
    """Whether memory alone stopped one of two that are both there."""
    reasons = {ours.reason, rival.reason}
    return OUT_OF_MEMORY in reasons and reasons <= {OUT_OF_MEMORY, ""}


def apart(
    pool: Pool, comparison: Comparison, budget_s: float
) -> tuple[Ready, Ready, Timing]:
    """One side after the other, for two that do not fit into memory together.

    Args:
        pool: prepares them; nothing is ready in it while a side is prepared.
        comparison: the two.
        budget_s: seconds to spend.

    Returns:
        Both as they were when they were called, and their times.
    """
    nobody, budget_s = Ready(reason="alone"), budget_s / 2
    pool.keep(())
    ours = pool.ready(comparison.ours)
    first = measure(ours, nobody, budget_s)
    pool.keep(())
    rival = pool.ready(comparison.rival)
    second = measure(nobody, rival, budget_s)
    peaks = (first.ours_peak_mb, second.rival_peak_mb)
    return ours, rival, Timing(first.ours, second.rival, *peaks, in_turn=False)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
