"""Universal bins: fixed once for everybody, so that hours, versions and machines merge by adding counts.

Three families, each simple enough to be written as one SQL expression: log bins for positive magnitudes
(latency, cost), score bins for probabilities, value bins for any real number about a centre.
"""

import math
from collections.abc import Sequence

import numpy as np

from setpoint.stats.estimate import LEVEL, Estimate, Z
from setpoint.stats.special import FloatArray, IntArray, binomial_cdf, expit

LOG_BINS_PER_OCTAVE = 32
SCORE_BINS_PER_LOGIT = 32
SCORE_BIN_LOWEST = -640
SCORE_BIN_HIGHEST = 639
VALUE_BINS = 64
SMALLEST_MAGNITUDE = 2.0**-100
LARGEST_MAGNITUDE = 2.0**100


def log_bin(values: FloatArray) -> IntArray:
    """Return the log bin of each positive magnitude: floor(32 * log2(x)), so a bin is 2.2 % wide.

    Args:
        values: Non-negative; clipped to [2**-100, 2**100], so zero falls into the lowest bin.

    Raises:
        ValueError: A value is negative or nan. Count missing values apart.

    Example:
        >>> log_bin(np.array([1.0, 2.0, 0.25])).tolist()
        [0, 32, -64]
    """
    if not bool(np.all(values >= 0.0)):
        msg = "log bins hold numbers that are not negative and not nan"
        raise ValueError(msg)
    clipped = np.clip(values, SMALLEST_MAGNITUDE, LARGEST_MAGNITUDE)
    return np.floor(LOG_BINS_PER_OCTAVE * np.log2(clipped)).astype(np.int64)


