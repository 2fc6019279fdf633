"""How often each score came true: a calibration map, learned from mature outcomes counted by score bin."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.bins import SCORE_BIN_HIGHEST, SCORE_BIN_LOWEST, SCORE_BINS_PER_LOGIT, score_bin
from setpoint.stats.intervals import effective_size
from setpoint.stats.special import FloatArray, IntArray

FEWEST_OUTCOMES = 200
"""Scored outcomes that a calibration map is learned from, at least."""

FEWEST_OF_EACH = 10
"""Of them positive, and negative."""

CURVE_ROWS = 2.0
"""Rows of the smooth curve that join those of each score bin, chosen by `bench/estimation.py`."""

UNDECIDED = -1
MOST_ALIKE = 0.9
"""Correlation of a day with the next beyond which a reference is too short to tell."""

_UNSURE = 3.0  # standard errors, chosen so that in simulated years no more is found than is said

_CERTAIN = 12.0
_KNOTS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
_LEVEL, _SLOPE, _BEND = 1.0, 0.5, 0.3
_STEPS, _CONVERGED = 60, 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeHistogram:
    """Rows with a score and an outcome by group (a day), score bin and decision; merging puts the cells together.

    Attributes:
        group: Of each cell, 0, 1, 2 ... in order of time, shape (cells,). Rows of one group may share a cause.
        bin_index: Score bin (see `score_bin`).
        decision: 1 where the model said yes, 0 no, `UNDECIDED` neither.
        positives: Sum of row weights (1 / keep probability) of rows that came true.
        weight: Sum of row weights of all rows.
        weight_of_squares: Sum of squared row weights.

    Raises:
        ValueError: Shapes differ.
    """

    group: IntArray
    bin_index: IntArray
    decision: IntArray
    positives: FloatArray
    weight: FloatArray
    weight_of_squares: FloatArray

    def __post_init__(self) -> None:
        """Refuse columns of different length."""
        columns = (self.bin_index, self.decision, self.positives, self.weight, self.weight_of_squares)
        if any(column.shape != self.group.shape for column in columns):
            msg = "a histogram has one number of each kind a cell"
            raise ValueError(msg)

    @classmethod
    def from_rows(
        cls,
        scores: FloatArray,
        outcomes: FloatArray,
        *,
        groups: IntArray | None = None,
        decisions: IntArray | None = None,
        weights: FloatArray | None = None,
    ) -> Self:
        """Return the histogram of rows; the reference for every engine that computes it in SQL.

        Args:
            scores: Predicted probability of a positive outcome, shape (rows,), without missing values.
            outcomes: 1 or True for a positive outcome, shape (rows,), without missing values.
            groups: 0, 1, 2 ... of each row; None puts all rows into one.
            decisions: 1 where the model said yes, 0 no; None when it only scores.
            weights: 1 / keep probability per row; None counts each row 1.

        Raises:
            ValueError: A score lies outside [0, 1] or is nan.

        Example:
            >>> rows = OutcomeHistogram.from_rows(np.array([0.2, 0.2, 0.9]), np.array([0, 1, 1]))
            >>> rows.bin_index.tolist(), rows.positives.tolist(), rows.weight.tolist()
            ([-45, 70], [1.0, 1.0], [2.0, 1.0])
        """
        rows = len(scores)
        group = np.zeros(rows, dtype=np.int64) if groups is None else groups.astype(np.int64)
        said = np.full(rows, UNDECIDED, dtype=np.int64) if decisions is None else decisions.astype(np.int64)
        w = np.ones(rows) if weights is None else weights
        bins = SCORE_BIN_HIGHEST - SCORE_BIN_LOWEST + 1
        place = (group * bins + score_bin(scores) - SCORE_BIN_LOWEST) * 3 + said - UNDECIDED
        held, cell = np.unique(place, return_inverse=True)
        positives, weight, squares = (
            np.bincount(cell, column, len(held)).astype(np.float64) for column in (w * outcomes, w, w * w)
        )
        index = held // 3 % bins + SCORE_BIN_LOWEST
        return cls(held // (3 * bins), index, held % 3 + UNDECIDED, positives, weight, squares)

    def merge(self, other: Self) -> Self:
        """Return the histogram of both together.

        Args:
            other: Without common rows; its groups are those of this one.
        """
        return type(self)(
            np.concatenate([self.group, other.group]),
            np.concatenate([self.bin_index, other.bin_index]),
            np.concatenate([self.decision, other.decision]),
            np.concatenate([self.positives, other.positives]),
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.weight_of_squares, other.weight_of_squares]),
        )

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1 if len(self.group) else 0


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationMap:
    """How often each score came true: a smooth curve, and near it each bin's own rate as far as it has rows.

    The log odds of the curve are those of the score plus a level, a slope and some bends. A bin's rate is that of its
    rows together with `CURVE_ROWS` rows that came true as the curve says: where scores are rounded, or come from few
    leaves, each has its own rate; else a bin holds few rows, and the curve decides.

    Attributes:
        center: Mean log odds of the reference.
        spread: Their standard deviation, positive.
        reach: Smallest and largest standardised log odds of the reference; beyond, the correction stays as it is there.
        knots: Standardised log odds at which the slope may change.
        coefficients: Level, slope and bends; 0 is the score itself.
        covariance: Of the coefficients.
        bins: Score bins of the reference, sorted, distinct.
        positives: Rows of each that came true, effective.
        rows: Rows of each, effective.
        reference: What it was learned from.
    """

    center: float
    spread: float
    reach: tuple[float, float]
    knots: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    bins: IntArray
    positives: FloatArray
    rows: FloatArray
    reference: OutcomeHistogram

    def curve(self, bin_index: IntArray) -> FloatArray:
        """Return how often a row of each score bin comes true, by the curve alone, 0 to 1."""
        return logistic(log_odds(bin_index) + self._basis(bin_index) @ self.coefficients)

    def probabilities(self, bin_index: IntArray) -> FloatArray:
        """Return how often a row of each score bin comes true, 0 to 1.

        Args:
            bin_index: As from `score_bin`, shape (bins,).
        """
        place, held = self._places(bin_index)
        rows, positives = np.where(held, self.rows[place], 0.0), np.where(held, self.positives[place], 0.0)
        return (positives + CURVE_ROWS * self.curve(bin_index)) / (rows + CURVE_ROWS)

    def variance(self, bin_index: IntArray, pull: FloatArray, *, careful: bool = False) -> float:
        """Return the variance of a sum of probabilities, because they were learned from finitely many outcomes.

        Every outcome of the reference moves its own bin and the curve; that of the sum is what independent outcomes
        give or, if it is larger, what the groups of the reference give, of which neighbours may go together. The prior
        of the curve adds its own.

        Args:
            bin_index: Shape (bins,).
            pull: Weight of each probability in the sum.
            careful: Whether chance may hide how much neighbours go together; see `long_run_sum`.
        """
        place, held = self._places(bin_index)
        rows, curve = np.where(held, self.rows[place], 0.0), self.curve(bin_index)
        direct = np.bincount(place[held], pull[held] / (rows[held] + CURVE_ROWS), len(self.bins))
        to_curve = (pull * CURVE_ROWS / (rows + CURVE_ROWS) * curve * (1.0 - curve)) @ self._basis(bin_index)
        moved = self.covariance @ to_curve
        influence = direct + self._basis(self.bins) @ moved
        p = self.probabilities(self.bins)
        alone = float((self.rows * p * (1.0 - p)) @ influence**2)
        prior = float(_penalty(len(moved)) @ moved**2)
        row_weight = float(np.sum(self.reference.weight)) / float(np.sum(self.rows))
        pulls = influence[np.searchsorted(self.bins, self.reference.bin_index)] / row_weight
        return max(alone, long_run_sum(self.gaps(pulls), alone if careful else 0.0)) + prior

    def gaps(self, pull: FloatArray) -> FloatArray:
        """Return by how much each group of the reference came true more often than the curve says, but for the mean.

        Args:
            pull: What a unit of weight of each cell of the reference counts.

        Returns:
            Sums, shape (groups,).
        """
        reference = self.reference
        apart = pull * (reference.positives - reference.weight * self.curve(reference.bin_index))
        found = np.bincount(reference.group, apart, reference.groups)
        sizes = np.bincount(reference.group, reference.weight, reference.groups)
        return (found - float(np.sum(found)) * sizes / float(np.sum(sizes))).astype(np.float64)

    def _places(self, bin_index: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Return where each bin is among those of the reference, and whether it is there."""
        place = np.minimum(np.searchsorted(self.bins, bin_index), len(self.bins) - 1)
        return place, self.bins[place] == bin_index

    def _basis(self, bin_index: IntArray) -> FloatArray:
        """Return what each coefficient adds to the log odds of each bin, shape (bins, coefficients)."""
        return _basis(bin_index, (self.center, self.spread), self.reach, self.knots)


