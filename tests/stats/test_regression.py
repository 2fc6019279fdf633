"""Tests of `setpoint.stats.regression`."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from setpoint.stats.estimate import Estimate
from setpoint.stats.regression import (
    RegressionState,
    bias,
    mae,
    r_squared,
    rmse,
    skill,
    within_tolerance,
)

Metric = Callable[[RegressionState], Estimate]
rows = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=30)


def state_of(pairs: list[tuple[float, float]]) -> RegressionState:
    """Return the state of (prediction, outcome) pairs."""
    table = np.array(pairs).reshape(-1, 2)
    return RegressionState.from_rows(table[:, 0], table[:, 1], shift=5.0, tolerance=1.0)


def assert_same(left: RegressionState, right: RegressionState) -> None:
    """Compare two states up to rounding."""
    for field in fields(left):
        here, there = getattr(left, field.name), getattr(right, field.name)
        assert here == pytest.approx(there, rel=1e-9, abs=1e-6), field.name


@settings(deadline=None, derandomize=True)
@given(rows, rows, rows)
def test_merge_is_order_free_and_equals_one_pass(
    a: list[tuple[float, float]], b: list[tuple[float, float]], c: list[tuple[float, float]]
) -> None:
    first, second, third = state_of(a), state_of(b), state_of(c)
    assert_same(first.merge(second).merge(third), first.merge(second.merge(third)))
    assert_same(first.merge(second), second.merge(first))
    assert_same(first.merge(second).merge(third), state_of(a + b + c))


def test_states_about_different_shifts_do_not_merge() -> None:
    with pytest.raises(ValueError, match="shift"):
        RegressionState(1.0).merge(RegressionState(2.0))


def test_values_equal_sklearn() -> None:
    generator = np.random.default_rng(4)
    y = generator.normal(1000.0, 3.0, 300)
    prediction = y + generator.normal(0.5, 2.0, 300)
    weights = generator.choice([1.0, 4.0], 300)
    state = RegressionState.from_rows(prediction, y, shift=999.0, weights=weights, tolerance=1.0)
    assert rmse(state).value == pytest.approx(metrics.root_mean_squared_error(y, prediction, sample_weight=weights))
    assert mae(state).value == pytest.approx(metrics.mean_absolute_error(y, prediction, sample_weight=weights))
    assert r_squared(state).value == pytest.approx(metrics.r2_score(y, prediction, sample_weight=weights))
    assert bias(state).value == pytest.approx(np.average(prediction - y, weights=weights))
    near = np.average(np.abs(prediction - y) <= 1.0, weights=weights)
    assert within_tolerance(state).value == pytest.approx(near)
    by_hand = 1.0 - np.average((prediction - y) ** 2, weights=weights) / np.average((y - 990.0) ** 2, weights=weights)
    assert skill(state, 990.0).value == pytest.approx(by_hand)


def test_skill_does_not_depend_on_the_shift() -> None:
    generator = np.random.default_rng(8)
    y = generator.exponential(2.0, 100)
    prediction = y + generator.normal(0.0, 1.0, 100)
    found = [skill(RegressionState.from_rows(prediction, y, shift=s), 1.0) for s in (0.0, 2.0, -3.0)]
    for other in found[1:]:
        assert other.low == pytest.approx(found[0].low)
        assert other.high == pytest.approx(found[0].high)


@pytest.mark.parametrize("rows_total", [200, 2000])
def test_intervals_cover_the_truth(rows_total: int) -> None:
    generator = np.random.default_rng(9)
    mean_absolute = 2.0 * np.sqrt(2.0 / np.pi)
    truths: dict[Metric, float] = {
        rmse: np.sqrt(4.0 + 0.25),
        bias: 0.5,
        r_squared: 1.0 - 4.25 / 9.0,
        lambda state: skill(state, 11.0): 1.0 - 4.25 / 10.0,
        within_tolerance: 0.37218,
    }
    hits = dict.fromkeys(truths, 0)
    centred = 0
    for _ in range(400):
        y = generator.normal(10.0, 3.0, rows_total)
        noise = generator.normal(0.0, 2.0, rows_total)
        state = RegressionState.from_rows(y + noise + 0.5, y, shift=9.0, tolerance=1.0)
        for metric, truth in truths.items():
            estimate = metric(state)
            assert estimate.low is not None
            assert estimate.high is not None
            hits[metric] += estimate.low <= truth <= estimate.high
        absolute = mae(RegressionState.from_rows(y + noise, y))
        assert absolute.low is not None
        assert absolute.high is not None
        centred += absolute.low <= mean_absolute <= absolute.high
    coverages = [count / 400 for count in hits.values()] + [centred / 400]
    assert min(coverages) > 0.92
    assert 0.935 < float(np.mean(coverages)) < 0.97


@pytest.mark.parametrize("metric", [rmse, mae, bias, r_squared, within_tolerance])
def test_empty_window_is_unknown_with_a_reason(metric: Metric) -> None:
    estimate = metric(RegressionState(0.0))
    assert not estimate.is_known
    assert estimate.reason


def test_few_rows_say_how_many_are_missing() -> None:
    state = RegressionState.from_rows(np.arange(4.0), np.zeros(4))
    assert rmse(state).reason == "needs 6 more outcomes"


def test_a_perfect_model_and_a_constant_outcome() -> None:
    y = np.arange(20.0)
    perfect = RegressionState.from_rows(y, y)
    assert (rmse(perfect).value, r_squared(perfect).value) == (0.0, 1.0)
    flat = RegressionState.from_rows(y, np.full(20, 0.1), shift=0.0)
    assert "do not vary" in r_squared(flat).reason
    assert skill(flat, 5.0).is_known


def test_numbers_too_large_to_square_are_unknown_not_nan() -> None:
    state = RegressionState.from_rows(np.full(20, 1e200), np.arange(20.0))
    assert not rmse(state).is_known
    assert not r_squared(state).is_known
    lost = RegressionState(0.0, 20.0, 20.0, float("nan"), float("nan"))
    assert not any(metric(lost).is_known for metric in (rmse, mae, bias, r_squared))
    with pytest.raises(ValueError, match="nan"):
        RegressionState.from_rows(np.array([np.nan]), np.array([1.0]))


def test_one_wild_error_leaves_no_upper_bound_and_says_so() -> None:
    errors = np.append(np.random.default_rng(10).normal(0.0, 1.0, 1999), 1000.0)
    outcomes = np.random.default_rng(11).normal(0.0, 3.0, 2000)
    state = RegressionState.from_rows(outcomes + errors, outcomes)
    assert rmse(state).value == pytest.approx(metrics.root_mean_squared_error(outcomes, outcomes + errors))
    assert rmse(state).high is None
    assert "an upper bound" in rmse(state).reason
    assert r_squared(state).low is None
    assert "a lower bound" in r_squared(state).reason
