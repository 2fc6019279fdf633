"""Tests of `setpoint.stats.classification`."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit
from sklearn import metrics

from setpoint.stats.classification import (
    BinaryState,
    accuracy,
    base_rate,
    brier,
    f1,
    log_loss,
    mean_score,
    precision,
    recall,
)
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.ranking import auc, auc_bin_bounds
from setpoint.stats.special import FloatArray

Metric = Callable[[BinaryState], Estimate]
Row = tuple[bool, float, bool, int]
rows = st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0), st.booleans(), st.integers(1, 9)), max_size=30)
METRICS: list[Metric] = [
    accuracy,
    precision,
    recall,
    f1,
    auc,
    log_loss,
    brier,
    base_rate,
    mean_score,
]


def state_of(table: list[Row]) -> BinaryState:
    """Return the state of (outcome, score, decision, weight) rows."""
    outcome, score, decision, weight = np.array(table, dtype=np.float64).reshape(-1, 4).T
    return BinaryState.from_rows(outcome, scores=score, decisions=decision, weights=weight)


def assert_same(left: BinaryState, right: BinaryState) -> None:
    """Compare two states up to rounding."""
    for field in fields(left):
        np.testing.assert_allclose(
            getattr(left, field.name), getattr(right, field.name), rtol=1e-9, atol=1e-9, err_msg=field.name
        )


def drawn(generator: np.random.Generator, n: int, shift: float, centre: float = -1.0) -> tuple[FloatArray, FloatArray]:
    """Return outcomes and calibrated scores whose log odds spread like `shift`."""
    scores = np.asarray(expit(generator.normal(centre, shift, n)), dtype=np.float64)
    return (generator.random(n) < scores).astype(np.float64), scores


def number(value: float | None) -> float:
    """Return a number that must be known."""
    assert value is not None
    return value


def covers(estimate: Estimate, truth: float) -> bool:
    """Say whether a bounded interval holds a number."""
    return number(estimate.low) <= truth <= number(estimate.high)


def slow_delong(outcomes: FloatArray, scores: FloatArray) -> tuple[float, float]:
    """Return AUC and DeLong's variance pair by pair, as printed in the paper."""
    positive, negative = scores[outcomes > 0], scores[outcomes == 0]
    kernel = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive])
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    return float(kernel.mean()), float(v10.var(ddof=1) / len(positive) + v01.var(ddof=1) / len(negative))


@settings(deadline=None, derandomize=True)
@given(rows, rows, rows)
def test_merge_is_order_free_and_equals_one_pass(a: list[Row], b: list[Row], c: list[Row]) -> None:
    first, second, third = state_of(a), state_of(b), state_of(c)
    assert_same(first.merge(second).merge(third), first.merge(second.merge(third)))
    assert_same(first.merge(second), second.merge(first))
    assert_same(first.merge(second).merge(third), state_of(a + b + c))
    assert_same(first.merge(BinaryState()), first)


@settings(deadline=None, derandomize=True)
@given(rows)
def test_no_rows_make_a_nan(table: list[Row]) -> None:
    state = state_of(table)
    for metric in METRICS:
        estimate = metric(state)  # an estimate refuses nan when it is made
        assert estimate.is_known or estimate.reason


def test_values_equal_sklearn() -> None:
    generator = np.random.default_rng(1)
    y, scores = drawn(generator, 3000, 1.3)
    weights = generator.choice([1.0, 5.0], 3000)
    yes = (scores > 0.4).astype(np.float64)
    state = BinaryState.from_rows(y, scores=scores, decisions=yes, weights=weights)
    for metric, exact in (
        (accuracy, metrics.accuracy_score(y, yes, sample_weight=weights)),
        (precision, metrics.precision_score(y, yes, sample_weight=weights)),
        (recall, metrics.recall_score(y, yes, sample_weight=weights)),
        (f1, metrics.f1_score(y, yes, sample_weight=weights)),
        (log_loss, metrics.log_loss(y, scores, sample_weight=weights)),
        (brier, metrics.brier_score_loss(y, scores, sample_weight=weights)),
        (base_rate, np.average(y, weights=weights)),
        (mean_score, np.average(scores, weights=weights)),
    ):
        estimate = metric(state)
        assert estimate.value == pytest.approx(exact, rel=1e-9)
        assert covers(estimate, exact)