def missing_outcomes(reference: OutcomeHistogram) -> str:
    """Return how many outcomes a calibration map lacks, or an empty string.

    Args:
        reference: Rows whose outcomes are mature.

    Example:
        >>> missing_outcomes(OutcomeHistogram.from_rows(np.array([0.2, 0.6]), np.array([0, 1])))
        'needs 198 more mature outcomes to calibrate'
    """
    weight, squares = float(np.sum(reference.weight)), float(np.sum(reference.weight_of_squares))
    positive = float(np.sum(reference.positives))
    each = weight / squares if squares > 0.0 else 1.0  # independent rows that a unit of weight is worth
    for kind, rows, fewest in (
        ("outcome", effective_size(weight, squares), FEWEST_OUTCOMES),
        ("positive outcome", positive * each, FEWEST_OF_EACH),
        ("negative outcome", (weight - positive) * each, FEWEST_OF_EACH),
    ):
        short = math.ceil(fewest - rows - 1e-9)
        if short > 0:
            return f"needs {short} more mature {kind}{'s' if short > 1 else ''} to calibrate"
    return ""


def calibrate(reference: OutcomeHistogram) -> CalibrationMap:
    """Learn how often each score comes true.

    Penalised logistic regression on the bins, with the score's own log odds as offset: with few outcomes the curve
    stays near the score itself. Where a bin has many rows, as with scores that are rounded, its own rate counts more.
    Not isotonic: a score that ranks upside down must be allowed to say so. `bench/estimation.py` compares the errors.

    Args:
        reference: Rows whose outcomes are mature; see `missing_outcomes`.

    Raises:
        ValueError: There are no outcomes with a score.

    Example:
        >>> scores = np.repeat([0.2, 0.6], 500)
        >>> proud = calibrate(OutcomeHistogram.from_rows(scores, np.arange(1000) % 5 < 1))
        >>> proud.probabilities(score_bin(np.array([0.2, 0.6]))).round(2).tolist()
        [0.2, 0.2]

    Source: Platt (1999) for the logistic map; Wahba (1983), JRSS B 45, for the covariance of a penalised fit; the prior
    about the score is ours.
    """
    total = float(np.sum(reference.weight))
    if total <= 0.0:
        msg = "a calibration map is learned from outcomes with a score: there are none"
        raise ValueError(msg)
    row_weight = float(np.sum(reference.weight_of_squares)) / total
    bins, place = np.unique(reference.bin_index, return_inverse=True)
    weights = np.bincount(place, reference.weight) / row_weight
    positives = np.bincount(place, reference.positives) / row_weight
    x, rows = log_odds(bins), total / row_weight
    center = float(weights @ x) / rows
    spread = max(math.sqrt(float(weights @ (x - center) ** 2) / rows), 1e-3)
    z = (x - center) / spread
    reach = (float(z.min()), float(z.max()))
    knots = np.interp(_KNOTS, (np.cumsum(weights) - weights / 2.0) / rows, z)
    basis = _basis(bins, (center, spread), reach, knots)
    found, information = _fitted(basis, x, (positives, weights), _penalty(basis.shape[1]))
    covariance = np.linalg.inv(information).astype(np.float64)
    return CalibrationMap(center, spread, reach, knots, found, covariance, bins, positives, weights, reference)


