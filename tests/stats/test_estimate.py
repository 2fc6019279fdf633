"""Tests of `setpoint.stats.estimate`."""

import math

import pytest
from scipy import stats

from setpoint.stats.estimate import LEVEL, Estimate, Z


def test_z_is_the_normal_quantile_of_the_level() -> None:
    assert stats.norm.ppf((1 + LEVEL) / 2) == pytest.approx(Z, abs=1e-15)


def test_unknown_says_why_and_has_no_numbers() -> None:
    estimate = Estimate.unknown("needs 7 more positive outcomes")
    assert not estimate.is_known
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (math.nan, None, None),
        (1.0, math.nan, 2.0),
        (1.0, 0.0, math.inf),
        (1.0, 1.1, 2.0),
        (1.0, 0.0, 0.9),
        (None, 0.0, 1.0),
        (None, None, None),
    ],
)
def test_nan_infinity_and_silence_are_refused(value: float | None, low: float | None, high: float | None) -> None:
    with pytest.raises(ValueError, match=r"finite|outside|reason"):
        Estimate(value, low, high)