def test_certain_mistakes_cost_the_clip_not_infinity() -> None:
    y = np.tile([1.0, 0.0], 20)
    state = BinaryState.from_rows(y, scores=1.0 - y)
    assert log_loss(state).value == pytest.approx(-np.log(1e-15), rel=1e-3)
    assert brier(state).value == 1.0
    assert auc(state).value == 0.0


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(20, 300), st.floats(0.05, 4.0))
def test_exact_auc_lies_within_the_bin_bounds_and_the_interval(seed: int, n: int, spread: float) -> None:
    y, scores = drawn(np.random.default_rng(seed), n, spread)
    if not 0 < y.sum() < n:
        return
    state = BinaryState.from_rows(y, scores=scores)
    exact = metrics.roc_auc_score(y, scores)
    low, high = auc_bin_bounds(state)
    assert low - 1e-12 <= exact <= high + 1e-12
    estimate = auc(state)
    if estimate.is_known:
        assert number(estimate.low) - 1e-12 <= exact <= number(estimate.high) + 1e-12
        assert number(estimate.low) <= low <= number(estimate.value) + 1e-12
        assert number(estimate.value) - 1e-12 <= high <= number(estimate.high)


def test_auc_interval_is_delong_on_the_logit_scale() -> None:
    generator = np.random.default_rng(3)
    y = (generator.random(400) < 0.4).astype(np.float64)
    scores = np.clip(np.round(0.3 + 0.2 * y + generator.normal(0.0, 0.2, 400), 1), 0.0, 1.0)
    exact, variance = slow_delong(y, scores)
    estimate = auc(BinaryState.from_rows(y, scores=scores))
    assert auc_bin_bounds(BinaryState.from_rows(y, scores=scores)) == pytest.approx((exact, exact))
    assert estimate.value == pytest.approx(exact)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (exact * (1.0 - exact))
    centre = np.log(exact / (1.0 - exact))
    assert estimate.low == pytest.approx(expit(centre - half), abs=2e-3)
    assert estimate.high == pytest.approx(expit(centre + half), abs=2e-3)


def test_scores_that_are_all_equal_are_ties_not_ignorance() -> None:
    y = np.tile([1.0, 0.0], 50)
    estimate = auc(BinaryState.from_rows(y, scores=np.full(100, 0.37)))
    assert (estimate.value, estimate.low, estimate.high) == (
        0.5,
        pytest.approx(0.5, abs=0.1),
        pytest.approx(0.5, abs=0.1),
    )


def test_a_perfect_ranking_on_few_rows_is_not_certain() -> None:
    y = np.repeat([0.0, 1.0], [200, 12])
    estimate = auc(BinaryState.from_rows(y, scores=0.1 + 0.8 * y))
    assert estimate.value == 1.0
    assert estimate.low == pytest.approx(0.757, abs=0.01)
    assert estimate.high == 1.0


def test_a_ranking_with_one_mistake_is_nearly_as_certain_as_a_perfect_one() -> None:
    y = np.repeat([0.0, 1.0], [200, 200])
    scores = np.round(np.linspace(0.01, 0.99, 400), 6)
    perfect = auc(BinaryState.from_rows(y, scores=scores))
    swapped = scores.copy()
    swapped[[180, 220]] = swapped[[220, 180]]
    estimate = auc(BinaryState.from_rows(y, scores=swapped))
    assert 0.99 < number(estimate.value) < 1.0
    assert number(perfect.low) - 0.03 < number(estimate.low) < number(perfect.low)


@pytest.mark.parametrize(("n", "centre", "spread"), [(200, -2.0, 2.0), (200, 0.0, 1.0), (2000, -3.0, 1.5)])
def test_score_metrics_cover_the_truth(n: int, centre: float, spread: float) -> None:
    generator = np.random.default_rng(12)
    y, scores = drawn(generator, 400_000, spread, centre)
    large = BinaryState.from_rows(y, scores=scores)
    entropy = -(scores * np.log(scores) + (1.0 - scores) * np.log1p(-scores))
    truths: dict[Metric, float] = {
        auc: metrics.roc_auc_score(y, scores),
        log_loss: float(entropy.mean()),
        brier: float((scores * (1.0 - scores)).mean()),
        base_rate: float(scores.mean()),
        mean_score: number(mean_score(large).value),
    }
    hits: dict[Metric, list[bool]] = {metric: [] for metric in truths}
    for _ in range(400):
        few, few_scores = drawn(generator, n, spread, centre)
        state = BinaryState.from_rows(few, scores=few_scores)
        for metric, truth in truths.items():
            estimate = metric(state)
            if estimate.is_known:
                hits[metric].append(covers(estimate, truth))
    coverages = [float(np.mean(hit)) for hit in hits.values()]
    assert min(coverages) > 0.91
    assert 0.93 < float(np.mean(coverages)) < 0.975


def confusion(cells: FloatArray, weights: FloatArray) -> BinaryState:
    """Return the state of rows counted as true positive, false positive, false negative, true negative."""
    weighted, squared = cells * weights, cells * weights**2
    return BinaryState(
        positive_weight=float(weighted[0] + weighted[2]),
        negative_weight=float(weighted[1] + weighted[3]),
        positive_weight_of_squares=float(squared[0] + squared[2]),
        negative_weight_of_squares=float(squared[1] + squared[3]),
        true_positives=float(weighted[0]),
        false_positives=float(weighted[1]),
        false_negatives=float(weighted[2]),
        true_negatives=float(weighted[3]),
    )


