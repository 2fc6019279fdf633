"""Skill is what scikit-learn's Brier scores say, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import mean_loss
from setpoint.stats.skill import BrierSums, brier_skill, skill_over


def sums(outcomes: np.ndarray, scores: np.ndarray) -> BrierSums:
    loss = 2.0 * (scores - outcomes) ** 2
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


def shares(constant: float | None) -> tuple[float, float] | None:
    return None if constant is None else (1.0 - constant, constant)


@pytest.mark.parametrize("constant", [None, 0.2])
def test_it_equals_the_ratio_of_brier_scores(constant: float | None) -> None:
    outcomes, scores = rows(np.random.default_rng(1), 500)
    against = np.full(500, outcomes.mean() if constant is None else constant)
    expected = 1.0 - brier_score_loss(outcomes, scores) / brier_score_loss(outcomes, against)
    assert brier_skill(sums(outcomes, scores), shares(constant)).value == pytest.approx(expected)


@pytest.mark.parametrize("constant", [None, 0.2])
@pytest.mark.parametrize("n", [300, 3000])
def test_its_interval_covers_the_truth(constant: float | None, n: int) -> None:
    rng = np.random.default_rng(2)
    truth = brier_skill(sums(*rows(rng, 2_000_000)), shares(constant)).value
    assert truth is not None
    hits = 0
    for _ in range(1500):
        found = brier_skill(sums(*rows(rng, n)), shares(constant))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.935 < hits / 1500 < 0.965


def test_what_it_takes() -> None:
    outcomes = np.array([1.0] * 4 + [0.0] * 50)
    assert brier_skill(sums(outcomes, outcomes)).reason == "needs 6 more rarer outcomes"
    perfect = np.array([1.0] * 20 + [0.0] * 50)
    assert brier_skill(sums(perfect, perfect)).value == 1.0


def test_classes_are_held_against_their_shares() -> None:
    rng = np.random.default_rng(3)
    truth = rng.dirichlet((4.0, 2.0, 1.0), 4000)
    came = np.array([rng.choice(3, p=p) for p in truth])
    loss = ((truth - np.eye(3)[came]) ** 2).sum(axis=1)
    own = np.bincount(came) / len(came)
    constant = ((own - np.eye(3)[came]) ** 2).sum(axis=1)
    parts = [loss[came == k] for k in range(3)]
    counts = [float(len(part)) for part in parts]
    found = brier_skill(
        BrierSums(counts, counts, [float(p.sum()) for p in parts], [float((p**2).sum()) for p in parts])
    )
    assert found.value == pytest.approx(1.0 - loss.mean() / constant.mean())
    resampled = []
    for _ in range(400):
        rows = rng.integers(0, len(came), len(came))
        share = np.bincount(came[rows], minlength=3) / len(rows)
        resampled.append(1.0 - loss[rows].mean() / ((share - np.eye(3)[came[rows]]) ** 2).sum(axis=1).mean())
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(resampled), rel=0.1)


@pytest.mark.parametrize("n", [200, 3000])
def test_the_interval_over_another_model_covers_the_truth(n: int) -> None:
    rng = np.random.default_rng(4)

    def loss_of(n: int, sharpness: float) -> np.ndarray:
        logit = rng.normal(-1.0, 1.0, n)
        outcomes = rng.random(n) < 1.0 / (1.0 + np.exp(-logit))
        return (1.0 / (1.0 + np.exp(-sharpness * logit)) - outcomes) ** 2

    truth = 1.0 - float(loss_of(2_000_000, 1.0).mean() / loss_of(2_000_000, 0.3).mean())
    hits = 0
    for _ in range(1500):
        sides = [
            mean_loss(float(loss.sum()), float((loss**2).sum()), n, n, 1.0)
            for loss in (loss_of(n, sharpness) for sharpness in (1.0, 0.3))
        ]
        found = skill_over(*sides)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.935 < hits / 1500 < 0.97


def test_a_model_without_loss_or_without_rows_has_no_skill_over_another() -> None:
    one, none = Estimate(0.2, 0.1, 0.3), Estimate.unknown("needs 3 more outcomes")
    assert skill_over(one, none).reason == "needs 3 more outcomes"
    assert skill_over(none, one).reason == "needs 3 more outcomes"
    assert "never wrong" in skill_over(one, Estimate(0.0, 0.0, 0.0)).reason