def long_run_sum(sums: FloatArray, alone: float = 0.0) -> float:
    """Return the variance of the total of numbers in order of time, of which neighbours may go together.

    Takes what a day shares with the next for autoregressive of order one, as weather and campaigns about are: the sum
    of squares times (1 + r) / (1 - r), with the correlation r of neighbours corrected for its bias in short series.
    Chance, that no two days share, hides a part of that correlation: without it the rest correlates more. By how much a
    short series cannot tell, the less the more is chance: so that many parts of three standard errors are added. This
    counts where it is more.

    Args:
        sums: One a group, with expectation 0, shape (groups,).
        alone: Their sum of squares to be expected by chance alone; 0 leaves out that it hides anything.

    Returns:
        At least the sum of squares, which it is when neighbours are independent.

    Example:
        >>> long_run_sum(np.array([1.0, -1.0, 1.0, -1.0])), round(long_run_sum(np.repeat([1.0, -1.0], 10)), 1)
        (4.0, 380.0)
        >>> weather = np.sin(np.arange(60) / 6.0)
        >>> [round(long_run_sum(weather + np.tile([0.9, 0.9, -0.9, -0.9], 15), alone), 1) for alone in (0.0, 48.6)]
        [186.0, 603.5]

    Source: Parzen (1957) for the long-run variance of an autoregression; Kendall (1954), Biometrika 41, for the bias;
    Staudenmayer and Buonaccorsi (2005), JASA 100, for an autoregression that is seen with noise.
    """
    squares = float(sums @ sums)
    if squares <= 0.0:
        return 0.0
    products = float(sums[1:] @ sums[:-1])
    long_run = squares * _spread_out(products / squares, len(sums))
    shared = squares - alone
    if not 0.0 < alone < squares:
        return long_run
    unsure = _UNSURE * alone / math.sqrt(len(sums))
    return max(long_run, alone + shared * _spread_out((products + unsure) / shared, len(sums)))


