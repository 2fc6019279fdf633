"""Skill is what scikit-learn's Brier scores say, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from setpoint.stats.skill import BrierSums, brier_skill


def sums(outcomes: np.ndarray, scores: np.ndarray) -> BrierSums:
    loss = (scores - outcomes) ** 2
    parts = [loss[outcomes == value] for value in (0, 1)]
    count = (float(len(parts[0])), float(len(parts[1])))
    return BrierSums(
        count,
        count,
        (float(parts[0].sum()), float(parts[1].sum())),
        (float((parts[0] ** 2).sum()), float((parts[1] ** 2).sum())),
    )


def rows(rng: np.random.Generator, n: int, offset: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes, and scores that know half of what there is to know."""
    logit = rng.normal(offset, 1.0, n)
    outcomes = (rng.random(n) < 1.0 / (1.0 + np.exp(-(logit + rng.normal(0.0, 1.0, n))))).astype(np.float64)
    return outcomes, 1.0 / (1.0 + np.exp(-0.85 * logit))


@pytest.mark.parametrize("constant", [None, 0.2])
def test_it_equals_the_ratio_of_brier_scores(constant: float | None) -> None:
    outcomes, scores = rows(np.random.default_rng(1), 500)
    against = np.full(500, outcomes.mean() if constant is None else constant)
    expected = 1.0 - brier_score_loss(outcomes, scores) / brier_score_loss(outcomes, against)
    assert brier_skill(sums(outcomes, scores), constant).value == pytest.approx(expected)


@pytest.mark.parametrize("constant", [None, 0.2])
@pytest.mark.parametrize("n", [300, 3000])
def test_its_interval_covers_the_truth(constant: float | None, n: int) -> None:
    rng = np.random.default_rng(2)
    truth = brier_skill(sums(*rows(rng, 2_000_000)), constant).value
    assert truth is not None
    hits = 0
    for _ in range(1500):
        found = brier_skill(sums(*rows(rng, n)), constant)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.935 < hits / 1500 < 0.965


def test_what_it_takes() -> None:
    outcomes = np.array([1.0] * 4 + [0.0] * 50)
    assert brier_skill(sums(outcomes, outcomes)).reason == "needs 6 more positive outcomes"
    perfect = np.array([1.0] * 20 + [0.0] * 50)
    assert brier_skill(sums(perfect, perfect)).value == 1.0
