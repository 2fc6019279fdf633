"""The promise of a cascade: kept as often as it says, and as generous as it can be."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.cascade import RISK, THRESHOLDS, p_value, tightened, tuned


def test_the_p_value_is_small_as_seldom_as_it_says_where_the_claim_just_holds() -> None:
    generator = np.random.default_rng(0)
    losses = generator.choice([1.0, 0.0, -1.0], (2000, 400), p=[0.08, 0.86, 0.06])
    refuted = np.mean([p_value(one, 0.02) <= RISK for one in losses])
    assert refuted <= RISK + 3.0 * np.sqrt(RISK * (1.0 - RISK) / 2000)


def test_the_p_value_is_a_product_of_bets() -> None:
    losses, limit = np.array([0.0, 1.0, -1.0, 0.0]), 0.1
    wealth, largest, seen = 1.0, 1.0, []
    for loss in losses.tolist():
        mean = [sum(seen[: n + 1]) / (n + 2) for n in range(len(seen))]
        spread = (1.0 + sum((x - m) ** 2 for x, m in zip(seen, mean, strict=True))) / (len(seen) + 1)
        stake = min(np.sqrt(2.0 * np.log(1.0 / RISK) / (len(losses) * spread)), 0.5 / (1.0 - limit))
        wealth *= 1.0 + stake * (limit - loss)
        largest, seen = max(largest, wealth), [*seen, loss]
    assert p_value(losses, limit) == pytest.approx(1.0 / largest)


def test_too_few_pairs_are_told_how_many_it_takes() -> None:
    found = tuned(np.full(100, 0.9), np.zeros(100), 0.01)
    assert found.at_least is None
    assert found.pairs_needed is not None
    enough = tuned(np.full(found.pairs_needed, 0.9), np.zeros(found.pairs_needed), 0.01)
    assert enough.at_least == THRESHOLDS[-1]


def test_a_promise_that_no_threshold_keeps_is_not_made() -> None:
    generator = np.random.default_rng(1)
    losses = generator.choice([1.0, 0.0], 4000, p=[0.4, 0.6])
    assert tuned(np.ones(4000), losses, 0.01) == type(tuned(np.ones(4000), losses, 0.01))(None, 4000, None)


def test_an_answer_without_a_confidence_is_never_taken() -> None:
    confidence = np.where(np.arange(4000) % 2, np.nan, 0.9)
    losses = np.where(np.isnan(confidence), 1.0, 0.0)
    assert tuned(confidence, losses, 0.01).at_least == THRESHOLDS[-1]


def test_a_kept_promise_is_seldom_called_broken_however_often_one_looks() -> None:
    generator = np.random.default_rng(2)
    broken = [
        tightened(np.ones(3000), generator.choice([1.0, 0.0, -1.0], 3000, p=[0.06, 0.9, 0.04]), 0.5, 0.02).broken_by
        is not None
        for _ in range(400)
    ]
    assert np.mean(broken) <= RISK + 3.0 * np.sqrt(RISK * (1.0 - RISK) / 400)


def test_a_broken_promise_is_found_and_a_safer_threshold_named() -> None:
    generator = np.random.default_rng(3)
    confidence = generator.random(6000)
    losses = (generator.random(6000) < np.where(confidence < 0.8, 0.15, 0.0)).astype(float)
    found = tightened(confidence, losses, 0.4, 0.02)
    assert found.broken_by is not None
    assert found.at_least is not None
    assert float(np.mean(np.where(confidence >= found.at_least, losses, 0.0))) <= 0.02
