"""Tests of `setpoint.stats.calibration`."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson

from setpoint.stats.calibration import (
    brier_decomposition,
    calibration_error,
    calibration_in_the_large,
    observed_to_expected,
    reliability,
)
from setpoint.stats.classification import BinaryState
from setpoint.stats.special import FloatArray

Distortion = Callable[[FloatArray], FloatArray]


def truth(z: FloatArray, rates: FloatArray, groups: int) -> float:
    """Return the error over groups of equal size, had every rate been known."""
    order = np.argsort(z)
    gaps = (np.asarray(expit(z)) - rates)[order]
    return sum(abs(float(part.sum())) for part in np.array_split(gaps, groups)) / len(z)


@pytest.mark.parametrize("n", [200, 2000])
def test_interval_covers_honest_shifted_overconfident_and_local_errors(n: int) -> None:
    generator = np.random.default_rng(21)
    distortions: list[Distortion] = [
        lambda z: np.asarray(expit(z)),
        lambda z: np.asarray(expit(z + 0.4)),
        lambda z: np.asarray(expit(0.6 * z)),
        lambda z: np.asarray(np.clip(expit(z) - 0.15 * (z > np.quantile(z, 0.9)), 0.0, 1.0), np.float64),
    ]
    coverages = []
    for distort in distortions:
        hits = 0
        for _ in range(100):
            z = generator.normal(-1.0, 1.3, n)
            rates = distort(z)
            outcomes = (generator.random(n) < rates).astype(np.float64)
            estimate = calibration_error(BinaryState.from_rows(outcomes, scores=np.asarray(expit(z))))
            exact = truth(z, rates, min(15, n // 20))
            assert estimate.low is not None
            assert estimate.high is not None
            hits += estimate.low - 1e-3 <= exact <= estimate.high + 1e-3
        coverages.append(hits / 100)
    assert min(coverages) >= 0.92


def test_a_calibrated_model_reads_far_less_than_the_raw_sum_of_gaps() -> None:
    generator = np.random.default_rng(22)
    values, raw = [], []
    for _ in range(40):
        z = np.sort(generator.normal(-1.0, 1.3, 2000))
        scores = np.asarray(expit(z))
        outcomes = (generator.random(2000) < scores).astype(np.float64)
        estimate = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
        assert estimate.value is not None
        values.append(estimate.value)
        raw.append(truth(z, outcomes, 15))
    assert float(np.mean(values)) < 0.5 * float(np.mean(raw))


def test_a_large_error_is_found_and_the_answer_repeats() -> None:
    scores = np.repeat(np.linspace(0.55, 0.95, 20), 500)
    outcomes = np.tile([1.0, 0.0], 5000)
    state = BinaryState.from_rows(outcomes, scores=scores)
    estimate = calibration_error(state)
    assert estimate.value == pytest.approx(0.25, abs=0.01)
    assert estimate == calibration_error(state)


def test_sampled_rows_widen_the_interval() -> None:
    generator = np.random.default_rng(23)
    scores = generator.random(1000)
    outcomes = (generator.random(1000) < scores**2).astype(np.float64)
    once = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
    scaled = calibration_error(BinaryState.from_rows(outcomes, scores=scores, weights=np.full(1000, 9.0)))
    assert scaled.value == pytest.approx(once.value)
    assert scaled.high == pytest.approx(once.high)


def test_extreme_scores_and_one_class_give_numbers_not_nan() -> None:
    for outcomes in (np.zeros(200), np.ones(200), np.tile([1.0, 0.0], 100)):
        for scores in (np.zeros(200), np.ones(200), np.full(200, 0.5), np.tile([0.0, 1.0], 100)):
            estimate = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
            plain = abs(float((scores - outcomes).mean())) if len(np.unique(scores)) == 1 else None
            assert estimate.is_known
            if plain is not None:
                assert estimate.value == pytest.approx(plain, abs=0.06)


def test_few_rows_say_how_many_are_missing() -> None:
    assert calibration_error(BinaryState()).reason == "needs 100 more outcomes with a score"
    state = BinaryState.from_rows(np.zeros(60), scores=np.full(60, 0.2))
    assert calibration_error(state).reason == "needs 40 more outcomes with a score"


def simulated(seed: int, n: int, off: float = 0.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return outcomes, scores and true rates; the scores' log odds are `off` too high."""
    generator = np.random.default_rng(seed)
    z = generator.normal(-1.0, 1.3, n)
    rates = np.asarray(expit(z - off), dtype=np.float64)
    return (generator.random(n) < rates).astype(np.float64), np.asarray(expit(z), dtype=np.float64), rates


def test_the_reliability_table_is_that_of_sklearn_at_equal_mass() -> None:
    y, scores, _ = simulated(31, 30_000)
    table = reliability(BinaryState.from_rows(y, scores=scores))
    rates, means = calibration_curve(y, scores, n_bins=15, strategy="quantile")
    assert [group.mean_score for group in table] == pytest.approx(means, abs=0.01)
    assert [group.rate.value for group in table] == pytest.approx(rates, abs=0.02)
    assert sum(group.weight for group in table) == 30_000
    assert max(group.weight for group in table) < 1.2 * min(group.weight for group in table)
    assert [group.highest_score for group in table[:-1]] < [group.lowest_score for group in table[1:]]


