"""The rank correlation equals SciPy's, ties and all, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from setpoint.stats.agreement import rank_correlation


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, 30).astype(np.float64)
    second = first + rng.integers(0, 6, 30)
    assert rank_correlation(first, second).value == pytest.approx(float(np.asarray(spearmanr(first, second))[0]))


@pytest.mark.parametrize("pearson", [0.0, 0.6])
def test_its_interval_covers_the_truth(pearson: float) -> None:
    rng = np.random.default_rng(1)
    truth = 6.0 / np.pi * np.arcsin(pearson / 2.0)  # of a normal pair, Kruskal (1958)
    hits = 0
    for _ in range(2000):
        first = rng.normal(size=20)
        second = pearson * first + np.sqrt(1.0 - pearson**2) * rng.normal(size=20)
        found = rank_correlation(first, second)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.925 < hits / 2000 < 0.975


def test_what_it_takes() -> None:
    assert rank_correlation(np.arange(5.0), np.arange(5.0)).reason == "needs 3 more pairs"
    assert rank_correlation(np.ones(9), np.arange(9.0)).reason == "one of the series does not vary"
    perfect = rank_correlation(np.arange(9.0), np.arange(9.0))
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
