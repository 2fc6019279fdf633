"""The arrival curve equals a Kaplan-Meier estimate of the rows, and its interval covers what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from setpoint.stats.survival import arrival_curve

EDGES = np.arange(1.0, 31.0)


def simulated(rng: np.random.Generator, per_day: int, days: int, never: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the delay of each row, infinite when its outcome never comes, and how old its day is."""
    delay = np.ceil(rng.exponential(4.0, per_day * days))
    delay[rng.random(len(delay)) < never] = np.inf
    return delay, np.repeat(np.arange(1, days + 1), per_day)


def counted(delay: np.ndarray, age: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    days = np.unique(age)
    arrived = np.array([[np.sum((age == day) & (delay == edge)) for edge in EDGES] for day in days], dtype=np.float64)
    arrived *= EDGES[None, :] <= days[:, None]
    return arrived, np.array([np.sum(age == day) for day in days], dtype=np.float64), days.astype(np.int64)


def test_it_equals_kaplan_meier_of_the_rows() -> None:
    delay, age = simulated(np.random.default_rng(1), 200, 20, 0.1)
    arrived, total, observed = counted(delay, age)
    curve = arrival_curve(arrived, total, observed, EDGES)
    is_in = delay <= age
    reference = ecdf(CensoredData(uncensored=delay[is_in], right=age[~is_in].astype(np.float64))).sf
    expected = 1.0 - reference.evaluate(curve.ages)
    np.testing.assert_allclose(curve.share, expected, rtol=1e-12)
    inside = (curve.share > 0.0) & (curve.share < 1.0)
    found = reference.confidence_interval(confidence_level=0.95, method="log-log")
    np.testing.assert_allclose(curve.low[inside], 1.0 - found.high.evaluate(curve.ages)[inside], rtol=1e-3)
    np.testing.assert_allclose(curve.high[inside], 1.0 - found.low.evaluate(curve.ages)[inside], rtol=1e-3)


def test_its_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = 0.9 * (1.0 - np.exp(-EDGES[:10] / 4.0))
    hits = np.zeros(10)
    runs = 1000
    for _ in range(runs):
        curve = arrival_curve(*counted(*simulated(rng, 60, 10, 0.1)), EDGES)
        hits += (curve.low <= truth) & (truth <= curve.high)
    assert float(hits.min()) / runs > 0.92
    assert float(hits.mean()) / runs == pytest.approx(0.95, abs=0.015)


def test_a_share_that_was_never_reached_has_no_age() -> None:
    nothing = arrival_curve(np.zeros((1, 3)), np.array([10.0]), np.array([3]), EDGES[:3])
    assert nothing.age_of(0.9) is None
    few = arrival_curve(np.array([[1.0, 0.0, 1.0]]), np.array([10.0]), np.array([3]), EDGES[:3])
    needed = few.age_of(0.5)
    assert needed is not None
    value, low, high = needed
    assert value == pytest.approx(1.0)
    assert low is not None
    assert low < 1.0
    assert high is None  # the lower end of the curve never gets there
    assert len(arrival_curve(np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=np.int64), EDGES[:3]).share) == 0
