"""Estimates before outcomes: they hold what comes true when the concept is unchanged, and are blind when it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from setpoint.stats import classification, ranking
from setpoint.stats.classification import BinaryState
from setpoint.stats.estimation import METRICS, Expected, ScoreHistogram, expected_quality, measured_quality
from setpoint.stats.loss_estimation import LossCurve, LossHistogram, expected_loss
from setpoint.stats.score_map import OutcomeHistogram, calibrate, long_run_sum, missing_outcomes
from setpoint.stats.special import FloatArray, IntArray, expit

MEASURED: dict[str, Callable[[BinaryState], classification.Estimate]] = {
    "auc": ranking.auc,
    "accuracy": classification.accuracy,
    "precision": classification.precision,
    "recall": classification.recall,
    "f1": classification.f1,
    "log_loss": classification.log_loss,
    "brier": classification.brier,
    "base_rate": classification.base_rate,
}
THRESHOLD = 0.3


@dataclass(frozen=True)
class World:
    """Rows whose scores come true as a function of their log odds says, with a cause that all rows of a day share."""

    log_odds_true: Callable[[FloatArray], FloatArray] = lambda log_odds: log_odds
    mean: float = -1.2
    shock: float = 0.0

    def rows(self, rng: np.random.Generator, count: int, days: int, moved: float = 0.0) -> tuple[FloatArray, ...]:
        log_odds = rng.normal(self.mean + moved, 1.2, count)
        day = np.arange(count) * days // count
        chance = expit(self.log_odds_true(log_odds) + rng.normal(0.0, 1.0, days)[day] * self.shock)
        return expit(log_odds), (rng.random(count) < chance).astype(np.float64), day.astype(np.float64)


def decided(scores: FloatArray) -> IntArray:
    return (scores >= THRESHOLD).astype(np.int64)


def learned_from(scores: FloatArray, outcomes: FloatArray, day: FloatArray) -> OutcomeHistogram:
    return OutcomeHistogram.from_rows(scores, outcomes, groups=day.astype(np.int64), decisions=decided(scores))


def value(found: Expected | str | float) -> float:
    assert isinstance(found, Expected)
    return found.value


WORLDS = {
    "calibrated": World(),
    "overconfident": World(lambda log_odds: 0.5 * log_odds),
    "bent, rare": World(lambda log_odds: np.where(log_odds < -1.0, 0.3 * log_odds - 0.8, 1.2 * log_odds), mean=-3.0),
    "days that differ": World(lambda log_odds: log_odds - 0.5, shock=0.4),
}


@pytest.mark.parametrize("moved", [0.0, 0.7])
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_hold_what_comes_true_when_the_concept_is_unchanged(name: str, moved: float) -> None:
    rng, world, windows = np.random.default_rng(1), WORLDS[name], 120
    held: dict[str, list[bool]] = {metric: [] for metric in METRICS}
    for _ in range(windows):
        learned = calibrate(learned_from(*world.rows(rng, 3000, 28)))
        scores, outcomes, _ = world.rows(rng, 1000, 7, moved)
        histogram = ScoreHistogram.from_rows(scores, decisions=decided(scores))
        state = BinaryState.from_rows(outcomes, scores=scores, decisions=decided(scores).astype(np.float64))
        for metric, found in expected_quality(histogram, learned, days=7.0).items():
            truth = MEASURED[metric](state).value
            if isinstance(found, Expected) and truth is not None:
                held[metric].append((found.estimate.low or 0.0) <= truth <= (found.estimate.high or 0.0))
    coverage = {metric: np.mean(one) for metric, one in held.items() if len(one) > windows / 2}
    assert len(coverage) == len(METRICS)
    assert min(coverage.values()) >= 0.89, coverage  # 120 windows: two standard errors below 95 % are 91 %
    assert np.mean(list(coverage.values())) >= 0.94


def test_rows_of_a_day_that_share_causes_make_plain_intervals_too_narrow() -> None:
    rng, world = np.random.default_rng(2), WORLDS["days that differ"]
    held = {None: 0, 7.0: 0}
    for _ in range(60):
        learned = calibrate(learned_from(*world.rows(rng, 3000, 28)))
        scores, outcomes, _ = world.rows(rng, 3000, 7)
        for days in held:
            found = expected_quality(ScoreHistogram.from_rows(scores), learned, ["base_rate"], days=days)["base_rate"]
            assert isinstance(found, Expected)
            low, high = found.interval(0.025)
            held[days] += low <= outcomes.mean() <= high
    assert held[None] < 50 < held[7.0]


def test_an_estimate_is_blind_to_a_changed_concept() -> None:
    rng = np.random.default_rng(3)
    learned = calibrate(learned_from(*WORLDS["calibrated"].rows(rng, 20_000, 28)))
    scores, outcomes, _ = World(lambda log_odds: 0.2 * log_odds - 1.0).rows(rng, 5000, 7)
    found = expected_quality(ScoreHistogram.from_rows(scores), learned, ["auc"], days=7.0)["auc"]
    assert isinstance(found, Expected)
    truth = ranking.auc(BinaryState.from_rows(outcomes, scores=scores)).value or 0.0
    assert found.value > 0.75  # as before the change
    assert truth < found.interval(0.001)[0]


def test_what_is_expected_is_the_mean_over_all_outcomes_that_may_come() -> None:
    rng = np.random.default_rng(4)
    learned = calibrate(learned_from(*WORLDS["overconfident"].rows(rng, 5000, 28)))
    scores = expit(rng.normal(-1.0, 1.2, 400))
    said = decided(scores)
    found = expected_quality(ScoreHistogram.from_rows(scores, decisions=said), learned)
    bins = ScoreHistogram.from_rows(scores).bin_index
    chance = learned.probabilities(bins[np.searchsorted(bins, np.floor(32 * np.log(scores / (1 - scores))))])
    drawn: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for _ in range(400):
        outcomes = (rng.random(400) < chance).astype(np.float64)
        state = BinaryState.from_rows(outcomes, scores=scores, decisions=said.astype(np.float64))
        for metric, measure in MEASURED.items():
            drawn[metric].append(measure(state).value or 0.0)
    for metric, values in drawn.items():
        one = found[metric]
        assert isinstance(one, Expected)
        error = np.std(values) / np.sqrt(len(values))
        assert abs(one.value - np.mean(values)) < 3.5 * error + 0.002, metric
        assert one.outcome_variance == pytest.approx(np.var(values), rel=0.25), metric


def test_two_windows_merge_into_one() -> None:
    rng = np.random.default_rng(5)
    scores, outcomes, day = World().rows(rng, 2000, 14)
    first, rest = slice(0, 700), slice(700, None)
    whole = learned_from(scores, outcomes, day)
    parts = learned_from(scores[first], outcomes[first], day[first]).merge(
        learned_from(scores[rest], outcomes[rest], day[rest])
    )
    ahead, later = (ScoreHistogram.from_rows(scores[one], decisions=decided(scores[one])) for one in (first, rest))
    together = expected_quality(ahead.merge(later), calibrate(parts), days=7.0)
    expected = expected_quality(ScoreHistogram.from_rows(scores, decisions=decided(scores)), calibrate(whole), days=7.0)
    for metric in METRICS:
        one, other = together[metric], expected[metric]
        assert isinstance(one, Expected)
        assert isinstance(other, Expected)
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-9)


def test_measured_quality_is_that_of_the_rows() -> None:
    scores, outcomes, day = World().rows(np.random.default_rng(6), 3000, 7)
    measured = measured_quality(learned_from(scores, outcomes, day))
    state = BinaryState.from_rows(outcomes, scores=scores, decisions=decided(scores).astype(np.float64))
    for metric, measure in MEASURED.items():
        assert measured[metric] == pytest.approx(measure(state).value, abs=2e-4), metric


def test_a_row_of_weight_two_is_two_rows_that_tell_as_much_as_one() -> None:
    scores, outcomes, day = World().rows(np.random.default_rng(7), 4000, 28)
    twice = np.full(4000, 2.0)
    groups = day.astype(np.int64)
    plain = calibrate(OutcomeHistogram.from_rows(scores, outcomes, groups=groups))
    heavy = calibrate(OutcomeHistogram.from_rows(scores, outcomes, groups=groups, weights=twice))
    one = expected_quality(ScoreHistogram.from_rows(scores), plain, ["auc", "base_rate"], days=28.0)
    two = expected_quality(ScoreHistogram.from_rows(scores, weights=twice), heavy, ["auc", "base_rate"], days=28.0)
    for metric in ("auc", "base_rate"):
        first, second = one[metric], two[metric]
        assert isinstance(first, Expected)
        assert isinstance(second, Expected)
        assert first.value == pytest.approx(second.value)
        assert first.standard_error == pytest.approx(second.standard_error)


def test_few_outcomes_leave_the_map_near_the_score() -> None:
    rng = np.random.default_rng(8)
    scores = expit(rng.normal(-1.0, 1.0, 200))
    learned = calibrate(OutcomeHistogram.from_rows(scores, (rng.random(200) < scores).astype(np.float64)))
    at = np.array([-80, -32, 0, 32])
    assert np.max(np.abs(learned.curve(at) - expit((at + 0.5) / 32))) < 0.12


def test_scores_that_are_rounded_each_have_their_own_rate() -> None:
    rng = np.random.default_rng(9)
    scores = rng.choice([0.1, 0.2, 0.3, 0.8, 0.9], 20_000)
    rates = {0.1: 0.3, 0.2: 0.05, 0.3: 0.4, 0.8: 0.5, 0.9: 0.95}
    outcomes = (rng.random(20_000) < np.vectorize(rates.get)(scores)).astype(np.float64)
    learned = calibrate(OutcomeHistogram.from_rows(scores, outcomes))
    for score, rate in rates.items():
        at = ScoreHistogram.from_rows(np.array([score])).bin_index
        assert learned.probabilities(at)[0] == pytest.approx(rate, abs=0.03)


def test_a_score_that_ranks_upside_down_is_said_to() -> None:
    rng = np.random.default_rng(10)
    scores = expit(rng.normal(0.0, 1.0, 10_000))
    learned = calibrate(OutcomeHistogram.from_rows(scores, (rng.random(10_000) > scores).astype(np.float64)))
    assert value(expected_quality(ScoreHistogram.from_rows(scores), learned, ["auc"])["auc"]) < 0.35


def test_unknowns_say_what_is_missing() -> None:
    few = OutcomeHistogram.from_rows(np.full(300, 0.5), np.repeat([1.0, 0.0], [4, 296]))
    assert missing_outcomes(few) == "needs 6 more mature positive outcomes to calibrate"
    empty = OutcomeHistogram.from_rows(np.zeros(0), np.zeros(0))
    assert missing_outcomes(empty) == "needs 200 more mature outcomes to calibrate"
    learned = calibrate(learned_from(*World(mean=-4.0).rows(np.random.default_rng(11), 5000, 28)))
    found = expected_quality(ScoreHistogram.from_rows(np.full(50, 0.01)), learned)
    assert "positive outcomes are expected, and 10 needed" in str(found["auc"])
    assert found["accuracy"] == "no decisions in this window"
    nothing = ScoreHistogram.from_rows(np.zeros(0))
    assert set(expected_quality(nothing, learned).values()) == {"no scores in this window"}


def test_neighbours_that_go_together_count_as_fewer_days() -> None:
    rng = np.random.default_rng(12)
    alone, together = rng.normal(0.0, 1.0, 400), np.zeros(400)
    for day in range(1, 400):
        together[day] = 0.6 * together[day - 1] + alone[day]
    assert long_run_sum(alone) == pytest.approx(400.0, rel=0.35)
    assert long_run_sum(together) == pytest.approx(400.0 / (1.0 - 0.6) ** 2, rel=0.35)


@pytest.mark.parametrize(("moved", "shock"), [(0.0, 0.0), (0.0, 0.3), (0.7, 0.0)])
def test_estimated_losses_hold_what_comes_when_the_concept_is_unchanged(moved: float, shock: float) -> None:
    rng, held = np.random.default_rng(13), 0
    for _ in range(100):
        learned = LossCurve(LossHistogram.from_rows(*_losses(rng, 4000, 28, 0.0, shock)[:2], groups=_days(4000, 28)))
        bins, losses = _losses(rng, 1000, 7, moved, shock)[:2]
        one = np.ones(1000)
        low, high = expected_loss(learned, bins, one, one, days=7.0).interval(0.025)
        held += low <= losses.mean() <= high
    assert held >= 89


def _days(rows: int, days: int) -> IntArray:
    return (np.arange(rows) * days // rows).astype(np.int64)


def _losses(rng: np.random.Generator, rows: int, days: int, moved: float, shock: float) -> tuple[IntArray, FloatArray]:
    """Return the bin and the absolute error of predictions whose errors grow with them."""
    predictions = rng.normal(moved, 1.0, rows)
    spread = np.exp(0.5 * predictions + rng.normal(0.0, 1.0, days)[_days(rows, days)] * shock)
    return np.floor(8.0 * predictions).astype(np.int64), np.abs(rng.normal(0.0, 1.0, rows)) * spread
