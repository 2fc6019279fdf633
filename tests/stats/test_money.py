"""Tests of `setpoint.stats.money`."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from setpoint.stats.money import MoneyState, largest_share, mean_amount, total_amount
from setpoint.stats.special import FloatArray

amounts = st.lists(st.one_of(st.just(0.0), st.floats(-1e6, 1e6)), max_size=40)


def assert_same(left: MoneyState, right: MoneyState) -> None:
    for field in fields(left):
        np.testing.assert_allclose(
            getattr(left, field.name), getattr(right, field.name), rtol=1e-9, atol=1e-9, err_msg=field.name
        )


@settings(deadline=None, derandomize=True)
@given(amounts, amounts)
def test_merge_is_order_free_and_equals_one_pass(a: list[float], b: list[float]) -> None:
    first, second = MoneyState.from_rows(np.array(a)), MoneyState.from_rows(np.array(b))
    assert_same(first.merge(second), second.merge(first))
    assert_same(first.merge(second), MoneyState.from_rows(np.array(a + b)))
    assert_same(first.merge(MoneyState()), first)


@settings(deadline=None, derandomize=True)
@given(amounts)
def test_any_amounts_give_their_mean_or_a_reason(rows: list[float]) -> None:
    estimate = mean_amount(MoneyState.from_rows(np.array(rows)))  # an estimate refuses nan when it is made
    if estimate.value is None:
        assert estimate.reason
    else:
        assert estimate.value == pytest.approx(np.mean(rows), abs=1e-6)


def test_the_interval_of_light_tails_is_close_to_that_of_scipy() -> None:
    x = np.random.default_rng(1).gamma(50.0, 2.0, 4000)
    estimate = mean_amount(MoneyState.from_rows(x))
    low, high = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    assert estimate.low == pytest.approx(low, rel=1e-3)
    assert estimate.high == pytest.approx(high, rel=1e-3)


def test_skewed_amounts_reach_further_up_than_down() -> None:
    x = np.random.default_rng(2).lognormal(0.0, 1.0, 300)
    estimate = mean_amount(MoneyState.from_rows(x))
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.high - estimate.value > 1.2 * (estimate.value - estimate.low)


def test_losses_mirror_gains() -> None:
    x = np.random.default_rng(3).lognormal(0.0, 1.0, 300)
    gains, losses = mean_amount(MoneyState.from_rows(x)), mean_amount(MoneyState.from_rows(-x))
    assert gains.low is not None
    assert gains.high is not None
    assert (losses.low, losses.high) == (pytest.approx(-gains.high), pytest.approx(-gains.low))


def test_the_total_is_the_sum_and_scales_with_the_mean() -> None:
    x = np.random.default_rng(4).lognormal(0.0, 1.0, 300)
    state = MoneyState.from_rows(x, weights=np.full(300, 4.0))
    total, mean = total_amount(state), mean_amount(state)
    assert total.value == pytest.approx(4.0 * x.sum())
    assert mean.high is not None
    assert total.high == pytest.approx(1200.0 * mean.high)
    assert mean.high == pytest.approx(mean_amount(MoneyState.from_rows(x)).high)


def exact_largest_share(x: FloatArray) -> float:
    sizes = np.sort(np.abs(x))[::-1]
    return float(sizes[: len(x) // 100].sum() / sizes.sum())


@pytest.mark.parametrize("sigma", [0.5, 2.0, 3.0])
def test_the_largest_share_is_that_of_the_rows_within_a_bin(sigma: float) -> None:
    generator = np.random.default_rng(5)
    x = generator.lognormal(0.0, sigma, 5000) * generator.choice([-1.0, 1.0], 5000)
    assert largest_share(MoneyState.from_rows(x)) == pytest.approx(exact_largest_share(x), rel=0.025)


def test_a_sum_that_few_rows_carry_is_unknown_in_words() -> None:
    generator = np.random.default_rng(6)
    x = generator.lognormal(0.0, 3.5, 5000)
    assert exact_largest_share(x) > 0.55
    for estimate in (mean_amount(MoneyState.from_rows(x)), total_amount(MoneyState.from_rows(x))):
        assert not estimate.is_known
        assert "the largest 1 % of rows carry" in estimate.reason
    assert mean_amount(MoneyState.from_rows(np.sort(x)[:-100])).is_known


def test_an_end_that_would_lie_far_away_is_missing_with_a_reason() -> None:
    x = np.append(np.ones(195), np.full(5, 1000.0))
    gains, losses = mean_amount(MoneyState.from_rows(x)), mean_amount(MoneyState.from_rows(-x))
    assert gains.low is not None
    assert gains.high is None
    assert gains.reason == "a few large values decide it: too few rows for an upper bound"
    assert (losses.low, losses.high) == (None, -gains.low)
    assert "a lower bound" in total_amount(MoneyState.from_rows(-x)).reason


def test_few_amounts_say_how_many_are_missing() -> None:
    assert mean_amount(MoneyState()).reason == "needs 10 more rows with an amount"
    x = np.append(np.zeros(500), np.ones(7))
    assert mean_amount(MoneyState.from_rows(x)).reason == "needs 3 more rows with an amount"


def test_amounts_that_are_no_numbers_are_refused_and_too_large_ones_unknown() -> None:
    with pytest.raises(ValueError, match="finite"):
        MoneyState.from_rows(np.array([1.0, np.nan]))
    with np.errstate(over="ignore"):
        state = MoneyState.from_rows(np.full(20, 1e200))
    assert "too large" in mean_amount(state).reason
