"""The promise of a cascade: kept as often as it says, and as generous as it can be."""

from __future__ import annotations

import numpy as np
import pytest

from setpoint.stats.cascade import RISK, THRESHOLDS, broken_by, p_value, safer, tuned


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
        broken_by(generator.choice([1.0, 0.0, -1.0], 3000, p=[0.06, 0.9, 0.04]), 0.02) is not None for _ in range(400)
    ]
    assert np.mean(broken) <= RISK + 3.0 * np.sqrt(RISK * (1.0 - RISK) / 400)


def test_a_broken_promise_is_found_and_a_safer_threshold_named() -> None:
    generator = np.random.default_rng(3)
    confidence = generator.random(6000)
    losses = (generator.random(6000) < np.where(confidence < 0.8, 0.15, 0.0)).astype(float)
    assert broken_by(np.where(confidence >= 0.4, losses, 0.0), 0.02) is not None
    found = safer(confidence, losses, 0.4, 0.02)
    assert found is not None
    assert found > 0.4
    assert float(np.mean(np.where(confidence >= found, losses, 0.0))) <= 0.02


def test_a_watch_rests_on_the_lot_alone_however_requests_depend_on_each_other() -> None:
    """Losses come ten in a row, and at every moment just the promised share of all requests so far was lost at most."""
    generator, runs = np.random.default_rng(4), 400
    traffic = np.tile(np.repeat([0.0, 1.0], [490, 10]), 100)
    assert float(np.max(np.cumsum(traffic) / np.arange(1, len(traffic) + 1))) <= 0.02
    broken = [broken_by(traffic[generator.random(len(traffic)) < 0.1], 0.02) is not None for _ in range(runs)]
    assert 0.0 < np.mean(broken) <= RISK + 3.0 * np.sqrt(RISK * (1.0 - RISK) / runs)


def test_a_unit_counts_by_its_pairs_so_that_large_ones_that_lose_are_not_averaged_away() -> None:
    """One unit in ten has eleven pairs, of which all are lost in four of a hundred: 2.2 % of the pairs, .4 % a unit."""
    generator, runs = np.random.default_rng(5), 300
    promised: list[bool] = []
    for _ in range(runs):
        sizes = np.where(generator.random(2000) < 0.1, 11, 1)
        lost = (sizes > 1) & (generator.random(2000) < 0.04)
        units, losses = np.repeat(np.arange(2000.0), sizes), np.repeat(lost, sizes).astype(float)
        order = generator.permutation(len(units))
        promised.append(tuned(np.ones(len(units)), losses[order], 0.02, units[order]).at_least is not None)
    assert np.mean(promised) <= RISK + 3.0 * np.sqrt(RISK * (1.0 - RISK) / runs)


def test_where_each_pair_is_another_unit_s_units_change_nothing() -> None:
    generator = np.random.default_rng(6)
    confidence, losses = generator.random(3000), generator.choice([1.0, 0.0, -1.0], 3000, p=[0.02, 0.97, 0.01])
    units = generator.permutation(np.arange(3000.0))
    assert tuned(confidence, losses, 0.02, units) == tuned(confidence, losses, 0.02)
    assert safer(confidence, losses, 0.1, 0.02, np.arange(3000.0)) == safer(confidence, losses, 0.1, 0.02)
