"""Weights make the rows of one window look like those of another, or are unknown."""

from __future__ import annotations

import numpy as np
import pytest
from bench.weighted_coverage import measured_of

from setpoint.stats.density_ratio import density_ratio
from setpoint.stats.estimation import Expected, ScoreHistogram, expected_quality
from setpoint.stats.score_map import OutcomeHistogram, calibrate
from setpoint.stats.special import expit


def test_weighted_rows_have_the_means_and_missing_values_of_the_other_window() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(0.0, 1.0, (2, 6000)), rng.normal([[0.5], [0.0]], 1.0, (2, 6000))
    before[1, rng.random(6000) < 0.1] = np.nan
    now[1, rng.random(6000) < 0.3] = np.nan
    found = density_ratio(list(before), list(now))
    assert found.unknown == ""
    assert np.average(before[0], weights=found.weights) == pytest.approx(0.5, abs=0.04)
    assert np.average(before[0] ** 2, weights=found.weights) == pytest.approx(1.25, abs=0.08)
    assert np.average(np.isnan(before[1]), weights=found.weights) == pytest.approx(0.3, abs=0.03)
    assert found.weights.mean() == pytest.approx(1.0)
    assert 0.6 < found.auc < 0.75
    assert found.effective_rows < 6000


def test_windows_that_do_not_differ_need_no_weights() -> None:
    rng = np.random.default_rng(2)
    found = density_ratio([rng.normal(0.0, 1.0, 3000)], [rng.normal(0.0, 1.0, 3000)])
    assert found.auc == pytest.approx(0.5, abs=0.03)
    assert found.effective_rows > 2800


def test_windows_with_little_in_common_are_unknown() -> None:
    rng = np.random.default_rng(3)
    apart = density_ratio([rng.normal(0.0, 1.0, 2000)], [rng.normal(6.0, 1.0, 2000)])
    assert "too little in common" in apart.unknown
    assert len(apart.weights) == 0
    rare = density_ratio([np.repeat([0.0, 1.0], [1970, 30])], [np.repeat([0.0, 1.0], [300, 1700])])
    assert "look like those of now" in rare.unknown
    few = density_ratio([rng.normal(0.0, 1.0, 60)], [rng.normal(0.0, 1.0, 2000)])
    assert few.unknown == "needs 40 more rows to tell the two windows apart"


def test_inputs_must_be_the_same_in_number() -> None:
    with pytest.raises(ValueError, match="same inputs"):
        density_ratio([np.zeros(200)], [])


def test_weights_mend_an_estimate_where_a_score_means_something_else_for_other_rows() -> None:
    rng = np.random.default_rng(4)

    def rows(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        is_new = rng.random(8000) < share
        log_odds = rng.normal(-1.0, 1.2, 8000)
        outcomes = rng.random(8000) < expit(log_odds + np.where(is_new, 1.5, 0.0))
        return is_new.astype(np.float64), expit(log_odds), outcomes.astype(np.float64)

    kind, scores, outcomes = rows(0.2)
    kind_now, scores_now, outcomes_now = rows(0.7)
    weights = density_ratio([kind], [kind_now]).weights
    found: list[Expected] = []
    for weight in (np.ones(8000), weights):
        learned = calibrate(OutcomeHistogram.from_rows(scores, outcomes, weights=weight))
        one = expected_quality(ScoreHistogram.from_rows(scores_now), learned, ["base_rate"])["base_rate"]
        assert isinstance(one, Expected)
        found.append(one)
    truth = float(outcomes_now.mean())
    plain, weighted = found
    assert not plain.interval(0.001)[0] <= truth <= plain.interval(0.001)[1]
    assert weighted.interval(0.025)[0] <= truth <= weighted.interval(0.025)[1]


def test_intervals_from_weighted_rows_hold_what_comes_true_where_plain_ones_do_not() -> None:
    found = measured_of((4_000, 1_000, 1, 60))
    for plain, weighted in found.values():
        assert weighted.counts
        assert weighted.coverage >= 54 / 60
        assert plain.coverage <= weighted.coverage
    assert found["mae"][0].coverage < 1 / 2
