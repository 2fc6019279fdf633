"""Whether some rows do worse than others: tests that hold at small counts, from sums over rows."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from setpoint.stats.special import FloatArray

Kind = Literal["share", "missed", "gap", "size"]
SCORE_BINS = 20
_EVENTS = 6.0  # 30 rows of a calibrated share of 0.2 carry a variance of about 5, and so must 3,000 rows of 0.0017
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the rows of one group, or of many at once; those of groups without common rows add.

    Attributes:
        values: First axis: the sums of 1, w, w**2, w·x, w·x**2, w**2·x, w**2·v and w**3·v·(1 - 2q), with w the
            weight of a row, x its loss, q what rows of its score come to and v = q(1 - q). Further axes: the
            groups.

    Example:
        >>> sums = Sums(Sums.columns(np.array([0.0, 1.0, 1.0]), np.ones(3), np.zeros(3)).sum(axis=1))
        >>> float(sums.rows), round(float(sums.mean), 3)
        (3.0, 0.667)
    """

    values: FloatArray

    @staticmethod
    def columns(losses: FloatArray, weights: FloatArray, likely: FloatArray) -> FloatArray:
        """Return what is summed of each row, shape (8, rows).

        Args:
            losses: How bad each row is, shape (rows,), without missing values.
            weights: Positive, shape (rows,).
            likely: What rows of its score come to, 0 to 1; only gaps use it.
        """
        weighted, squares, noise = weights * losses, weights * weights, likely * (1.0 - likely)
        ones, skew = np.ones(len(losses)), squares * weights * noise * (1.0 - 2.0 * likely)
        return np.vstack(
            [ones, weights, squares, weighted, weighted * losses, weights * weighted, squares * noise, skew]
        )

    def __sub__(self, other: Self) -> Self:
        mine = self.values.reshape(*self.values.shape, *[1] * (other.values.ndim - self.values.ndim))
        difference = mine - other.values
        return type(self)(np.where(difference[0] > 0.5, difference, 0.0))  # noqa: PLR2004 — half a row is no row

    def along(self, axis: int) -> Self:
        """Return the sums of single values in the shape of a table of pairs, of which they are that axis."""
        return type(self)(np.expand_dims(self.values, 2 - axis))

    @property
    def rows(self) -> FloatArray:
        """Rows, unweighted."""
        return self.values[0]

    @property
    def weight(self) -> FloatArray:
        """Sum of weights."""
        return self.values[1]

    @property
    def loss(self) -> FloatArray:
        """Weighted sum of losses."""
        return self.values[3]

    @property
    def mean(self) -> FloatArray:
        """Mean loss; 0 without rows."""
        return _ratio(self.loss, self.weight)

    def size(self, kind: Kind, other: Self) -> FloatArray:
        """Return the effective number of rows; of a gap fewer where nearly all outcomes are the same.

        Args:
            kind: Of the loss.
            other: What the group is held against; may contain it.
        """
        if kind in {"share", "missed"}:
            return self.effective(self.pooled(other), other)
        rows = _ratio(self.weight * self.weight, self.values[2])
        if kind == "size":
            return rows
        return rows * np.minimum(_EVENTS * _ratio(self.values[6], self.values[2]), 1.0)

    def pooled(self, other: Self) -> FloatArray:
        """Return the share of bad rows of this group and another one together."""
        return np.clip(_ratio(self.loss + other.loss, self.weight + other.weight), 0.0, 1.0)

    def effective(self, share: FloatArray, other: Self) -> FloatArray:
        """Return the rows that a share counts on under a true share, when bad rows may weigh other than good ones.

        The variance of a share p is p(1 - p)((1 - p)u + p·v) / weight, with u and v the mean weight of a bad and
        of a good row, had one more of each been seen that weighs as another group's do: else a group whose heavy
        rows happen not to be there would seem certain. See `classification`.
        """
        bad = _row_weight(self.values[5], self.loss, _ratio(other.values[5], other.loss))
        squares, weight = self.values[2] - self.values[5], self.weight - self.loss
        others = _ratio(other.values[2] - other.values[5], other.weight - other.loss)
        return _ratio(self.weight, (1.0 - share) * bad + share * _row_weight(squares, weight, others))

    def variance(self, kind: Kind, other: Self) -> FloatArray:
        """Return the variance of the mean loss; of a share, if this group and another one have the same."""
        if kind == "gap":
            return _ratio(self.values[6], self.weight * self.weight)
        if kind == "size":
            spread = np.maximum(_ratio(self.values[4], self.weight) - self.mean * self.mean, 0.0)
            return _ratio(spread, self.size(kind, other) - 1.0)
        share = self.pooled(other)
        return _ratio(share * (1.0 - share), self.effective(share, other))


