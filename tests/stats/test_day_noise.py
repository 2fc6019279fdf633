"""The noise of days: p-values that mean what they say whatever days are like, at little cost when they are alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from setpoint.stats.day_noise import DayNoise

FEATURES, DAYS, ROWS = 12, 28, 5000.0
WEEKDAY = np.arange(DAYS + 16) % 7


def alike(rng: np.random.Generator) -> np.ndarray:
    del rng
    return np.zeros((FEATURES, DAYS + 16))


def moody(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.0, 0.03, (FEATURES, DAYS + 16))


def slow(rng: np.random.Generator) -> np.ndarray:
    found = rng.normal(0.0, 0.03, (FEATURES, DAYS + 16))
    for day in range(1, DAYS + 16):
        found[:, day] = 0.8 * found[:, day - 1] + 0.6 * found[:, day]
    return found


def weekly(rng: np.random.Generator) -> np.ndarray:
    return moody(rng) + rng.normal(0.0, 0.05, (FEATURES, 1)) * (WEEKDAY >= 5)


def played(
    world: Callable[[np.random.Generator], np.ndarray], seed: int, shift: float = 0.0
) -> tuple[DayNoise, np.ndarray]:
    """Return what is learned of four weeks, and the sixteen days after them."""
    rng = np.random.default_rng(seed)
    days = world(rng) + rng.normal(0.0, ROWS**-0.5, (FEATURES, DAYS + 16))
    learned = DayNoise.learn(days[:, :DAYS], np.full(DAYS, ROWS), WEEKDAY[:DAYS])
    return learned, days[:, DAYS:] + shift


def p_values(noise: DayNoise, days: np.ndarray, length: int) -> np.ndarray:
    return noise.p_values(days[:, :length].mean(axis=1), np.full(length, ROWS), WEEKDAY[DAYS : DAYS + length])


@pytest.mark.parametrize("world", [alike, moody, slow, weekly])
@pytest.mark.parametrize("length", [1, 4])
def test_a_p_value_is_as_rare_as_it_says(world: Callable[[np.random.Generator], np.ndarray], length: int) -> None:
    found = np.concatenate([p_values(*played(world, seed), length) for seed in range(120)])
    # 1440 tests, of which twelve share a reference: three standard errors and what the prior may cost.
    # Slow days after the reference go on where it ended, and are nearer to it than days of another year.
    assert (0.005 if world is slow else 0.025) < float(np.mean(found < 0.05)) < 0.075
    assert float(np.mean(found < 0.01)) < 0.02
    assert float(np.mean(found < 0.001)) < 0.004


def test_days_that_are_alike_cost_little_power() -> None:
    limit, shift, length = 1e-4, 0.07, 2
    found = np.concatenate([p_values(*played(alike, seed, shift), length) for seed in range(60)])
    # Who knew that days are alike, and the mean of the reference's, would find as many.
    z = shift / np.sqrt(1.0 / (ROWS * length) + 1.0 / (ROWS * DAYS))
    oracle = float(stats.norm.sf(stats.norm.isf(limit / 2.0) - z))
    assert float(np.mean(found < limit)) > 0.9 * oracle


def test_a_saturday_is_held_against_saturdays() -> None:
    rng = np.random.default_rng(1)
    weekend = np.where(WEEKDAY >= 5, 0.3, 0.0)
    days = weekend + rng.normal(0.0, ROWS**-0.5, (3, DAYS + 16))
    noise = DayNoise.learn(days[:, :DAYS], np.full(DAYS, ROWS), WEEKDAY[:DAYS])
    one = np.full(1, ROWS)
    value = np.full(3, 0.3)
    assert noise.p_values(value, one, np.array([5])).min() > 0.01
    assert noise.p_values(value, one, np.array([1])).max() < 1e-4
    # Three weeks do not say what a weekday is like.
    short = DayNoise.learn(days[:, :21], np.full(21, ROWS), WEEKDAY[:21])
    np.testing.assert_array_equal(short.p_values(value, one, np.array([5])), short.p_values(value, one, np.array([1])))


def test_days_with_more_rows_count_for_more() -> None:
    rng = np.random.default_rng(2)
    rows = np.where(np.arange(DAYS) % 2, 200.0, 20_000.0)
    noise = DayNoise.learn(rng.normal(0.0, rows**-0.5, (8, DAYS)), rows)
    shift = np.full(8, 0.05)
    assert noise.p_values(shift, np.array([200.0])).min() > 0.05
    assert noise.p_values(shift, np.array([20_000.0])).max() < 1e-3


def test_heavy_tails_are_seen_and_allowed_for() -> None:
    rng = np.random.default_rng(3)
    days = rng.standard_t(3, (20, DAYS)) * 0.03 + rng.normal(0.0, ROWS**-0.5 / 10, (20, DAYS))
    rows = np.full(DAYS, 100.0 * ROWS)
    light = rng.normal(0.0, 0.03, (20, DAYS))
    heavy, normal = DayNoise.learn(days, rows), DayNoise.learn(light, rows)
    assert heavy.tails[:, 2:].sum(axis=1).mean() > 0.5  # of six degrees and fewer
    assert normal.tails[:, 0].min() > 0.95
    mixed = DayNoise.learn(np.concatenate([days, light]), rows)
    assert mixed.tails[:20, 0].mean() < 0.8 * mixed.tails[20:, 0].mean()  # each feature has its own


def test_a_day_that_is_five_deviations_off_is_less_odd_where_days_have_heavy_tails() -> None:
    rng = np.random.default_rng(4)
    rows = np.full(DAYS, 100.0 * ROWS)
    found = []
    for days in (rng.standard_t(3, (20, DAYS)) * 0.03 / 3**0.5, rng.normal(0.0, 0.03, (20, DAYS))):
        noise = DayNoise.learn(days, rows)
        found.append(np.median(noise.p_values(np.full(20, 0.15), rows[:1])))
    assert found[0] > 10 * found[1]


def test_days_without_any_noise_are_no_error() -> None:
    noise = DayNoise.learn(np.zeros((2, DAYS)), np.full(DAYS, ROWS))
    assert noise.p_values(np.array([0.0, 1.0]), np.array([ROWS])).round(6).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("rows", [np.array([1.0]), np.array([1.0, 0.0])])
def test_a_reference_has_days_with_rows(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least two days"):
        DayNoise.learn(np.zeros((1, len(rows))), rows)