def _spread_out(together: float, count: int) -> float:
    """Return how much more the total of an autoregression varies than the sum of as many independent numbers."""
    alike = min(max(together + (1.0 + 3.0 * together) / count, 0.0), MOST_ALIKE)
    return (1.0 + alike) / (1.0 - alike)


def _fitted(
    basis: FloatArray, offset: FloatArray, counts: tuple[FloatArray, FloatArray], penalty: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients of most penalised likelihood and their information, by damped Newton steps.

    Args:
        basis: Shape (bins, coefficients).
        offset: Log odds of each bin when all coefficients are 0.
        counts: Positive rows, and all rows, of each bin.
        penalty: Precision of the prior of each coefficient about 0.
    """
    positives, rows = counts

    def loss(at: FloatArray) -> float:
        sums = offset + basis @ at
        return float(rows @ np.logaddexp(0.0, sums) - positives @ sums + 0.5 * penalty @ at**2)

    def information(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        p = logistic(offset + basis @ at)
        return p, (basis * (rows * p * (1.0 - p))[:, None]).T @ basis + np.diag(penalty)

    found = np.zeros(basis.shape[1])
    for _ in range(_STEPS):
        p, curvature = information(found)
        step = np.linalg.solve(curvature, basis.T @ (positives - rows * p) - penalty * found)
        before, size = loss(found), 1.0
        while loss(found + size * step) > before and size > 1e-6:  # noqa: PLR2004 - nothing is gained any more
            size /= 2.0
        found = found + size * step
        if float(np.max(np.abs(size * step))) < _CONVERGED:
            break
    return found, information(found)[1]


def _penalty(coefficients: int) -> FloatArray:
    """Return the precision of the prior of each coefficient about 0, the score itself."""
    return np.array([_LEVEL, _SLOPE, *[_BEND] * (coefficients - 2)]) ** -2.0


def log_odds(bin_index: IntArray) -> FloatArray:
    """Return the log odds of each score bin; what claims more certainty than five digits says as much.

    Args:
        bin_index: As from `score_bin`, any shape.

    Example:
        >>> log_odds(np.array([-640, 0])).tolist()
        [-12.0, 0.015625]
    """
    return np.clip((bin_index + 0.5) / SCORE_BINS_PER_LOGIT, -_CERTAIN, _CERTAIN)


def logistic(values: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), element by element: without scipy, whose import takes longer than a million rows.

    Args:
        values: Log odds, any shape.

    Example:
        >>> logistic(np.array([0.0, 800.0])).tolist()
        [0.5, 1.0]
    """
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def _basis(
    bin_index: IntArray, scale: tuple[float, float], reach: tuple[float, float], knots: FloatArray
) -> FloatArray:
    z = np.clip((log_odds(bin_index) - scale[0]) / scale[1], *reach)
    return np.stack([np.ones(len(z)), z, *(np.maximum(z - knot, 0.0) for knot in knots.tolist())], axis=1)