def test_the_rate_of_a_group_has_wilsons_interval() -> None:
    y, scores, _ = simulated(32, 600)
    for group in reliability(BinaryState.from_rows(y, scores=scores), groups=5):
        assert group.rate.value is not None
        low, high = proportion_confint(group.rate.value * group.weight, group.weight, method="wilson")
        assert (group.rate.low, group.rate.high) == (pytest.approx(low), pytest.approx(high))
    assert reliability(BinaryState()) == []


def test_the_parts_of_brier_add_up_and_are_unbiased_where_the_plain_ones_are_not() -> None:
    found, plain = [], []
    generator = np.random.default_rng(33)
    scores = np.repeat(np.linspace(0.05, 0.95, 10), 30)
    rates = scores**1.5
    for _ in range(400):
        y = (generator.random(300) < rates).astype(np.float64)
        parts = brier_decomposition(BinaryState.from_rows(y, scores=scores))
        assert parts is not None
        total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_groups
        assert total == pytest.approx(brier_score_loss(y, scores))
        assert parts.within_groups == pytest.approx(0.0, abs=1e-12)
        found.append((parts.reliability, parts.resolution, parts.uncertainty))
        plain.append(float(np.mean((scores - np.repeat(y.reshape(10, 30).mean(axis=1), 30)) ** 2)))
    base = float(rates.mean())
    truths = (float(np.mean((scores - rates) ** 2)), float(np.mean((rates - base) ** 2)), base * (1.0 - base))
    assert np.mean(found, axis=0) == pytest.approx(truths, rel=0.05)
    assert np.mean(plain) > 1.3 * truths[0]


def test_the_parts_need_rows() -> None:
    assert brier_decomposition(BinaryState.from_rows(np.zeros(99), scores=np.full(99, 0.2))) is None


def test_calibration_in_the_large_is_a_mean_difference_with_its_sign() -> None:
    y, scores, _ = simulated(34, 20_000, off=0.4)
    gap = calibration_in_the_large(BinaryState.from_rows(y, scores=scores))
    low, high = stats.t.interval(0.95, len(y) - 1, np.mean(scores - y), stats.sem(scores - y))
    assert gap.value == pytest.approx(np.mean(scores - y))
    assert (gap.low, gap.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert gap.low is not None
    assert gap.low > 0.0
    under = calibration_in_the_large(BinaryState.from_rows(1.0 - y, scores=1.0 - scores))
    assert under.value == pytest.approx(-np.mean(scores - y))
    assert under.high is not None
    assert under.high < 0.0


def test_observed_to_expected_is_close_to_the_poisson_interval_for_rare_outcomes() -> None:
    generator = np.random.default_rng(35)
    scores = np.full(50_000, 0.002)
    y = (generator.random(50_000) < 0.002).astype(np.float64)
    ratio = observed_to_expected(BinaryState.from_rows(y, scores=scores))
    low, high = confint_poisson(y.sum(), 100.0, method="exact-c")
    assert ratio.value == pytest.approx(y.sum() / 100.0)
    assert (ratio.low, ratio.high) == (pytest.approx(low, rel=0.03), pytest.approx(high, rel=0.03))


def test_over_and_under_forecast_are_unknown_on_few_outcomes() -> None:
    y = np.repeat([1.0, 0.0], [9, 200])
    state = BinaryState.from_rows(y, scores=np.linspace(0.3, 0.1, 209))
    for measure in (calibration_in_the_large, observed_to_expected):
        assert measure(state).reason == "needs 1 more positive outcome"
        assert "no scores" in measure(BinaryState()).reason
    zero = BinaryState.from_rows(np.tile([1.0, 0.0], 20), scores=np.zeros(40))
    assert "nothing was expected" in observed_to_expected(zero).reason


def test_over_and_under_forecast_cover_the_truth_when_one_outcome_is_sampled() -> None:
    generator = np.random.default_rng(36)
    hits = np.zeros(2)
    for _ in range(500):
        z = generator.normal(-2.5, 1.0, 4000)
        y = (generator.random(4000) < expit(z)).astype(np.float64)
        kept = (y > 0.0) | (generator.random(4000) < 0.1)
        weights = np.where(y > 0.0, 1.0, 10.0)[kept]
        state = BinaryState.from_rows(y[kept], scores=np.asarray(expit(z))[kept], weights=weights)
        for number, (measure, truth) in enumerate(((calibration_in_the_large, 0.0), (observed_to_expected, 1.0))):
            estimate = measure(state)
            assert estimate.low is not None
            assert estimate.high is not None
            hits[number] += estimate.low <= truth <= estimate.high
    assert ((hits / 500 > 0.925) & (hits / 500 < 0.975)).all()