def log_bin_edges(index: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper edges of log bins: [2**(i/32), 2**((i+1)/32)).

    Args:
        index: floor(32 * log2(x)), any shape.

    Example:
        >>> low, high = log_bin_edges(np.array([0, 32]))
        >>> low.tolist(), high.round(4).tolist()
        ([1.0, 2.0], [1.0219, 2.0438])
    """
    return np.exp2(index / LOG_BINS_PER_OCTAVE), np.exp2((index + 1) / LOG_BINS_PER_OCTAVE)


def score_bin(scores: FloatArray) -> IntArray:
    """Return the score bin of each probability: floor(32 * ln(s / (1 - s))) clipped to [-640, 639].

    Bins are even in log odds, so that rare events keep their resolution: near 0.001 a bin is 3 % wide.

    Args:
        scores: Probabilities between 0 and 1. 0 falls into bin -640, 1 into bin 639.

    Raises:
        ValueError: A score is nan or outside [0, 1]. Count missing scores apart.

    Example:
        >>> score_bin(np.array([0.0, 0.5, 0.9, 1.0])).tolist()
        [-640, 0, 70, 639]
    """
    if not bool(np.all((scores >= 0.0) & (scores <= 1.0))):
        msg = "scores are probabilities between 0 and 1, and not nan"
        raise ValueError(msg)
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores / (1.0 - scores))
    return np.clip(np.floor(SCORE_BINS_PER_LOGIT * log_odds), SCORE_BIN_LOWEST, SCORE_BIN_HIGHEST).astype(np.int64)


def score_bin_middle(index: IntArray) -> FloatArray:
    """Return the probability in the middle, in log odds, of each score bin.

    Args:
        index: As from `score_bin`, any shape.

    Example:
        >>> score_bin_middle(np.array([-640, 0, 639])).round(4).tolist()
        [0.0, 0.5039, 1.0]
    """
    return expit((index + 0.5) / SCORE_BINS_PER_LOGIT)


def value_bin(values: FloatArray, center: float = 0.0, scale: float = 1.0) -> IntArray:
    """Return the value bin of each real number: floor(64 * z / (1 + |z|)) with z = (x - center) / scale.

    128 bins squeeze the whole line: about scale/64 wide at the centre, wider outwards, open at both ends. Only exact
    arithmetic is used, so every engine puts a number into the same bin. The index rises with the value.

    Args:
        values: Any real numbers; infinities fall into the outermost bins, -64 and 63.
        center: Frozen, about the median.
        scale: Frozen and positive, about the interquartile range.

    Raises:
        ValueError: A value is nan. Count missing values apart.

    Example:
        >>> value_bin(np.array([-np.inf, -1.0, 0.0, 1.0, 1e300])).tolist()
        [-64, -32, 0, 32, 63]
    """
    if bool(np.any(np.isnan(values))):
        msg = "value bins hold no nan: count missing values apart"
        raise ValueError(msg)
    with np.errstate(invalid="ignore", over="ignore"):
        z = (values - center) / scale
        squeezed = np.where(np.isinf(z), np.sign(z), z / (1.0 + np.abs(z)))
    return np.clip(np.floor(VALUE_BINS * squeezed), -VALUE_BINS, VALUE_BINS - 1).astype(np.int64)


def value_bin_edges(index: IntArray, center: float = 0.0, scale: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper edges of value bins; the outermost bins reach to infinity.

    Args:
        index: As from `value_bin`, any shape.
        center: As for `value_bin`.
        scale: As for `value_bin`.

    Example:
        >>> low, high = value_bin_edges(np.array([-64, 0, 32]))
        >>> low.round(4).tolist(), high.round(4).tolist()
        ([-inf, 0.0, 1.0], [-63.0, 0.0159, 1.0645])
    """
    return tuple(_unsqueezed((index + side) / VALUE_BINS, center, scale) for side in (0, 1))  # pyright: ignore[reportReturnType] — two by construction


def value_bin_middle(index: IntArray, center: float = 0.0, scale: float = 1.0) -> FloatArray:
    """Return the number in the middle, on the squeezed scale, of each value bin; always finite.

    Args:
        index: As from `value_bin`, any shape.
        center: As for `value_bin`.
        scale: As for `value_bin`.

    Example:
        >>> value_bin_middle(np.array([0, 63])).round(4).tolist()
        [0.0079, 127.0]
    """
    return _unsqueezed((index + 0.5) / VALUE_BINS, center, scale)


def _unsqueezed(squeezed: FloatArray, center: float, scale: float) -> FloatArray:
    with np.errstate(divide="ignore"):
        return center + scale * (squeezed / (1.0 - np.abs(squeezed)))


def quantile_from_log_bins(
    index: IntArray, counts: FloatArray, probability: float, *, weight_of_squares: float | None = None
) -> Estimate:
    """Return a quantile of positive magnitudes, with an interval that includes the width of the bins.

    The value is interpolated geometrically inside its bin (at most 2.2 % off). The interval is the exact
    order statistic interval: ranks from the binomial distribution, mapped to the outer edges of their bins.
    With few rows an extreme quantile has no upper (or lower) bound: that end is None and `reason` says so.

    Args:
        index: Log bins, sorted, distinct, shape (bins,).
        counts: Weight per bin, shape (bins,), not negative.
        probability: Between 0 and 1, both excluded: 0.99 for p99.
        weight_of_squares: Sum of squared row weights, for sampled rows; None when each row counts 1.

    Returns:
        Unknown when no row was counted.

    Example:
        >>> rows = log_bin(np.arange(1, 1001) / 1000)
        >>> index, counts = np.unique(rows, return_counts=True)
        >>> p90 = quantile_from_log_bins(index, counts.astype(float), 0.9)
        >>> round(p90.value, 2), round(p90.low, 2), round(p90.high, 2)
        (0.9, 0.88, 0.94)

    Source: Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    low, high = log_bin_edges(index)
    ranks = _ranks(counts, probability, weight_of_squares)
    if ranks is None:
        return Estimate.unknown("no rows in this window")
    bin_at, inside = _position(counts, ranks.middle)
    value = float(low[bin_at] * (high[bin_at] / low[bin_at]) ** inside)
    return _with_interval(value, low, high, counts, ranks)


def quantile_from_value_bins(
    index: IntArray,
    counts: FloatArray,
    probability: float,
    minimum: float,
    maximum: float,
    *,
    center: float = 0.0,
    scale: float = 1.0,
    weight_of_squares: float | None = None,
) -> Estimate:
    """Return a quantile of any real numbers, with an interval that includes the width of the bins.

    The value is interpolated linearly inside its bin. The first and the last bin end at the exact minimum and
    maximum, so a constant column answers exactly. The interval is that of `quantile_from_log_bins`.

    Args:
        index: Value bins, sorted, distinct, shape (bins,).
        counts: Weight per bin, shape (bins,), not negative.
        probability: Between 0 and 1, both excluded.
        minimum: Smallest value of the window, exactly.
        maximum: Largest value of the window, exactly.
        center: As for `value_bin`.
        scale: As for `value_bin`.
        weight_of_squares: Sum of squared row weights, for sampled rows; None when each row counts 1.

    Returns:
        Unknown when no row was counted.

    Example:
        >>> index, counts = np.unique(value_bin(np.arange(-500.0, 501.0), 0.0, 500.0), return_counts=True)
        >>> median = quantile_from_value_bins(index, counts.astype(float), 0.5, -500.0, 500.0, scale=500.0)
        >>> round(median.value, 1), round(median.low, 1), round(median.high, 1)
        (0.5, -33.3, 33.3)
    """
    ranks = _ranks(counts, probability, weight_of_squares)
    if ranks is None:
        return Estimate.unknown("no rows in this window")
    low, high = _bounded_edges(index, counts, (minimum, maximum), (center, scale))
    bin_at, inside = _position(counts, ranks.middle)
    value = _between(low[bin_at], high[bin_at], inside)
    return _with_interval(value, low, high, counts, ranks)


def values_from_value_bins(
    index: IntArray,
    counts: FloatArray,
    probabilities: Sequence[float],
    ends: tuple[float, float],
    *,
    center: float = 0.0,
    scale: float = 1.0,
) -> list[float]:
    """Return the values of `quantile_from_value_bins` alone, for tables that show many.

    Args:
        index: Value bins, sorted, distinct, shape (bins,).
        counts: Weight per bin, shape (bins,), not negative.
        probabilities: Each between 0 and 1.
        ends: Smallest and largest value of the window, exactly.
        center: As for `value_bin`.
        scale: As for `value_bin`.

    Returns:
        One for each probability; none when no row was counted.

    Example:
        >>> index, counts = np.unique(value_bin(np.arange(-500.0, 501.0), 0.0, 500.0), return_counts=True)
        >>> found = values_from_value_bins(index, counts.astype(float), (0.25, 0.5), (-500.0, 500.0), scale=500.0)
        >>> [round(value, 1) for value in found]
        [-250.2, 0.5]
    """
    total = float(np.sum(counts))
    if total <= 0.0:
        return []
    low, high = _bounded_edges(index, counts, ends, (center, scale))
    positions = [_position(counts, probability * total) for probability in probabilities]
    return [_between(low[bin_at], high[bin_at], inside) for bin_at, inside in positions]


def _between(low: float, high: float, inside: float) -> float:
    """Return the number that lies this far between two; their difference may be beyond the largest double."""
    step = (high / 2.0 - low / 2.0) * inside
    return float(low + step + step)


def _bounded_edges(
    index: IntArray, counts: FloatArray, ends: tuple[float, float], place: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return the edges of value bins, the outermost filled ones cut at the exact ends of the window."""
    minimum, maximum = ends
    if not minimum <= maximum:
        msg = f"the minimum `{minimum}` lies above the maximum `{maximum}`"
        raise ValueError(msg)
    low, high = value_bin_edges(index, *place)
    filled = np.flatnonzero(counts > 0.0)
    low[filled[0]], high[filled[-1]] = minimum, maximum
    return np.clip(low, minimum, maximum), np.clip(high, minimum, maximum)


class _Ranks:
    """Where a quantile and its interval sit in the cumulative weight; None where no rank reaches."""

    __slots__ = ("high", "low", "middle")

    def __init__(self, low: float | None, middle: float, high: float | None) -> None:
        self.low, self.middle, self.high = low, middle, high


def _ranks(counts: FloatArray, probability: float, weight_of_squares: float | None) -> _Ranks | None:
    """Return the ranks of a quantile and of its order statistic interval, in units of cumulative weight."""
    if not 0.0 < probability < 1.0:
        msg = f"a quantile needs a probability between 0 and 1, got `{probability}`"
        raise ValueError(msg)
    total = float(np.sum(counts))
    if total <= 0.0:
        return None
    size = total if weight_of_squares is None else total * total / weight_of_squares
    rows = max(int(round(size, 6)), 1)
    tail = (1.0 - LEVEL) / 2.0
    low = _binomial_quantile(rows, probability, tail)
    if binomial_cdf(low, rows, probability) > tail:
        low -= 1
    high = _binomial_quantile(rows, probability, 1.0 - tail) + 1
    scale = total / rows
    return _Ranks(None if low < 0 else (low + 1) * scale, probability * total, None if high > rows else high * scale)


def _binomial_quantile(trials: int, probability: float, level: float) -> int:
    """Return the smallest k with P(X <= k) >= level: normal approximation, corrected by exact steps."""
    spread = math.sqrt(trials * probability * (1.0 - probability))
    guess = trials * probability + math.copysign(Z, level - 0.5) * spread
    k = min(max(int(guess), 0), trials)
    while k > 0 and binomial_cdf(k - 1, trials, probability) >= level:
        k -= 1
    while binomial_cdf(k, trials, probability) < level:
        k += 1
    return k


def _position(counts: FloatArray, rank: float) -> tuple[int, float]:
    """Return the filled bin that holds a rank of cumulative weight, and how far inside it the rank lies."""
    cumulative = np.cumsum(counts)
    # a rounded sum must not push a rank into the next bin
    reachable = min(rank * (1.0 - 1e-12), float(cumulative[-1]))
    at = int(np.searchsorted(cumulative, reachable, side="left"))
    before = float(cumulative[at] - counts[at])
    return at, min(max((rank - before) / float(counts[at]), 0.0), 1.0)


def _with_interval(value: float, low: FloatArray, high: FloatArray, counts: FloatArray, ranks: _Ranks) -> Estimate:
    """Return the value with the outer edges of the bins that hold the interval's ranks."""
    bottom = None if ranks.low is None else min(float(low[_position(counts, ranks.low)[0]]), value)
    top = None if ranks.high is None else max(float(high[_position(counts, ranks.high)[0]]), value)
    missing = [name for name, end in (("lower", bottom), ("upper", top)) if end is None]
    reason = f"too few rows for {'an ' if missing == ['upper'] else 'a '}{' and '.join(missing)} bound"
    return Estimate(value, bottom, top, reason if missing else "")
