"""Tests of `setpoint.stats.intervals`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import (
    difference,
    effective_size,
    gamma_interval,
    mean,
    ratio_of_means,
    variance,
    wilson,
)
from setpoint.stats.special import FloatArray


def covers(estimate: Estimate, truth: float) -> bool:
    """Say whether an interval holds a number, where None is no bound."""
    return (estimate.low is None or estimate.low <= truth) and (estimate.high is None or truth <= estimate.high)


def ratio_of(x: FloatArray, y: FloatArray) -> Estimate:
    """Return the ratio of means of unweighted rows."""
    return ratio_of_means(
        len(x), float(x.sum()), float(y.sum()), sum_xx=float(x @ x), sum_yy=float(y @ y), sum_xy=float(x @ y)
    )


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_statsmodels(counts: tuple[int, int]) -> None:
    estimate = wilson(*counts)
    low, high = proportion_confint(*counts, method="wilson")
    assert estimate.value == pytest.approx(counts[0] / counts[1])
    assert estimate.low == pytest.approx(low, abs=1e-12)
    assert estimate.high == pytest.approx(high, abs=1e-12)


def test_wilson_covers_small_samples() -> None:
    coverages = []
    for n in (10, 30, 200):
        found = [wilson(k, n) for k in range(n + 1)]
        for p in np.linspace(0.05, 0.95, 19):
            hits = np.array([covers(estimate, float(p)) for estimate in found])
            coverages.append(float(stats.binom.pmf(np.arange(n + 1), n, p) @ hits))
    assert 0.94 < float(np.mean(coverages)) < 0.965
    assert min(coverages) > 0.83


def test_wilson_refuses_impossible_counts_and_knows_nothing_of_nothing() -> None:
    assert wilson(0, 0).reason == "no rows in this window"
    with pytest.raises(ValueError, match="successes"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="successes"):
        wilson(-1, 2)
    with pytest.raises(ValueError, match="successes"):
        wilson(float("nan"), 2)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40))
def test_mean_equals_student(values: list[float]) -> None:
    x = np.array(values)
    estimate = mean(float(x.sum()), float(x @ x), len(x), len(x))
    half = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    scale = float(np.abs(x).max()) + 1e-300
    assert estimate.value == pytest.approx(x.mean(), abs=1e-9 * scale)
    assert estimate.high == pytest.approx(x.mean() + half, abs=1e-4 * scale)


def test_mean_of_sampled_rows_is_that_of_the_kept_rows_at_equal_weights() -> None:
    x = np.random.default_rng(1).normal(3.0, 1.0, 50)
    plain = mean(float(x.sum()), float(x @ x), 50, 50)
    weighted = mean(float(7 * x.sum()), float(7 * (x @ x)), 350, 49 * 50)
    assert weighted.value == pytest.approx(plain.value)
    assert weighted.low == pytest.approx(plain.low)


def test_mean_is_unknown_when_it_cannot_be_computed() -> None:
    assert mean(0.0, 0.0, 0.0, 0.0).reason == "needs 2 more rows"
    assert mean(3.0, 9.0, 1.0, 1.0).reason == "needs 1 more rows"
    assert not mean(1e200, float("inf"), 10.0, 10.0).is_known
    assert not mean(float("nan"), 1.0, 10.0, 10.0).is_known


def test_rounding_noise_is_no_variance() -> None:
    x = np.full(1000, 0.1)
    assert variance(float(x.sum()), float(x @ x), 1000) == 0.0


def test_effective_size() -> None:
    assert effective_size(0.0, 0.0) == 0.0
    assert effective_size(10.0, 10.0) == 10.0


@pytest.mark.parametrize(("n", "rate"), [(100, 0.5), (400, 0.1), (2000, 0.8)])
def test_cost_per_success_covers_the_truth(n: int, rate: float) -> None:
    generator = np.random.default_rng(11)
    truth = 0.02 / rate
    hits = 0
    for _ in range(500):
        success = (generator.random(n) < rate).astype(np.float64)
        cost = generator.exponential(0.02, n)
        hits += covers(ratio_of(cost, success), truth)
    assert 0.92 < hits / 500 < 0.98


def test_fieller_solves_its_own_test() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.gamma(2.0, 1.0, 60), generator.gamma(3.0, 1.0, 60)
    estimate = ratio_of(x, y)
    assert estimate.low is not None
    assert estimate.high is not None
    for end in (estimate.low, estimate.high):
        _, p_value = stats.ttest_1samp(x - end * y, 0.0)
        assert p_value == pytest.approx(0.05, abs=1e-9)


def test_ratio_without_a_sure_denominator_has_no_upper_bound() -> None:
    cost, success = np.full(50, 0.02), np.zeros(50)
    success[0] = 1.0
    estimate = ratio_of(cost, success)
    assert estimate.value == pytest.approx(1.0)
    assert estimate.low is not None
    assert 0.0 < estimate.low < 1.0
    assert estimate.high is None
    assert "upper" in estimate.reason


def test_ratio_of_two_noises_has_no_bounds_at_all() -> None:
    generator = np.random.default_rng(3)
    estimate = ratio_of(generator.normal(0.0, 1.0, 10), generator.normal(0.05, 1.0, 10))
    assert (estimate.low, estimate.high) == (None, None)
    assert "lower or upper" in estimate.reason


def test_ratio_is_unknown_without_success_or_rows() -> None:
    assert "success" in ratio_of(np.full(50, 0.02), np.zeros(50)).reason
    assert "more rows" in ratio_of(np.zeros(0), np.zeros(0)).reason
    assert not ratio_of_means(9, 1.0, float("nan"), sum_xx=1.0, sum_yy=1.0, sum_xy=1.0).is_known


@pytest.mark.parametrize("rows", [3, 40, 5000])
def test_the_gamma_interval_of_squared_normal_errors_is_the_chi_square_interval(rows: int) -> None:
    low, high = gamma_interval(2.5, 2.0 / rows)
    assert low == pytest.approx(2.5 * rows / stats.chi2.ppf(0.975, rows))
    assert high == pytest.approx(2.5 * rows / stats.chi2.ppf(0.025, rows))


def test_the_gamma_interval_tends_to_the_normal_one_and_ends_where_a_row_decides() -> None:
    low, high = gamma_interval(2.0, 1e-9)
    assert (low, high) == pytest.approx((2.0 * (1 - 1.96 * 1e-9**0.5), 2.0 * (1 + 1.96 * 1e-9**0.5)), rel=1e-7)
    assert gamma_interval(2.0, 0.0) == (2.0, 2.0)
    assert gamma_interval(0.0, 1.0) == (0.0, 0.0)
    widths = []
    for relative_variance in (1e-13, 1e-11, 1e-3, 1.0, 2.0):
        low, high = gamma_interval(2.0, relative_variance)
        assert 0.0 <= low <= 2.0 <= high < np.inf
        widths.append(high - low)
    assert widths == sorted(widths)
    assert gamma_interval(2.0, 2.1) == gamma_interval(2.0, 1e9) == (0.0, np.inf)


@pytest.mark.parametrize(("a", "n", "b", "m"), [(0, 100, 10, 100), (56, 70, 48, 80), (9, 10, 3, 10)])
def test_the_difference_of_two_shares_is_newcombes(a: int, n: int, b: int, m: int) -> None:
    low, high = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff")
    found = difference(wilson(a, n), wilson(b, m))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_a_difference_of_what_is_not_known_is_not_known_and_a_missing_end_stays_missing() -> None:
    assert difference(Estimate.unknown("no rows"), wilson(1, 2)).reason == "no rows"
    half = difference(Estimate(2.0, 1.0, None, "few rows"), Estimate(1.0, 0.5, 1.5))
    assert half.high is None
    assert half.low == pytest.approx(1.0 - np.hypot(1.0, 0.5))
