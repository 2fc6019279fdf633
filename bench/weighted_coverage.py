"""How often the 95 % interval of an estimate from weighted rows holds what is measured when outcomes have come.

A simulation in which inputs move so that a score means something else, and a prediction errs more: the score knows the
first input, the outcome and the error depend on the second as well, and the second moves by half its spread. The others
are noise. The plain estimate, which knows only scores, stands beside.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from bench.coverage import Tally
from bench.table import table
from setpoint.stats.density_ratio import density_ratio
from setpoint.stats.estimation import Expected, ScoreHistogram, expected_quality, measured_quality
from setpoint.stats.loss_estimation import LossCurve, LossHistogram, expected_loss
from setpoint.stats.score_map import OutcomeHistogram, calibrate
from setpoint.stats.special import FloatArray, IntArray, expit

WINDOWS = 200
METRICS = ("auc", "accuracy", "base_rate")
CASES = ((2_000, 500, 2), (2_000, 2_000, 2), (20_000, 1_000, 2), (20_000, 5_000, 2), (20_000, 20_000, 10))
THRESHOLD, MOVED, REFERENCE_DAYS, WINDOW_DAYS = 0.5, 0.5, 28, 7
LEAST = 0.90


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Inputs, and what came of them."""

    inputs: list[FloatArray]
    scores: FloatArray
    outcomes: FloatArray
    bins: IntArray
    losses: FloatArray
    days: IntArray

    @classmethod
    def drawn(cls, rng: np.random.Generator, rows: int, noise: int, days: int, moved: float) -> Rows:
        """Return rows whose second input has moved."""
        inputs = rng.normal(0.0, 1.0, (2 + noise, rows))
        inputs[1] += moved
        said = inputs[0] - 1.0
        outcomes = (rng.random(rows) < expit(said + 0.7 * inputs[1])).astype(np.float64)
        losses = np.abs(rng.normal(0.0, 1.0, rows)) * np.exp(0.1 * inputs[0] + 0.3 * inputs[1])
        bins = np.floor(8.0 * inputs[0]).astype(np.int64)
        return cls(list(inputs), expit(said), outcomes, bins, losses, (np.arange(rows) * days // rows).astype(np.int64))

    def histogram(self, weights: FloatArray | None = None) -> OutcomeHistogram:
        """Return rows by score, decision and day."""
        decisions = (self.scores >= THRESHOLD).astype(np.int64)
        return OutcomeHistogram.from_rows(
            self.scores, self.outcomes, groups=self.days, decisions=decisions, weights=weights
        )


def measured_of(task: tuple[int, int, int, int]) -> Mapping[str, tuple[Tally, Tally]]:
    """Return the tallies of each metric, plain and weighted."""
    rows, window_rows, noise, windows = task
    rng = np.random.default_rng([rows, window_rows])
    tallies = {metric: (Tally(), Tally()) for metric in (*METRICS, "mae")}
    for _ in range(windows):
        before = Rows.drawn(rng, rows, noise, REFERENCE_DAYS, 0.0)
        now = Rows.drawn(rng, window_rows, noise, WINDOW_DAYS, MOVED)
        truths = measured_quality(now.histogram())
        for place, weights in enumerate((None, density_ratio(before.inputs, now.inputs).weights)):
            scores = ScoreHistogram.from_rows(now.scores, decisions=(now.scores >= THRESHOLD).astype(np.int64))
            expected = expected_quality(scores, calibrate(before.histogram(weights)), METRICS, days=float(WINDOW_DAYS))
            for metric in METRICS:
                found, truth = expected[metric], truths[metric]
                if isinstance(found, Expected) and not isinstance(truth, str):
                    tallies[metric][place].add(found.estimate, truth)
            losses = LossHistogram.from_rows(before.bins, before.losses, groups=before.days, weights=weights)
            one = np.ones(window_rows)
            loss = expected_loss(LossCurve(losses), now.bins, one, one, days=float(WINDOW_DAYS))
            tallies["mae"][place].add(loss.estimate, float(now.losses.mean()))
    return tallies


def main() -> None:
    """Print the coverage of each metric and size."""
    tasks = [(*case, WINDOWS) for case in CASES]
    body: list[list[str | int]] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (rows, window_rows, noise, _), tallies in zip(tasks, pool.map(measured_of, tasks), strict=True):
            for metric, (plain, weighted) in tallies.items():
                met = "yes" if weighted.coverage >= LEAST else "NO"
                shown = [f"{100 * tally.coverage:.1f}" for tally in (plain, weighted)]
                body.append([metric, rows, window_rows, 2 + noise, *shown, f">= {100 * LEAST:.0f}", met])
    print(f"{WINDOWS:,} windows each; ratio: intervals that hold what came true / intervals")
    print(table(["metric", "outcomes", "rows", "inputs", "plain %", "weighted %", "limit", "met"], body))


if __name__ == "__main__":
    main()
