"""The energy test has the size that it promises, finds what differs, and its distance is SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from setpoint.stats.energy import energy_test


def test_the_distance_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.0, 1.0, 300), rng.exponential(1.0, 200)
    found = energy_test(x[:, None], y[:, None])
    apart = [np.abs(one[:, None] - one).mean() for one in (x, y)]  # SciPy counts a vector's distance from itself
    assert found.distance == pytest.approx(
        stats.energy_distance(x, y) ** 2 - apart[0] / (len(x) - 1) - apart[1] / (len(y) - 1)
    )


def test_alarms_are_as_rare_as_promised_when_nothing_differs() -> None:
    rng = np.random.default_rng(2)
    p = np.array([energy_test(*rng.standard_t(5, (2, 50, 6)), seed=n).p for n in range(200)])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert stats.binomtest(int((p <= 0.05).sum()), len(p), 0.05).pvalue > 0.01


@pytest.mark.parametrize("dimensions", [2, 64])
def test_the_interval_holds_the_true_coefficient(dimensions: int) -> None:
    rng = np.random.default_rng(3)
    shift = 1.0 / np.sqrt(dimensions)

    def mean_norm(center: float) -> float:  # of a difference of two normal vectors
        return float(np.linalg.norm(rng.normal(center, np.sqrt(2.0), (200_000, dimensions)), axis=1).mean())

    across, within = mean_norm(shift), mean_norm(0.0)
    truth = (2.0 * across - 2.0 * within) / (2.0 * across)
    held = 0
    for n in range(100):
        now = energy_test(rng.normal(size=(150, dimensions)), rng.normal(shift, 1.0, (150, dimensions)), seed=n)
        low, high = now.coefficient.low, now.coefficient.high
        assert low is not None
        assert high is not None
        held += low <= truth <= high
    assert held >= 88  # P(fewer | 95 %) is 0.2 %


def test_a_width_and_a_dependence_are_found_as_well_as_a_place() -> None:
    rng = np.random.default_rng(4)
    before = rng.normal(size=(500, 8))
    both = rng.normal(size=(500, 4))
    assert energy_test(before, rng.normal(0.0, 1.3, (500, 8))).p == 0.001
    assert energy_test(before, np.concatenate([both, both], axis=1)).p == 0.001


def test_samples_of_one_point_are_alike_or_wholly_apart() -> None:
    here, there = np.zeros((30, 3)), np.ones((30, 3))
    assert energy_test(here, here).p == 1.0
    apart = energy_test(here, there)
    assert (apart.p, apart.coefficient.value) == (0.001, 1.0)
    far = energy_test(here + 1e9, there + 1e9)
    assert far.distance == pytest.approx(apart.distance)


def test_too_few_vectors_or_other_dimensions_are_refused() -> None:
    for other in (np.zeros((30, 4)), np.zeros((3, 3))):
        with pytest.raises(ValueError, match="at least 20 vectors of one length"):
            energy_test(np.zeros((30, 3)), other)


def test_numbers_whose_squares_are_none_are_compared_like_others() -> None:
    rng = np.random.default_rng(9)
    one, other = rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 1.0
    small, large = energy_test(one, other), energy_test(one * 1e200, other * 1e200)
    assert large.p == small.p
    assert large.coefficient.value == pytest.approx(small.coefficient.value)
