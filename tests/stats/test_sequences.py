"""Intervals hold the truth at every look, and a mismatch of shares is called when there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from setpoint.stats.sequences import DifferenceSequence, log_mismatch


@pytest.mark.parametrize(("share", "rates"), [(0.5, (0.1, 0.1)), (0.1, (0.1, 0.13)), (0.5, (0.005, 0.01))])
def test_an_interval_holds_the_truth_at_every_look(share: float, rates: tuple[float, float]) -> None:
    rng, missed, halves = np.random.default_rng(1), 0, []
    for _ in range(100):
        sequence, lows, highs = DifferenceSequence(0.0, 1.0), list[float](), list[float]()
        for _ in range(60):
            is_candidate = rng.random(200) < share
            hit = rng.random(200) < np.where(is_candidate, rates[1], rates[0])
            sequence.update(hit.astype(float), is_candidate, share)
            found = sequence.estimate()
            assert found.low is not None
            assert found.high is not None
            lows.append(found.low)
            highs.append(found.high)
        missed += not max(lows) <= rates[1] - rates[0] <= min(highs)
        halves.append((highs[-1] - lows[-1]) / 2.0)
    assert missed <= 6
    variance = sum(rate * (1.0 - rate) / part for rate, part in zip(rates, (1.0 - share, share), strict=True))
    assert np.mean(halves) <= 2.6 * 1.96 * math.sqrt(variance / 12_000)


def test_workers_merge_and_a_large_difference_is_shown() -> None:
    rng = np.random.default_rng(2)
    whole, first, second = (DifferenceSequence(0.0, 10.0) for _ in range(3))
    for n in range(40):
        is_candidate = rng.random(500) < 0.3
        values = np.clip(rng.normal(np.where(is_candidate, 5.5, 5.0), 1.0), 0.0, 10.0)
        for each in (whole, (first, second)[n % 2]):
            each.update(values, is_candidate, 0.3)
    first.merge(second)
    for found in (whole.estimate(), first.estimate()):
        assert found.value == pytest.approx(0.5, abs=0.06)
        assert found.low is not None
        assert found.low > 0.35
    assert first.rows == whole.rows == 20_000.0


def test_what_is_no_experiment_is_refused() -> None:
    sequence = DifferenceSequence(0.0, 1.0)
    assert not sequence.estimate().is_known
    flags = np.array([True, False])
    for values in (np.array([0.0, 1.5]), np.array([0.0, math.nan]), np.array([0.5])):
        with pytest.raises(ValueError, match="values"):
            sequence.update(values, flags, 0.5)
    with pytest.raises(ValueError, match="a share of 1"):
        sequence.update(np.zeros(2), flags, 1.0)
    assert not sequence.rows


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5)])
def test_shares_as_meant_are_rarely_called_a_mismatch_however_often_one_looks(shares: tuple[float, ...]) -> None:
    rng, called = np.random.default_rng(3), 0
    for _ in range(300):
        units = rng.multinomial(50, shares, size=60).cumsum(axis=0)
        called += any(log_mismatch(row, np.array(shares)) >= math.log(100.0) for row in units)
    assert called <= 8  # 3 expected at most


def test_a_mismatch_is_called_soon() -> None:
    rng = np.random.default_rng(4)
    for true, looks in (((0.47, 0.53), 120), ((0.6, 0.4), 10)):
        units = rng.multinomial(200, true, size=(50, looks)).cumsum(axis=1)
        called = [log_mismatch(run[-1], np.array([0.5, 0.5])) >= math.log(100.0) for run in units]
        assert sum(called) >= 48
