"""The reweighted change of a mean: what weighting rows gives, with intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.reweighting import reweighted_change

SHARES, SHARES_NOW = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.3, 0.3, 0.2, 0.2])
MEANS = np.array([0.1, 0.2, 0.5, 0.8])


def drawn(rng: np.random.Generator, rows: int, rows_now: int) -> tuple[np.ndarray, ...]:
    """Return rows, sums and squares of scores by group, and the rows of the other window."""
    groups = rng.choice(4, rows, p=SHARES)
    scores = np.clip(rng.normal(MEANS[groups], 0.1), 0.0, 1.0)
    parts = [np.bincount(groups, weights=w, minlength=4).astype(float) for w in (np.ones(rows), scores, scores**2)]
    return *parts, rng.multinomial(rows_now, SHARES_NOW).astype(float)


def test_it_is_the_difference_of_weighted_and_plain_means() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 4, 500)
    scores = rng.random(500)
    rows, sums, squares = (
        np.bincount(groups, weights=w, minlength=4).astype(float) for w in (np.ones(500), scores, scores**2)
    )
    now = np.array([10.0, 20.0, 30.0, 40.0])
    weights = (now / now.sum() / (rows / rows.sum()))[groups]
    expected = np.average(scores, weights=weights) - scores.mean()
    assert reweighted_change(rows, sums, squares, now).value == pytest.approx(expected)


@pytest.mark.parametrize(("rows", "rows_now"), [(400, 300), (5000, 300), (300, 5000)])
def test_its_interval_holds_the_truth(rows: int, rows_now: int) -> None:
    rng = np.random.default_rng(rows)
    true = float((SHARES_NOW - SHARES) @ [np.clip(rng.normal(m, 0.1, 200_000), 0, 1).mean() for m in MEANS])
    found = [reweighted_change(*drawn(rng, rows, rows_now)) for _ in range(1500)]
    held = np.mean([(one.low or 0.0) <= true <= (one.high or 0.0) for one in found])
    assert 0.935 <= held <= 0.965


def test_groups_without_rows_before_are_left_out_until_they_are_most() -> None:
    rows, sums = np.array([10.0, 0.0]), np.array([5.0, 0.0])
    assert reweighted_change(rows, sums, sums, np.array([9.0, 3.0])).value == 0.0
    assert "none before" in reweighted_change(rows, sums, sums, np.array([3.0, 9.0])).reason
    assert "no row" in reweighted_change(rows, sums, sums, np.zeros(2)).reason
