"""Bets win a factor x by chance no more often than in one of x cases, however often one looks, and much on a change."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from setpoint.stats.betting import likeliest_start, log_wealth

GOALS = (0.1, 0.3, 0.6, 0.95)
HOURS, ROWS = 24, 40


def test_wealth_is_rare_on_days_that_are_as_bad_as_usual_however_often_one_looks() -> None:
    rng, usual = np.random.default_rng(1), rng_rates()
    hits = rng.binomial(ROWS, usual, (4000, HOURS)).astype(float)
    rows = np.full_like(hits, ROWS)
    wealth = log_wealth(hits, rows, np.broadcast_to(usual, hits.shape), GOALS, HOURS)
    for budget in (0.1, 0.01):
        ever = np.mean(wealth.max(axis=1) >= math.log(1.0 / budget))
        assert ever <= budget + 3.0 * math.sqrt(budget / len(hits))


def rng_rates() -> np.ndarray:
    """Return usual rates that differ by hour."""
    return np.linspace(0.05, 0.6, HOURS)


def test_one_bet_is_the_ratio_of_likelihoods() -> None:
    hits, rows, usual = np.array([7.0]), np.array([20.0]), np.array([0.1])
    bet = 0.1 + 0.5 * 0.9
    expected = stats.binom.logpmf(7, 20, bet) - stats.binom.logpmf(7, 20, 0.1)
    assert np.isclose(log_wealth(hits, rows, usual, (0.5,), 1)[0], expected)


def test_a_change_is_told_by_when_it_began() -> None:
    usual, rows = np.full(HOURS, 0.1), np.full(HOURS, 50.0)
    hits = np.where(np.arange(HOURS) < 15, 2.0, 30.0)
    wealth = log_wealth(hits, rows, usual, GOALS, HOURS)
    assert int(np.flatnonzero(wealth > math.log(60_000))[0]) == 15
    assert likeliest_start(hits[:17], rows[:17], usual[:17], GOALS) == 15


def test_nothing_is_won_where_nothing_else_is_usual_or_there_are_no_rows() -> None:
    rows = np.array([50.0, 0.0])
    found = log_wealth(np.array([50.0, 0.0]), rows, np.array([1.0, 0.3]), GOALS, HOURS)
    assert np.all(found <= 0.0)
