"""Two versions' successes and costs: equal to the textbook's formulas, and sure only of what units show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from setpoint.stats.intervals import ratio_of_means
from setpoint.stats.special import student_t_quantile
from setpoint.stats.worth import COST, COST_BEFORE, EXTRA_COST, GAIN, Means, means


def drawn(generator: np.random.Generator, first: int = 400, second: int = 600) -> np.ndarray:
    sums = np.zeros((first + second, 6))
    sums[:first, 0], sums[first:, 3] = 1.0, 1.0
    sums[:first, 1], sums[first:, 4] = generator.random(first) < 0.8, generator.random(second) < 0.6
    sums[:first, 2], sums[first:, 5] = generator.gamma(2.0, 2.0, first), generator.gamma(2.0, 0.5, second)
    return sums


def test_drawn_units_give_the_variances_of_two_samples() -> None:
    sums = drawn(np.random.default_rng(1))
    found = means(sums)
    one, other = sums[:400], sums[400:]
    assert found.values.tolist() == pytest.approx(
        [one[:, 1].mean(), one[:, 2].mean(), other[:, 4].mean(), other[:, 5].mean()]
    )
    variance = one[:, 2].var() / 400 + other[:, 5].var() / 600
    extra = found.contrast(EXTRA_COST)
    assert extra.high is not None
    assert extra.value is not None
    half = student_t_quantile(0.975, 399.0) * math.sqrt(variance * 400 / 399)
    assert extra.high - extra.value == pytest.approx(half)


def test_pairs_cancel_what_both_versions_share() -> None:
    generator = np.random.default_rng(2)
    shared = generator.gamma(2.0, 2.0, 500)
    right = (generator.random(500) < 0.7).astype(float)
    sums = np.column_stack([np.ones(500), right, shared + 0.1, np.ones(500), right, shared])
    extra = means(sums).contrast(EXTRA_COST)
    assert extra.low == pytest.approx(0.1)
    assert extra.high == pytest.approx(0.1)


def test_fieller_of_one_arm_is_the_ratio_of_means() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.gamma(2.0, 1.0, 300), generator.gamma(9.0, 1.0, 300)
    sums = np.column_stack([np.ones(300), np.zeros(300), x, np.ones(300), np.zeros(300), y])
    mine = means(sums).ratio(COST, COST_BEFORE)
    theirs = ratio_of_means(300, x.sum(), y.sum(), sum_xx=float(x @ x), sum_yy=float(y @ y), sum_xy=float(x @ y))
    assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_the_ends_of_fieller_are_the_values_at_which_the_net_benefit_cannot_be_told_from_none() -> None:
    found = means(drawn(np.random.default_rng(4)))
    ratio = found.ratio(EXTRA_COST, GAIN)
    assert ratio.low is not None
    assert ratio.high is not None
    assert found.net_benefit(ratio.high).low == pytest.approx(0.0, abs=1e-9)
    assert found.net_benefit(ratio.low).high == pytest.approx(0.0, abs=1e-9)


def test_rows_of_a_unit_are_evidence_once() -> None:
    sums = drawn(np.random.default_rng(5))
    once, tenfold = means(sums), means(sums * 10.0)
    assert once.covariance == pytest.approx(tenfold.covariance)
    assert once.degrees == tenfold.degrees


def test_a_hundred_rows_without_an_error_are_no_proof_of_none() -> None:
    sums = np.tile([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], (100, 1))
    gain = means(sums).contrast(GAIN)
    assert gain.low is not None
    assert gain.low < -0.02


def test_a_gain_that_may_be_none_has_no_bounded_price() -> None:
    found = Means(np.array([0.51, 2.0, 0.50, 1.0]), np.diag([1e-4, 1e-4, 1e-4, 1e-4]), 500.0)
    assert found.ratio(EXTRA_COST, GAIN).high is None
    assert "no" in found.ratio(EXTRA_COST, GAIN).reason