def chances(outcomes: FloatArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Return what rows of about the same score come to: how noisy an outcome is, however wrong the scores are.

    Args:
        outcomes: 1 or 0, shape (rows,).
        scores: Forecasts, 0 to 1, shape (rows,).
        weights: Positive, shape (rows,).

    Returns:
        Shape (rows,), inside (0, 1): the share of positive outcomes in one of about 20 groups of like scores, of
        about as many rows each, as if one more row had come out like the average.

    Example:
        >>> chances(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.8, 0.8]), np.ones(4)).round(3).tolist()
        [0.583, 0.583, 0.917, 0.917]
    """
    edges = np.unique(np.quantile(scores, np.arange(1, SCORE_BINS) / SCORE_BINS))
    group = np.searchsorted(edges, scores, side="right")
    total = np.bincount(group, weights, len(edges) + 1)
    positive = np.bincount(group, weights * outcomes, len(edges) + 1)
    row = float(np.mean(weights))
    base = float(np.average(outcomes, weights=weights))
    return ((positive + row * base) / (total + row))[group]


def p_value(kind: Kind, group: Sums, reference: Sums, sign: int) -> float:
    """Return the chance of a mean loss that much above a reference's, were the two alike; one-sided.

    Shares are tested exactly (Fisher), with effective numbers of rows when rows weigh differently; gaps against
    the noise of outcomes given their scores (Spiegelhalter's z with a correction for skewness); sizes by Welch.

    Args:
        kind: Of the loss.
        group: One group.
        reference: Another one without common rows.
        sign: 1 to test above, -1 below.

    Returns:
        Between 0 and 1.

    Example:
        >>> losses = np.repeat([0.0, 1.0, 0.0, 1.0], [5, 5, 80, 10])
        >>> columns = Sums.columns(losses, np.ones(100), np.zeros(100))
        >>> group, rest = Sums(columns[:, :10].sum(axis=1)), Sums(columns[:, 10:].sum(axis=1))
        >>> round(p_value("share", group, rest, 1), 5)
        0.00631

    Source: Fisher (1935), JRSS 98; Spiegelhalter (1986), Statistics in Medicine 5; Welch (1947), Biometrika 34;
    Wilson & Hilferty (1931), PNAS 17, for the skewness.
    """
    if kind in {"share", "missed"}:
        return _fisher(group, reference)
    difference = sign * float(group.mean - reference.mean)
    parts = [float(each.variance(kind, other)) for each, other in ((group, reference), (reference, group))]
    spread = math.sqrt(sum(parts))
    if spread == 0.0:
        return 0.0 if difference > 0.0 else 1.0
    if kind == "gap":
        weight = float(group.weight)
        step = 0.5 * float(group.values[2]) / weight / weight  # half of what one row more would change
        skewness = sign * float(group.values[7]) / weight**3 / spread**3
        return _upper_tail(_unskewed((difference - step) / spread, skewness))
    degrees = sum(parts) ** 2 / sum(
        part * part / (float(each.size(kind, each)) - 1.0) for part, each in zip(parts, (group, reference), strict=True)
    )
    return _upper_tail(_normal_of_t(difference / spread, degrees))


def _fisher(group: Sums, reference: Sums) -> float:
    """Return Fisher's one-sided p-value, rounding effective counts against significance."""
    share = group.pooled(reference)
    size = round(float(group.effective(share, reference)))
    other_size = round(float(reference.effective(share, group)))
    bad = min(math.floor(float(group.mean) * size + _ROUNDING), size)
    other_bad = min(math.ceil(float(reference.mean) * other_size - _ROUNDING), other_size)
    return _hypergeometric_tail(bad, size, bad + other_bad, size + other_size)


def _hypergeometric_tail(bad: int, size: int, all_bad: int, total: int) -> float:
    """Return the chance that at least `bad` of `size` rows drawn from `total` are among the `all_bad`."""
    least, most = max(0, size - (total - all_bad)), min(size, all_bad)
    if bad <= least:
        return 1.0
    first = _log_choose(all_bad, bad) + _log_choose(total - all_bad, size - bad) - _log_choose(total, size)
    k = np.arange(bad, most, dtype=np.float64)
    steps = np.log((all_bad - k) * (size - k) / ((k + 1.0) * (total - all_bad - size + k + 1.0)))
    logs = first + np.concatenate([[0.0], np.cumsum(steps)])
    return min(float(np.sum(np.exp(logs))), 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _unskewed(z: float, skewness: float) -> float:
    """Return the normal deviate with the same tail as a skewed one: Wilson-Hilferty's cube root of a gamma."""
    if abs(skewness) < 1e-6:  # noqa: PLR2004 — then the two agree to many digits
        return z
    root = float(np.cbrt(1.0 + skewness * z / 2.0))
    return (root - 1.0 + skewness * skewness / 36.0) * 6.0 / skewness


def _normal_of_t(t: float, degrees: float) -> float:
    """Return the normal deviate with about the same tail as Student's t: Wallace (1959), within 0.02."""
    size = math.sqrt(degrees * math.log1p(t * t / degrees)) * (8.0 * degrees + 1.0) / (8.0 * degrees + 3.0)
    return math.copysign(size, t)


def _upper_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _row_weight(squares: FloatArray, weight: FloatArray, another: FloatArray) -> FloatArray:
    """Return the mean weight of a row, had one more been seen of another weight; 1 where none is known."""
    one = np.where(another > 0.0, another, 1.0)
    return _ratio(squares + one * one, weight + one)


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Return the quotient, 0 where there is nothing to divide by."""
    return np.asarray(top / np.where(bottom > 0.0, bottom, np.inf), dtype=np.float64)
