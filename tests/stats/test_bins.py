"""Tests of `setpoint.stats.bins`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from setpoint.stats.bins import (
    log_bin,
    log_bin_edges,
    quantile_from_log_bins,
    quantile_from_value_bins,
    score_bin,
    score_bin_middle,
    value_bin,
    value_bin_edges,
    value_bin_middle,
)
from setpoint.stats.special import FloatArray, IntArray

SLACK = 1e-9
"""A value within rounding of an edge may fall on either side of it."""

positive = st.floats(min_value=1e-20, max_value=1e20)
real = st.one_of(st.just(0.0), st.floats(min_value=-1e20, max_value=1e20), st.integers(-50, 50).map(float))
probabilities = st.floats(min_value=0.01, max_value=0.99)


def counted(bins: IntArray) -> tuple[IntArray, FloatArray]:
    """Return distinct bins and how often each occurs."""
    index, counts = np.unique(bins, return_counts=True)
    return index, counts.astype(np.float64)


def within(x: float, low: float | None, high: float | None) -> bool:
    """Say whether a number lies inside bounds, up to rounding, where None is no bound."""
    slack = SLACK * abs(x)
    return (low is None or low - slack <= x) and (high is None or x <= high + slack)


def order_statistic(values: list[float], probability: float) -> float:
    """Return the smallest value with at least this share of the rows at or below it."""
    return sorted(values)[max(math.ceil(probability * len(values) - 1e-9), 1) - 1]


@settings(deadline=None, derandomize=True)
@given(positive)
def test_a_positive_number_lies_inside_its_log_bin(x: float) -> None:
    low, high = log_bin_edges(log_bin(np.array([x])))
    assert within(x, float(low[0]), float(high[0]))


@settings(deadline=None, derandomize=True)
@given(real, st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_number_lies_inside_its_value_bin(x: float, center: float, scale: float) -> None:
    low, high = value_bin_edges(value_bin(np.array([x]), center, scale), center, scale)
    slack = 1e-9 * (abs(x) + abs(center) + scale)
    assert low[0] - slack <= x <= high[0] + slack


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=50))
def test_value_bins_rise_with_the_value(values: list[float]) -> None:
    assert bool(np.all(np.diff(value_bin(np.sort(np.array(values)))) >= 0))


def test_value_bins_cover_the_line_without_gaps() -> None:
    index = np.arange(-64, 64)
    low, high = value_bin_edges(index, 3.0, 2.0)
    assert bool(np.all(low < high))
    assert bool(np.all(high[:-1] == low[1:]))
    assert value_bin(value_bin_middle(index, 3.0, 2.0), 3.0, 2.0).tolist() == index.tolist()
    ends = value_bin(np.array([-np.inf, -1e300, 0.0, -0.0, 5e-324, 1e300, np.inf]))
    assert ends.tolist() == [-64, -64, 0, 0, 0, 63, 63]


def test_score_bins_cover_the_unit_interval_and_keep_their_middle() -> None:
    index = np.arange(-600, 601)
    assert score_bin(score_bin_middle(index)).tolist() == index.tolist()
    assert score_bin(np.array([0.0, 1e-300, 0.5, 1.0 - 1e-16, 1.0])).tolist() == [-640, -640, 0, 639, 639]


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_bad_scores_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        score_bin(np.array([0.5, bad]))


def test_nan_falls_into_no_bin() -> None:
    with pytest.raises(ValueError, match="nan"):
        value_bin(np.array([np.nan]))
    with pytest.raises(ValueError, match="nan"):
        log_bin(np.array([np.nan]))


@settings(deadline=None, derandomize=True)
@given(st.lists(positive, min_size=1, max_size=80), probabilities)
def test_log_quantile_interval_holds_the_true_order_statistic(values: list[float], p: float) -> None:
    index, counts = counted(log_bin(np.array(values)))
    estimate = quantile_from_log_bins(index, counts, p)
    exact = order_statistic(values, p)
    assert within(exact, estimate.low, estimate.high)
    assert estimate.value == pytest.approx(exact, rel=0.0222)


@settings(deadline=None, derandomize=True)
@given(st.lists(real, min_size=1, max_size=80), probabilities)
def test_value_quantile_interval_holds_the_true_order_statistic(values: list[float], p: float) -> None:
    center, scale = float(np.median(values)), float(np.ptp(values)) or 1.0
    if math.isfinite(scale):
        index, counts = counted(value_bin(np.array(values), center, scale))
        estimate = quantile_from_value_bins(index, counts, p, min(values), max(values), center=center, scale=scale)
        exact = order_statistic(values, p)
        assert within(exact, estimate.low, estimate.high)
        assert estimate.value == pytest.approx(exact, rel=1e-6, abs=0.07 * scale)


def test_constant_column_answers_exactly() -> None:
    estimate = quantile_from_value_bins(np.array([63]), np.array([100.0]), 0.3, 71.5, 71.5)
    assert (estimate.value, estimate.low, estimate.high) == (71.5, 71.5, 71.5)


@pytest.mark.parametrize(("rows", "p"), [(50, 0.99), (8, 0.5), (1000, 0.01), (3000, 0.999), (20_000, 0.5)])
def test_interval_ranks_are_the_exact_binomial_ones(rows: int, p: float) -> None:
    index = np.arange(rows)
    estimate = quantile_from_log_bins(index, np.ones(rows), p)
    low_rank = int(stats.binom.ppf(0.025, rows, p))
    high_rank = int(stats.binom.ppf(0.975, rows, p)) + 1
    low_rank += 0 if stats.binom.cdf(low_rank, rows, p) > 0.025 else 1
    low, high = log_bin_edges(np.array([low_rank - 1, high_rank - 1]))
    assert estimate.low == (pytest.approx(low[0]) if low_rank >= 1 else None)
    assert estimate.high == (pytest.approx(high[1]) if high_rank <= rows else None)
    assert bool(estimate.reason) == (low_rank < 1 or high_rank > rows)


def test_quantile_interval_covers_the_truth() -> None:
    generator = np.random.default_rng(5)
    for rows, p in ((50, 0.5), (200, 0.9), (500, 0.99)):
        truth = float(np.exp(stats.norm.ppf(p)))
        hits = 0
        for _ in range(400):
            index, counts = counted(log_bin(np.exp(generator.normal(size=rows))))
            estimate = quantile_from_log_bins(index, counts, p)
            hits += within(truth, estimate.low, estimate.high)
        assert hits / 400 > 0.93


def test_sampled_rows_widen_the_interval_and_keep_the_value() -> None:
    index, counts = counted(log_bin(np.linspace(1.0, 2.0, 400)))
    whole = quantile_from_log_bins(index, counts * 10, 0.5)
    sampled = quantile_from_log_bins(index, counts * 10, 0.5, weight_of_squares=400 * 100.0)
    alone = quantile_from_log_bins(index, counts, 0.5)
    assert sampled == alone
    assert whole.value == pytest.approx(sampled.value)
    assert whole.high is not None
    assert sampled.high is not None
    assert whole.high < sampled.high


def test_empty_window_is_unknown_and_bad_arguments_are_refused() -> None:
    none, zero = np.zeros(0, np.int64), np.zeros(0)
    assert quantile_from_log_bins(none, zero, 0.5).reason == "no rows in this window"
    assert quantile_from_log_bins(np.array([3]), np.array([0.0]), 0.5).value is None
    assert quantile_from_value_bins(none, zero, 0.5, math.nan, math.nan).value is None
    with pytest.raises(ValueError, match="probability"):
        quantile_from_log_bins(np.array([3]), np.array([1.0]), 1.0)
    with pytest.raises(ValueError, match="minimum"):
        quantile_from_value_bins(np.array([3]), np.array([1.0]), 0.5, 2.0, 1.0)
