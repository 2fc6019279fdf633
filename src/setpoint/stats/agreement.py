"""Whether two series move together, by their ranks."""

import math

import numpy as np

from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.special import FloatArray

FEWEST_PAIRS = 8


def rank_correlation(first: FloatArray, second: FloatArray) -> Estimate:
    """Return Spearman's rank correlation of two series, such as weekly AUC and weekly revenue.

    The interval is Fisher's, with the variance of Bonett and Wright. It assumes that the pairs are independent: two
    series that both drift seem to agree.

    Args:
        first: Values in order, shape (pairs,), without missing values.
        second: The values beside them, shape (pairs,).

    Returns:
        Between -1 and 1; unknown with fewer than 8 pairs, or when a series does not vary.

    Example:
        >>> found = rank_correlation(np.arange(10.0), np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9.0]))
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (0.964, 0.8, 0.994)

    Source: Spearman (1904), American Journal of Psychology 15; Bonett & Wright (2000), Psychometrika 65.
    """
    pairs = len(first)
    if pairs < FEWEST_PAIRS:
        return Estimate.unknown(f"needs {FEWEST_PAIRS - pairs} more pairs")
    left, right = _ranks(first), _ranks(second)
    spread = float(np.std(left)) * float(np.std(right))
    if spread <= 0.0:
        return Estimate.unknown("one of the series does not vary")
    value = float(np.dot(left - np.mean(left), right - np.mean(right))) / pairs / spread
    value = min(max(value, -1.0), 1.0)
    if abs(value) >= 1.0:
        return Estimate(value, None, None, "all pairs are in the same order, so the interval has no end")
    reach = Z * math.sqrt((1.0 + value * value / 2.0) / (pairs - 3.0))
    middle = math.atanh(value)
    return Estimate(value, math.tanh(middle - reach), math.tanh(middle + reach))


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    size = counts.astype(np.float64)
    middles = size.cumsum() - (size + 1.0) / 2.0
    return middles[place]