@pytest.mark.parametrize("negative_keep", [1.0, 0.1])
@pytest.mark.parametrize("n", [200, 2000])
def test_decision_metrics_cover_the_truth(n: int, negative_keep: float) -> None:
    generator = np.random.default_rng(13)
    weights = np.array([1.0, 1.0 / negative_keep, 1.0, 1.0 / negative_keep])
    kept = np.array([1.0, negative_keep, 1.0, negative_keep])
    coverages: list[float] = []
    for rate, sensitivity, alarm in ((0.3, 0.7, 0.1), (0.5, 0.9, 0.05), (0.15, 0.5, 0.3)):
        p = np.array([rate * sensitivity, (1 - rate) * alarm, rate * (1 - sensitivity), (1 - rate) * (1 - alarm)])
        truths: dict[Metric, float] = {
            accuracy: p[0] + p[3],
            precision: p[0] / (p[0] + p[1]),
            recall: p[0] / (p[0] + p[2]),
            f1: 2 * p[0] / (2 * p[0] + p[1] + p[2]),
            base_rate: rate,
        }
        hits: dict[Metric, list[bool]] = {metric: [] for metric in truths}
        for cells in generator.multinomial(round(n / float(p @ kept)), p, size=400):
            state = confusion(generator.binomial(cells, kept).astype(np.float64), weights)
            for metric, truth in truths.items():
                estimate = metric(state)
                if estimate.is_known:
                    hits[metric].append(covers(estimate, truth))
        coverages += [float(np.mean(hit)) for hit in hits.values()]
    assert min(coverages) > 0.915
    assert 0.94 < float(np.mean(coverages)) < 0.965


@pytest.mark.parametrize("hits", [0, 1, 30, 99, 100])
def test_shares_of_equal_rows_have_wilsons_interval(hits: int) -> None:
    state = confusion(np.array([hits, 0.0, 100.0 - hits, 50.0]), np.full(4, 3.0))
    exact = wilson(hits, 100)
    assert recall(state).low == pytest.approx(exact.low, abs=1e-12)
    assert recall(state).high == pytest.approx(exact.high, abs=1e-12)


def test_missing_rows_are_counted_in_words() -> None:
    y = np.repeat([1.0, 0.0], [3, 50])
    state = BinaryState.from_rows(y, scores=np.linspace(0.1, 0.9, 53), decisions=np.zeros(53))
    assert auc(state).reason == "needs 7 more positive outcomes"
    assert recall(state).reason == "needs 7 more positive outcomes"
    assert f1(state).reason == "needs 7 more positive outcomes"
    assert precision(state).reason == "needs 10 more positive predictions"
    one_short = BinaryState.from_rows(np.repeat([1.0, 0.0], [50, 9]), scores=np.linspace(0.1, 0.9, 59))
    assert auc(one_short).reason == "needs 1 more negative outcome"
    for loss in (brier, log_loss):
        assert loss(state).reason == "needs 7 more positive outcomes"
        assert loss(one_short).reason == "needs 1 more negative outcome"


@pytest.mark.parametrize("metric", METRICS)
def test_empty_window_is_unknown_with_a_reason(metric: Metric) -> None:
    estimate = metric(BinaryState())
    assert not estimate.is_known
    assert estimate.reason


def test_a_model_without_scores_or_without_decisions_says_so() -> None:
    y = np.tile([1.0, 0.0], 50)
    no_scores = BinaryState.from_rows(y, decisions=y)
    assert accuracy(no_scores).value == 1.0
    assert base_rate(no_scores).value == 0.5
    assert "no scores" in brier(no_scores).reason
    no_decisions = BinaryState.from_rows(y, scores=np.full(100, 0.5))
    assert "no decisions" in accuracy(no_decisions).reason
    assert base_rate(no_decisions).value == 0.5


def test_effective_rows_count_not_weights() -> None:
    y = np.repeat([1.0, 0.0], [5, 500])
    state = BinaryState.from_rows(y, scores=np.linspace(0.9, 0.1, 505), weights=np.full(505, 100.0))
    assert auc(state).reason == "needs 5 more positive outcomes"


def test_impossible_states_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted"):
        BinaryState(bin_index=np.array([3, 3]))
    with pytest.raises(ValueError, match="entries"):
        BinaryState(bin_index=np.array([3, 4]), negatives=np.ones(1))
    with pytest.raises(ValueError, match="finite"):
        BinaryState(brier_sum=float("nan"))
    with pytest.raises(ValueError, match="outcomes"):
        BinaryState.from_rows(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="not nan"):
        BinaryState.from_rows(np.array([0.0, 1.0]), scores=np.array([0.5, np.nan]))
