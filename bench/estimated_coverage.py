"""How often the 95 % interval of an estimate before outcomes holds what is measured when they have come.

A simulation draws a reference with its outcomes, learns what scores mean, estimates a window from its scores alone, and
compares with what the window's outcomes say. Worlds are a grid of true values: base rates 0.05 to 0.5 by the mean of
the log odds, and of how scores come true: as they say, half as strongly, too low by 0.5. In each days are alike, or
share a cause (0.3 in log odds); the window's scores are those of the reference, or moved by 0.7. A window has 200, 2,000
or 20,000 rows on seven days, the reference as many and at least 2,000, on 28.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.coverage import SIZES, Tally, shares
from bench.table import table
from setpoint.stats.estimate import Estimate
from setpoint.stats.estimation import METRICS, Expected, ScoreHistogram, expected_quality, measured_quality
from setpoint.stats.score_map import OutcomeHistogram, calibrate, log_odds, logistic
from setpoint.stats.special import FloatArray, IntArray, expit

WINDOWS = 200
MEAN_FROM, MINIMUM = 0.94, 0.90  # a world's share of 200 windows is known to three points
REFERENCE_DAYS, WINDOW_DAYS, FEWEST_REFERENCE = 28, 7, 2_000
THRESHOLD, SPREAD = 0.3, 1.2
MEANS = {"0.05": -3.6, "0.15": -2.2, "0.3": -1.1, "0.5": 0.0}
MEANING: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "as said": lambda log_odds: log_odds,
    "half as strong": lambda log_odds: 0.5 * log_odds,
    "too low": lambda log_odds: log_odds + 0.5,
}


@dataclass(frozen=True, slots=True)
class World:
    """A base rate, what scores mean, what days share, and by how much the window's scores moved."""

    rate: str
    meaning: str
    shock: float
    moved: float

    @property
    def name(self) -> str:
        """What is true in it."""
        return f"{self.rate} {self.meaning}, days {self.shock:g}, moved {self.moved:g}"

    def rows(
        self, rng: np.random.Generator, rows: int, days: int, moved: float
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Return scores, outcomes and days."""
        log_odds = rng.normal(MEANS[self.rate] + moved, SPREAD, rows)
        day = np.arange(rows) * days // rows
        chance = expit(MEANING[self.meaning](log_odds) + self.shock * rng.normal(size=days)[day])
        return expit(log_odds), (rng.random(rows) < chance).astype(np.float64), day.astype(np.int64)


WORLDS = [World(*one) for one in itertools.product(MEANS, MEANING, (0.0, 0.3), (0.0, 0.7))]


def measured_of(windows: int, task: tuple[int, int]) -> dict[str, Tally]:
    """Return the tally of each metric in a world at a size."""
    number, rows = task
    world, rng = WORLDS[number], np.random.default_rng([number, rows])
    tallies = {metric: Tally() for metric in METRICS}
    for _ in range(windows):
        learned = calibrate(histogram(*world.rows(rng, max(rows, FEWEST_REFERENCE), REFERENCE_DAYS, 0.0)))
        came = histogram(*world.rows(rng, rows, WINDOW_DAYS, world.moved))
        truths = measured_quality(came)
        seen = ScoreHistogram(came.bin_index, came.decision, came.weight, came.weight_of_squares, middles(came))
        for metric, found in expected_quality(seen, learned, days=float(WINDOW_DAYS)).items():
            truth = truths[metric]
            if not isinstance(truth, str):
                answer = found.estimate if isinstance(found, Expected) else Estimate.unknown(found)
                tallies[metric].add(answer, truth)
    return tallies


def histogram(scores: FloatArray, outcomes: FloatArray, day: IntArray) -> OutcomeHistogram:
    """Return rows by score bin, decision and day."""
    decisions = (scores >= THRESHOLD).astype(np.int64)
    return OutcomeHistogram.from_rows(scores, outcomes, groups=day, decisions=decisions)


def middles(came: OutcomeHistogram) -> FloatArray:
    """Return the sum of scores of each cell, those of a bin taken as its middle: as they are when it is measured."""
    return came.weight * logistic(log_odds(came.bin_index))


def main() -> None:
    """Print mean and least coverage of each metric and size."""
    tasks = [(number, rows) for rows in SIZES for number in range(len(WORLDS))]
    found: dict[tuple[str, int], dict[str, Tally]] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (number, rows), tallies in zip(tasks, pool.map(partial(measured_of, WINDOWS), tasks), strict=True):
            for metric, tally in tallies.items():
                if tally.windows:
                    found.setdefault((metric, rows), {})[WORLDS[number].name] = tally
    headings = ["metric", "rows", "mean %", "min %", "least in", "unknown %", "limit", "met"]
    body = [line(metric, rows, found[metric, rows]) for metric in METRICS for rows in SIZES]
    print(f"{WINDOWS:,} windows each; ratio: estimates that hold what came true / estimates given")
    print(table(headings, body))


def line(metric: str, rows: int, tallies: Mapping[str, Tally]) -> list[str | int]:
    """Return the line of the table for a metric; a world where most estimates are unknown is left out."""
    given = {world: tally.coverage for world, tally in tallies.items() if tally.counts}
    worst = min(given, key=lambda world: given[world])
    mean = float(np.mean(list(given.values())))
    met = "yes" if mean >= MEAN_FROM and given[worst] >= MINIMUM else "NO"
    figures = [f"{100 * mean:.1f}", f"{100 * given[worst]:.1f}"]
    limit = f"mean >= {100 * MEAN_FROM:.0f}, min >= {100 * MINIMUM:.0f}"
    return [metric, rows, *figures, worst, shares(list(tallies.values()))[0], limit, met]


if __name__ == "__main__":
    main()
