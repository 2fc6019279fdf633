"""The question of shape: silent while days are as usual or only moved, loud when rows lie elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from setpoint.stats.shape import Shape

EDGES = stats.norm.ppf(np.arange(1, 12) / 12)


def day(rng: np.random.Generator, rows: int = 5000, place: float = 0.0, width: float = 1.0) -> np.ndarray:
    shares = np.diff(np.concatenate([[0.0], stats.norm.cdf((EDGES - place) / width), [1.0]]))
    return rng.multinomial(rows, shares).astype(np.float64)


@pytest.mark.parametrize("is_number", [True, False])
def test_days_like_the_reference_are_as_rarely_odd_as_the_p_value_says(*, is_number: bool) -> None:
    rng = np.random.default_rng(0)
    found: list[float] = []
    for _ in range(40):
        usual = Shape.learn([day(rng) for _ in range(28)], is_number=is_number)
        found += [usual.p_value(day(rng), usual=usual) for _ in range(20)]
    assert float(np.mean(np.array(found) < 0.05)) < 0.06
    assert float(np.mean(np.array(found) < 0.01)) < 0.02


def test_against_a_reference_without_noise_it_is_pearsons() -> None:
    rng = np.random.default_rng(1)
    many = [day(rng, 10_000_000) for _ in range(28)]
    usual = Shape.learn(many, is_number=False)
    now = day(rng)
    expected = stats.chisquare(now, usual.shares * now.sum()).pvalue
    assert usual.p_value(now, usual=None) > expected  # what is within the margin does not matter
    assert stats.chi2.sf(usual._squares(now[None, :])[0], usual.degrees) == pytest.approx(expected)


def test_another_place_and_width_is_no_other_shape_of_a_number() -> None:
    rng = np.random.default_rng(2)
    days = [day(rng) for _ in range(28)]
    numbers, values = Shape.learn(days, is_number=True), Shape.learn(days, is_number=False)
    moved = day(rng, place=0.15)
    assert values.p_value(moved, usual=values) < 1e-4
    assert numbers.p_value(moved, usual=numbers) > 1e-3
    two_humps = day(rng, rows=2500, place=-1.0, width=0.4) + day(rng, rows=2500, place=1.0, width=0.4)
    assert numbers.p_value(two_humps, usual=numbers) < 1e-6


def test_days_that_differ_by_themselves_are_allowed_for() -> None:
    rng = np.random.default_rng(3)

    def odd_day() -> np.ndarray:
        weights = np.exp(rng.normal(0.0, 0.2, 12))
        return rng.multinomial(50_000, weights / weights.sum()).astype(np.float64)

    found: list[float] = []
    for _ in range(40):
        usual = Shape.learn([odd_day() for _ in range(28)], is_number=False)
        found += [usual.p_value(odd_day(), usual=usual) for _ in range(10)]
    assert float(np.mean(np.array(found) < 0.01)) < 0.025


def test_two_groups_or_no_rows_say_nothing_of_shape() -> None:
    rng = np.random.default_rng(4)
    assert Shape.learn([day(rng)] * 2, is_number=True).p_value(np.zeros(12), usual=None) == 1.0
    three = [np.array([10.0, 20.0, 30.0])] * 5
    assert Shape.learn(three, is_number=True).degrees == 2
    assert Shape.learn([np.array([5.0])] * 5, is_number=False).p_value(np.array([9.0]), usual=None) == 1.0
