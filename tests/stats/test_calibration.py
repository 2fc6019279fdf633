"""Tests of `setpoint.stats.calibration`."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from setpoint.stats.calibration import calibration_error
from setpoint.stats.classification import BinaryState
from setpoint.stats.special import FloatArray

Distortion = Callable[[FloatArray], FloatArray]


def truth(z: FloatArray, rates: FloatArray, groups: int) -> float:
    """Return the error over groups of equal size, had every rate been known."""
    order = np.argsort(z)
    gaps = (np.asarray(expit(z)) - rates)[order]
    return sum(abs(float(part.sum())) for part in np.array_split(gaps, groups)) / len(z)


@pytest.mark.parametrize("n", [200, 2000])
def test_interval_covers_honest_shifted_overconfident_and_local_errors(n: int) -> None:
    generator = np.random.default_rng(21)
    distortions: list[Distortion] = [
        lambda z: np.asarray(expit(z)),
        lambda z: np.asarray(expit(z + 0.4)),
        lambda z: np.asarray(expit(0.6 * z)),
        lambda z: np.asarray(np.clip(expit(z) - 0.15 * (z > np.quantile(z, 0.9)), 0.0, 1.0), np.float64),
    ]
    coverages = []
    for distort in distortions:
        hits = 0
        for _ in range(100):
            z = generator.normal(-1.0, 1.3, n)
            rates = distort(z)
            outcomes = (generator.random(n) < rates).astype(np.float64)
            estimate = calibration_error(BinaryState.from_rows(outcomes, scores=np.asarray(expit(z))))
            exact = truth(z, rates, min(15, n // 20))
            assert estimate.low is not None
            assert estimate.high is not None
            hits += estimate.low - 1e-3 <= exact <= estimate.high + 1e-3
        coverages.append(hits / 100)
    assert min(coverages) >= 0.92


def test_a_calibrated_model_reads_far_less_than_the_raw_sum_of_gaps() -> None:
    generator = np.random.default_rng(22)
    values, raw = [], []
    for _ in range(40):
        z = np.sort(generator.normal(-1.0, 1.3, 2000))
        scores = np.asarray(expit(z))
        outcomes = (generator.random(2000) < scores).astype(np.float64)
        estimate = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
        assert estimate.value is not None
        values.append(estimate.value)
        raw.append(truth(z, outcomes, 15))
    assert float(np.mean(values)) < 0.5 * float(np.mean(raw))


def test_a_large_error_is_found_and_the_answer_repeats() -> None:
    scores = np.repeat(np.linspace(0.55, 0.95, 20), 500)
    outcomes = np.tile([1.0, 0.0], 5000)
    state = BinaryState.from_rows(outcomes, scores=scores)
    estimate = calibration_error(state)
    assert estimate.value == pytest.approx(0.25, abs=0.01)
    assert estimate == calibration_error(state)
    assert calibration_error(state, seed=1).value == pytest.approx(0.25, abs=0.01)


def test_sampled_rows_widen_the_interval() -> None:
    generator = np.random.default_rng(23)
    scores = generator.random(1000)
    outcomes = (generator.random(1000) < scores**2).astype(np.float64)
    once = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
    scaled = calibration_error(BinaryState.from_rows(outcomes, scores=scores, weights=np.full(1000, 9.0)))
    assert scaled.value == pytest.approx(once.value)
    assert scaled.high == pytest.approx(once.high)


def test_extreme_scores_and_one_class_give_numbers_not_nan() -> None:
    for outcomes in (np.zeros(200), np.ones(200), np.tile([1.0, 0.0], 100)):
        for scores in (np.zeros(200), np.ones(200), np.full(200, 0.5), np.tile([0.0, 1.0], 100)):
            estimate = calibration_error(BinaryState.from_rows(outcomes, scores=scores))
            plain = abs(float((scores - outcomes).mean())) if len(np.unique(scores)) == 1 else None
            assert estimate.is_known
            if plain is not None:
                assert estimate.value == pytest.approx(plain, abs=0.06)


def test_few_rows_say_how_many_are_missing() -> None:
    assert calibration_error(BinaryState()).reason == "needs 100 more outcomes with a score"
    state = BinaryState.from_rows(np.zeros(60), scores=np.full(60, 0.2))
    assert calibration_error(state).reason == "needs 40 more outcomes with a score"
