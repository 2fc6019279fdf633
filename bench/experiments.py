"""How often an interval that is looked at after every batch fails to hold the truth, and how wide it is.

Beside the interval that holds at one moment only, of the same rows. What a test is read out as, looked at as often. And
how often a mismatch of shares is called.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.table import Cell, table
from setpoint.control.readouts import readout_of, sequence_of
from setpoint.core.rollout import AbRules, Rollout, RolloutRules
from setpoint.core.route_plan import Route
from setpoint.stats.estimate import Z
from setpoint.stats.sequences import DifferenceSequence, log_mismatch
from setpoint.stats.special import FloatArray

RUNS = int(os.environ.get("RUNS", "200"))
LOOKS, UNITS = 100, 200
SHOWN = (10, 50, 100)
Draw = Callable[[np.random.Generator, NDArray[np.bool_]], FloatArray]


def main() -> None:
    """Print one table of intervals and one of shares."""
    worlds: dict[str, tuple[Draw, float, float]] = {
        "conversion 10 %, equal": (_rates(0.1, 0.1), 0.5, 0.0),
        "conversion 10 → 11 %": (_rates(0.1, 0.11), 0.5, 0.01),
        "errors .5 → .7 %": (_rates(0.005, 0.007), 0.5, 0.002),
        "conversion 10 %, 10 % are candidates": (_rates(0.1, 0.1), 0.1, 0.0),
        "a value from 0 to 1": (lambda rng, who: rng.random(len(who)) ** 2, 0.5, 0.0),
    }
    headings = [f"{RUNS} runs of {LOOKS} looks", "truth missed ever, %", *(f"width after {look}" for look in SHOWN)]
    print(table(headings, [[name, *_interval(*world)] for name, world in worlds.items()]))
    print("(width as a multiple of the interval that holds at that look only)\n")
    print(table(["readout, smallest 2 points", *_SAYS, "units to the first"], _readouts()) + "\n")
    rows: list[list[Cell]] = []
    for true in ((0.5, 0.5), (0.49, 0.51), (0.47, 0.53), (0.4, 0.6)):
        units = np.random.default_rng(2).multinomial(UNITS, true, (RUNS, LOOKS)).cumsum(axis=1)
        logs = np.array([[log_mismatch(look, np.array([0.5, 0.5])) for look in run] for run in units])
        is_over = logs >= math.log(100.0)
        looks = np.where(is_over.any(1), is_over.argmax(1) + 1.0, np.inf)
        rows.append(
            [f"{true[0]:.0%} / {true[1]:.0%}", 100.0 * float(is_over.any(1).mean()), UNITS * float(np.median(looks))]
        )
    print(table(["meant to be 50 / 50", "mismatch called, %", "median units"], rows))


def _rates(stable: float, candidate: float) -> Draw:
    return lambda rng, who: (rng.random(len(who)) < np.where(who, candidate, stable)).astype(np.float64)


_HALF = 0.5
_SAYS = ("A ever, %", "B ever, %", "no difference ever, %", "never, %")


def _readouts() -> list[list[Cell]]:
    """Return what tests of known truth are read out as, in all looks of a run together."""
    ab = AbRules("success", smallest=0.02)
    route = Route("single", (("v1", 1.0),), "v1")
    rollout = Rollout("r", "m", "v1", "v2", RolloutRules(ab=ab), {}, route, 0, "conversion")
    found: list[list[Cell]] = []
    for stable, candidate in ((0.1, 0.1), (0.1, 0.12), (0.12, 0.1), (0.1, 0.14)):
        rng, counts, first = np.random.default_rng(3), Counter[str](), list[float]()
        for _ in range(RUNS):
            sequence, says, at = sequence_of(ab), set[str](), math.inf
            for look in range(LOOKS):
                is_candidate = rng.random(UNITS) < _HALF
                sequence.update(_rates(stable, candidate)(rng, is_candidate), is_candidate, _HALF)
                told = readout_of(rollout, sequence, [], "")
                if told is not None and told.says != "not yet":
                    says.add(told.says)
                    at = min(at, UNITS * (look + 1.0))
            counts.update(says or {"never"})
            first.append(at)
        shares = [100.0 * counts[one] / RUNS for one in ("A", "B", "no difference", "never")]
        found.append([f"{stable:.0%} → {candidate:.0%}", *shares, float(np.median(first))])
    return found


def _interval(draw: Draw, share: float, truth: float) -> list[Cell]:
    rng, missed, widths = np.random.default_rng(1), 0, np.zeros((RUNS, LOOKS))
    for run in range(RUNS):
        sequence, is_missed = DifferenceSequence(0.0, 1.0), False
        for look in range(LOOKS):
            is_candidate = rng.random(UNITS) < share
            sequence.update(draw(rng, is_candidate), is_candidate, share)
            found = sequence.estimate()
            low, high = found.low or 0.0, found.high or 0.0
            is_missed |= not low <= truth <= high
            widths[run, look] = high - low
        missed += is_missed
    who = rng.random(1_000_000) < share
    variances = [float(draw(rng, np.full(len(who), version)).var()) for version in (False, True)]
    usual = 2.0 * Z * np.sqrt((variances[0] / (1.0 - share) + variances[1] / share) / (UNITS * np.arange(1, LOOKS + 1)))
    ratios = widths.mean(axis=0) / usual
    return [100.0 * missed / RUNS, *(float(ratios[look - 1]) for look in SHOWN)]
