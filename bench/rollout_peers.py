"""How others judge a candidate, on the moments of both versions: one-sided tests of a difference of means.

Each returns how far its statistic z has to be at a look; all are given the same looks. The sequential formulas are eq.
134 of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), "Time-uniform central limit theory and asymptotic
confidence sequences", arXiv 2103.06476, tuned as by eq. 161 there; GrowthBook documents that it uses it at 5 % with 5,000.
"""

from __future__ import annotations

import math

import numpy as np

from bench.rollout_worlds import LOOKS
from setpoint.stats.special import FloatArray

TUNED_FOR = 5_000
POCOCK_RUNS = 200_000


def z_of(
    rows: tuple[FloatArray, FloatArray], sums: tuple[FloatArray, FloatArray], squares: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """Return z of the difference of means, from what each look adds, pooled over all looks so far.

    Args:
        rows: Of the stable version and the candidate, shape (looks,).
        sums: Of the values, shape (runs, looks).
        squares: Of their squares, same shape.
    """
    counts = [one.cumsum(-1) for one in rows]
    means = [one.cumsum(-1) / count for one, count in zip(sums, counts, strict=True)]
    errors = [
        (one.cumsum(-1) / count - mean**2) / count for one, mean, count in zip(squares, means, counts, strict=True)
    ]
    width = np.sqrt(errors[0] + errors[1])
    return np.divide(means[1] - means[0], width, out=np.zeros_like(width), where=width > 0.0)


def boundaries(rows: tuple[FloatArray, FloatArray]) -> dict[str, FloatArray]:
    """Return by judge how far z has to be at each look."""
    rows_total = (rows[0] + rows[1]).cumsum()
    return {
        "z, peeking at 5 %": np.full(LOOKS, 1.645),
        "Pocock, 1 %": np.full(LOOKS, pocock(0.01)),
        "GrowthBook's formula, 5 %": _sequential(rows_total, 0.05),
        "asymptotic sequence, 1 %": _sequential(rows_total, 0.01),
    }


def pocock(level: float) -> float:
    """Return the constant boundary of equally spaced looks, by simulation of the path of z."""
    rng = np.random.default_rng(55)
    most = np.full(POCOCK_RUNS, -np.inf)
    path = np.zeros(POCOCK_RUNS)
    for look in range(1, LOOKS + 1):
        path += rng.normal(size=POCOCK_RUNS)
        np.maximum(most, path / math.sqrt(look), out=most)
    return float(np.quantile(most, 1.0 - level))


def _sequential(rows_total: FloatArray, level: float) -> FloatArray:
    tuned = (-2.0 * math.log(level) + math.log(-2.0 * math.log(level) + 1.0)) / TUNED_FOR
    ahead = rows_total * tuned + 1.0
    return np.sqrt(2.0 * ahead / (rows_total * tuned) * np.log(1.0 + np.sqrt(ahead) / (2.0 * level)))
