"""Tests of `setpoint.stats.operating_point`."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from setpoint.stats.classification import BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.operating_point import at_budget, at_threshold
from setpoint.stats.special import FloatArray


def drawn(seed: int, rows: int) -> tuple[FloatArray, FloatArray]:
    """Return outcomes and calibrated scores."""
    generator = np.random.default_rng(seed)
    scores = np.asarray(expit(generator.normal(-1.5, 1.5, rows)), dtype=np.float64)
    return (generator.random(rows) < scores).astype(np.float64), scores


def width(estimate: Estimate) -> float:
    """Return how long a bounded interval is."""
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_a_threshold_between_bins_gives_what_sklearn_gives() -> None:
    y, scores = drawn(1, 5000)
    weights = np.random.default_rng(2).choice([1.0, 4.0], 5000)
    point = at_threshold(BinaryState.from_rows(y, scores=scores, weights=weights), 0.5)
    yes = scores >= 0.5
    assert point.precision.value == pytest.approx(metrics.precision_score(y, yes, sample_weight=weights))
    assert point.recall.value == pytest.approx(metrics.recall_score(y, yes, sample_weight=weights))
    assert point.acted_share.value == pytest.approx(np.average(yes, weights=weights))


@pytest.mark.parametrize("threshold", [0.111, 0.3, 0.4567, 0.8])
def test_a_threshold_inside_a_bin_is_held_by_the_interval_and_nearly_hit(threshold: float) -> None:
    y, scores = drawn(3, 5000)
    point = at_threshold(BinaryState.from_rows(y, scores=scores), threshold)
    yes = scores >= threshold
    for estimate, exact in (
        (point.precision, metrics.precision_score(y, yes)),
        (point.recall, metrics.recall_score(y, yes)),
    ):
        assert estimate.value == pytest.approx(exact, abs=0.01)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= exact <= estimate.high


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
def test_a_budget_acts_on_the_highest_rows(share: float) -> None:
    y, scores = drawn(4, 10_000)
    point = at_budget(BinaryState.from_rows(y, scores=scores), share)
    highest = np.argsort(scores)[::-1][: round(share * 10_000)]
    assert point.threshold == pytest.approx(scores[highest[-1]], rel=0.03)
    assert point.acted_share.value == share
    assert point.precision.value == pytest.approx(y[highest].mean(), abs=0.02)
    assert point.recall.value == pytest.approx(y[highest].sum() / y.sum(), abs=0.01)


def test_the_width_at_a_budget_is_that_of_resampled_rows_not_of_a_fixed_threshold() -> None:
    generator = np.random.default_rng(5)
    y, scores = drawn(5, 4000)
    state = BinaryState.from_rows(y, scores=scores)
    point = at_budget(state, 0.3)
    recalls, precisions = [], []
    for _ in range(800):
        rows = generator.integers(0, 4000, 4000)
        highest = rows[np.argsort(scores[rows], kind="stable")[-1200:]]
        recalls.append(y[highest].sum() / y[rows].sum())
        precisions.append(y[highest].mean())
    for estimate, resampled in ((point.recall, recalls), (point.precision, precisions)):
        assert width(estimate) == pytest.approx(2 * 1.96 * np.std(resampled), rel=0.1)
    fixed = wilson(float(np.sum(y * (scores >= point.threshold))), float(y.sum()))
    assert width(point.recall) < 0.9 * width(fixed)


def test_tied_scores_at_the_cut_are_taken_in_proportion() -> None:
    y, scores = np.tile([1.0, 0.0, 0.0, 0.0], 250), np.full(1000, 0.25)
    point = at_budget(BinaryState.from_rows(y, scores=scores), 0.2)
    assert (point.threshold, point.precision.value, point.recall.value) == (0.25, pytest.approx(0.25), 0.2)


def test_sampled_rows_widen_the_intervals() -> None:
    y, scores = drawn(6, 1000)
    once, sampled = (
        at_budget(BinaryState.from_rows(y, scores=scores, weights=weights), 0.2)
        for weights in (None, np.where(np.arange(1000) % 2, 1.0, 9.0))
    )
    assert width(sampled.recall) > 1.1 * width(once.recall)
    scaled = at_budget(BinaryState.from_rows(y, scores=scores, weights=np.full(1000, 9.0)), 0.2)
    assert scaled.recall.low == pytest.approx(once.recall.low)
    assert scaled.precision.high == pytest.approx(once.precision.high)


def test_few_rows_are_unknown_in_words() -> None:
    y = np.repeat([1.0, 0.0], [4, 96])
    state = BinaryState.from_rows(y, scores=np.linspace(0.9, 0.1, 100))
    for point in (at_threshold(state, 0.85), at_budget(state, 0.07)):
        assert point.recall.reason == "needs 6 more positive outcomes"
        assert point.precision.reason == "needs 3 more positive predictions"


@pytest.mark.parametrize("outcomes", [np.zeros(100), np.ones(100)])
def test_one_outcome_only_gives_numbers_or_reasons(outcomes: FloatArray) -> None:
    state = BinaryState.from_rows(outcomes, scores=np.linspace(0.0, 1.0, 100))
    for point in (at_threshold(state, 0.0), at_threshold(state, 1.0), at_budget(state, 0.5)):
        for estimate in (point.precision, point.recall, point.acted_share):
            assert estimate.is_known or estimate.reason
    assert at_budget(state, 0.5).precision.value == pytest.approx(outcomes[0])


def test_no_scores_and_impossible_cuts() -> None:
    assert "no scores" in at_threshold(BinaryState(), 0.5).recall.reason
    assert "no scores" in at_budget(BinaryState(), 0.5).precision.reason
    with pytest.raises(ValueError, match="threshold"):
        at_threshold(BinaryState(), 1.5)
    with pytest.raises(ValueError, match="budget"):
        at_budget(BinaryState(), 0.0)
