"""Quality of a yes-or-no model from mergeable counts: score bins by outcome, and the model's decisions."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from setpoint.stats.bins import score_bin
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import effective_size, mean, mean_loss, wilson
from setpoint.stats.special import FloatArray, IntArray, no_counts, no_index

FEWEST_ROWS = 10
"""Rows of the rarer kind (positive outcomes, positive predictions ...) below which a metric is unknown."""

LOG_LOSS_CLIP = 1e-15
"""Scores are clipped to [clip, 1 - clip] first, so that one certain mistake costs 34.5, not infinity."""

EQUAL_WEIGHTS = 1e-9
"""Relative difference of two mean row weights that is rounding."""

NO_SCORES = "no scores with outcomes in this window"

Side = tuple[float | None, float | None]
"""Weights of the rows with a positive and a negative outcome; None where that outcome cannot occur."""


@dataclass(frozen=True, slots=True, eq=False)
class BinaryState:
    """Weighted counts and sums of predictions with outcomes in one window; merging two windows adds them.

    A row weighs 1 / keep probability. Without a score it enters no bin and no loss; without a decision of the
    model it enters none of the four confusion counts. `BinaryState()` is the empty window.

    Attributes:
        bin_index: Score bins that hold rows (see `score_bin`), sorted, distinct, shape (bins,).
        negatives: Weight of rows with a negative outcome per bin, shape (bins,).
        positives: Weight of rows with a positive outcome per bin, shape (bins,).
        score_sums: Sum of weight * score per bin, shape (bins,).
        lowest_scores: Smallest score per bin; merges by minimum.
        highest_scores: Largest score per bin; merges by maximum. If equal to the lowest, all rows tie.
        positive_weight: Sum of weights w of all rows with a positive outcome, scored or not.
        negative_weight: The same for negative outcomes.
        positive_weight_of_squares: Sum of w**2 of all rows with a positive outcome.
        negative_weight_of_squares: The same for negative outcomes.
        true_positives: Weight of rows predicted positive that are.
        false_positives: Weight of rows predicted positive that are not.
        false_negatives: Weight of rows predicted negative that are not.
        true_negatives: Weight of rows predicted negative that are.
        brier_sum: Sum of w * (score - outcome)**2.
        brier_sum_of_squares: Sum of w * (score - outcome)**4.
        log_loss_sum: Sum of w * log loss, in nats, scores clipped at `LOG_LOSS_CLIP`.
        log_loss_sum_of_squares: Sum of w * log loss**2.

    Raises:
        ValueError: Bins are not sorted and distinct, shapes differ, or a number is negative or not finite.
    """

    bin_index: IntArray = field(default_factory=no_index)
    negatives: FloatArray = field(default_factory=no_counts)
    positives: FloatArray = field(default_factory=no_counts)
    score_sums: FloatArray = field(default_factory=no_counts)
    lowest_scores: FloatArray = field(default_factory=no_counts)
    highest_scores: FloatArray = field(default_factory=no_counts)
    positive_weight: float = 0.0
    negative_weight: float = 0.0
    positive_weight_of_squares: float = 0.0
    negative_weight_of_squares: float = 0.0
    true_positives: float = 0.0
    false_positives: float = 0.0
    false_negatives: float = 0.0
    true_negatives: float = 0.0
    brier_sum: float = 0.0
    brier_sum_of_squares: float = 0.0
    log_loss_sum: float = 0.0
    log_loss_sum_of_squares: float = 0.0

    def __post_init__(self) -> None:
        """Refuse bins out of order and numbers that are negative or not finite."""
        if bool(np.any(np.diff(self.bin_index) <= 0)):
            msg = "score bins must be sorted and distinct"
            raise ValueError(msg)
        for name in (column.name for column in fields(self)[1:]):
            numbers = np.asarray(getattr(self, name), dtype=np.float64)
            if numbers.ndim and numbers.shape != self.bin_index.shape:
                msg = f"`{name}` has {numbers.size} entries for {self.bin_index.size} bins"
                raise ValueError(msg)
            if not bool(np.all(np.isfinite(numbers) & (numbers >= 0.0))):
                msg = f"`{name}` holds a number that is negative or not finite"
                raise ValueError(msg)

    @classmethod
    def from_rows(
        cls,
        outcomes: FloatArray,
        *,
        scores: FloatArray | None = None,
        decisions: FloatArray | None = None,
        weights: FloatArray | None = None,
    ) -> Self:
        """Return the state of rows; the reference for every engine that computes it in SQL.

        Args:
            outcomes: 1 or True for a positive outcome, shape (rows,), without missing values.
            scores: Predicted probability of a positive outcome, shape (rows,); None when the model has none.
            decisions: 1 or True where the model said yes, shape (rows,); None when it only scores.
            weights: 1 / keep probability per row; None counts each row 1.

        Raises:
            ValueError: A score lies outside [0, 1] or is nan, or an outcome or decision is neither 0 nor 1.

        Example:
            >>> state = BinaryState.from_rows(np.array([0, 1, 1]), scores=np.array([0.2, 0.5, 0.5]))
            >>> state.bin_index.tolist(), state.positives.tolist()
            ([-45, 0], [0.0, 2.0])
        """
        y = _flags(outcomes, "outcomes")
        w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
        said_yes, said_no = np.zeros(len(y)), np.zeros(len(y))
        if decisions is not None:
            said_yes = _flags(decisions, "decisions")
            said_no = 1.0 - said_yes
        positive, negative = w * y, w * (1.0 - y)
        state = cls(
            positive_weight=float(np.sum(positive)),
            negative_weight=float(np.sum(negative)),
            positive_weight_of_squares=float(positive @ w),
            negative_weight_of_squares=float(negative @ w),
            true_positives=float(positive @ said_yes),
            false_positives=float(negative @ said_yes),
            false_negatives=float(positive @ said_no),
            true_negatives=float(negative @ said_no),
        )
        return state if scores is None else state.merge(cls._scored(y, w, np.asarray(scores, np.float64)))

    @classmethod
    def _scored(cls, y: FloatArray, w: FloatArray, scores: FloatArray) -> Self:
        """Return the bins and losses of rows, without their weights and decisions."""
        index, bin_of = np.unique(score_bin(scores), return_inverse=True)
        size, lowest, highest = len(index), np.full(len(index), np.inf), np.zeros(len(index))
        np.minimum.at(lowest, bin_of, scores)
        np.maximum.at(highest, bin_of, scores)
        clipped = np.clip(scores, LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP)
        nats = -np.log(np.where(y > 0.0, clipped, 1.0 - clipped))
        squared = (scores - y) ** 2
        return cls(
            bin_index=index,
            negatives=np.bincount(bin_of, w * (1.0 - y), size).astype(np.float64),
            positives=np.bincount(bin_of, w * y, size).astype(np.float64),
            score_sums=np.bincount(bin_of, w * scores, size).astype(np.float64),
            lowest_scores=lowest,
            highest_scores=highest,
            brier_sum=float(w @ squared),
            brier_sum_of_squares=float(w @ squared**2),
            log_loss_sum=float(w @ nats),
            log_loss_sum_of_squares=float(w @ nats**2),
        )

    def merge(self, other: Self) -> Self:
        """Return the state of both windows together, over the union of their bins.

        Args:
            other: State of another window, without common rows.
        """
        index = np.union1d(self.bin_index, other.bin_index)
        places = [np.searchsorted(index, state.bin_index) for state in (self, other)]

        def union(name: str, start: float, combine: Callable[[FloatArray, FloatArray], FloatArray]) -> FloatArray:
            merged = np.full(len(index), start)
            for state, place in zip((self, other), places, strict=True):
                merged[place] = combine(merged[place], getattr(state, name))
            return merged

        return type(self)(
            index,
            negatives=union("negatives", 0.0, np.add),
            positives=union("positives", 0.0, np.add),
            score_sums=union("score_sums", 0.0, np.add),
            lowest_scores=union("lowest_scores", np.inf, np.minimum),
            highest_scores=union("highest_scores", 0.0, np.maximum),
            positive_weight=self.positive_weight + other.positive_weight,
            negative_weight=self.negative_weight + other.negative_weight,
            positive_weight_of_squares=self.positive_weight_of_squares + other.positive_weight_of_squares,
            negative_weight_of_squares=self.negative_weight_of_squares + other.negative_weight_of_squares,
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
            true_negatives=self.true_negatives + other.true_negatives,
            brier_sum=self.brier_sum + other.brier_sum,
            brier_sum_of_squares=self.brier_sum_of_squares + other.brier_sum_of_squares,
            log_loss_sum=self.log_loss_sum + other.log_loss_sum,
            log_loss_sum_of_squares=self.log_loss_sum_of_squares + other.log_loss_sum_of_squares,
        )

    @property
    def weight(self) -> float:
        """Sum of the weights of all rows."""
        return self.positive_weight + self.negative_weight

    @property
    def weight_of_squares(self) -> float:
        """Sum of the squared weights of all rows."""
        return self.positive_weight_of_squares + self.negative_weight_of_squares


def base_rate(state: BinaryState) -> Estimate:
    """Return the share of rows with a positive outcome.

    Args:
        state: Counts of the window.

    Returns:
        Between 0 and 1, Wilson interval; unknown without rows.

    Example:
        >>> base_rate(BinaryState.from_rows(np.array([1, 0, 0, 0]))).value
        0.25
    """
    return weighted_share(state, (state.positive_weight, None), (None, state.negative_weight))


def accuracy(state: BinaryState) -> Estimate:
    """Return the share of decisions that were right.

    Args:
        state: Counts of the window, with decisions.

    Returns:
        Between 0 and 1, Wilson interval; unknown without decisions.

    Example:
        >>> accuracy(BinaryState.from_rows(np.array([1, 0, 0, 1]), decisions=np.array([1, 0, 0, 0]))).value
        0.75
    """
    right = (state.true_positives, state.true_negatives)
    wrong = (state.false_negatives, state.false_positives)
    if sum(right + wrong) <= 0.0:
        return Estimate.unknown("no decisions in this window")
    return weighted_share(state, right, wrong)


def precision(state: BinaryState) -> Estimate:
    """Return the share of positive predictions that were right.

    Args:
        state: Counts of the window, with decisions.

    Returns:
        Between 0 and 1, Wilson interval; unknown with fewer than 10 positive predictions.

    Example:
        >>> y = np.repeat([1, 0], 10)
        >>> precision(BinaryState.from_rows(y, decisions=np.ones(20))).value
        0.5
    """
    hit, miss = (state.true_positives, None), (None, state.false_positives)
    return _share_of_enough(state, hit, miss, "positive predictions")


def recall(state: BinaryState) -> Estimate:
    """Return the share of positive outcomes that were predicted.

    Args:
        state: Counts of the window, with decisions.

    Returns:
        Between 0 and 1, Wilson interval; unknown with fewer than 10 decisions on positive outcomes.

    Example:
        >>> y = np.repeat([1, 0], 10)
        >>> recall(BinaryState.from_rows(y, decisions=np.ones(20))).value
        1.0
    """
    return _share_of_enough(state, (state.true_positives, None), (state.false_negatives, None), "positive outcomes")


def f1(state: BinaryState) -> Estimate:
    """Return the harmonic mean of precision and recall.

    F1 = 2J / (1 + J) with J the share of true positives among all rows that are not true negatives. Given
    their number J is a binomial share, so its Wilson interval, mapped through this rising function, holds at
    small n, where the delta method does not.

    Args:
        state: Counts of the window, with decisions.

    Returns:
        Between 0 and 1; unknown with fewer than 10 positive outcomes that have a decision.

    Example:
        >>> y = np.repeat([1, 0], 10)
        >>> round(f1(BinaryState.from_rows(y, decisions=np.ones(20))).value, 4)
        0.6667

    Source: derived here; Takahashi et al. (2022), Applied Intelligence 52, give the delta method.
    """
    missing = missing_rows(
        effective_rows(state, (state.true_positives + state.false_negatives, 0.0)), "positive outcomes"
    )
    if missing:
        return Estimate.unknown(missing)
    share = weighted_share(state, (state.true_positives, None), (state.false_negatives, state.false_positives))
    if share.value is None or share.low is None or share.high is None:
        return share
    value, low, high = (2.0 * j / (1.0 + j) for j in (share.value, share.low, share.high))
    return Estimate(value, low, high)


def log_loss(state: BinaryState) -> Estimate:
    """Return the mean negative log likelihood of the outcomes, in nats.

    Args:
        state: Counts of the window, with scores.

    Returns:
        At least 0, smaller is better; interval as in `brier`, unknown with fewer than 10 scored rows of either
        outcome. A few confident mistakes can dominate it: prefer `brier` on few rows.

    Example:
        >>> y = np.tile([0, 1], 10)
        >>> round(log_loss(BinaryState.from_rows(y, scores=np.full(20, 0.5))).value, 4)
        0.6931
    """
    return _loss(state, state.log_loss_sum, state.log_loss_sum_of_squares)


def brier(state: BinaryState) -> Estimate:
    """Return the mean squared difference between score and outcome.

    The interval is `gamma_interval`, its variance raised by Student's quantile: losses lean to the right, and a
    symmetric interval lies too low. With few rows of the rarer outcome no interval holds what it promises.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Between 0 and 1, smaller is better; unknown with fewer than 10 scored rows of either outcome.

    Example:
        >>> y = np.tile([0, 1], 10)
        >>> brier(BinaryState.from_rows(y, scores=np.full(20, 0.5))).value
        0.25

    Source: Brier (1950), Monthly Weather Review 78.
    """
    return _loss(state, state.brier_sum, state.brier_sum_of_squares, 1.0)


def mean_score(state: BinaryState) -> Estimate:
    """Return the mean predicted probability.

    Args:
        state: Counts of the window, with scores.

    Returns:
        Between 0 and 1; Student interval from the spread between bins (that inside a bin, below 1/64, is
        ignored), unknown with fewer than two scored rows.

    Example:
        >>> state = BinaryState.from_rows(np.array([0, 1]), scores=np.array([0.2, 0.6]))
        >>> round(mean_score(state).value, 4)
        0.4
    """
    weights = state.positives + state.negatives
    filled = weights > 0.0
    if not bool(np.any(filled)):
        return Estimate.unknown(NO_SCORES)
    squares = float(np.sum(state.score_sums[filled] ** 2 / weights[filled]))
    scored = (float(np.sum(state.positives)), float(np.sum(state.negatives)))
    estimate = mean(float(np.sum(state.score_sums)), squares, sum(scored), _squares(state, scored))
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(estimate.value, max(estimate.low, 0.0), max(min(estimate.high, 1.0), estimate.value))


def _loss(state: BinaryState, total: float, squares: float, highest: float = math.inf) -> Estimate:
    """Return the mean over scored rows of a loss that lies between 0 and `highest`."""
    scored = (float(np.sum(state.positives)), float(np.sum(state.negatives)))
    weight = sum(scored)
    if weight <= 0.0:
        return Estimate.unknown(NO_SCORES)
    missing = missing_rows(effective_rows(state, (scored[0], 0.0)), "positive outcomes") or missing_rows(
        effective_rows(state, (0.0, scored[1])), "negative outcomes"
    )
    if missing:
        return Estimate.unknown(missing)
    return mean_loss(total, squares, weight, effective_rows(state, scored), highest)


def _flags(values: FloatArray, name: str) -> FloatArray:
    """Return yes-or-no values as 0.0 and 1.0."""
    flags = np.asarray(values, dtype=np.float64)
    if not bool(np.all((flags == 0.0) | (flags == 1.0))):
        msg = f"`{name}` are yes or no: 0 or 1, and not missing"
        raise ValueError(msg)
    return flags


def _squares(state: BinaryState, weights: tuple[float, float]) -> float:
    """Return the sum of squared weights of some positive and some negative rows.

    Assumes that within one outcome the weight of a row is unrelated to the rest.
    """
    positive = state.positive_weight_of_squares / state.positive_weight if state.positive_weight > 0.0 else 0.0
    negative = state.negative_weight_of_squares / state.negative_weight if state.negative_weight > 0.0 else 0.0
    return weights[0] * positive + weights[1] * negative


def effective_rows(state: BinaryState, weights: tuple[float, float]) -> float:
    """Return the effective number of some (positive, negative) rows given by their weights.

    Example:
        >>> effective_rows(BinaryState.from_rows(np.array([0, 1, 1])), (2.0, 1.0))
        3.0
    """
    return effective_size(sum(weights), _squares(state, weights))


def missing_rows(rows: float, kind: str) -> str:
    """Return how many rows of a kind are missing, or an empty string.

    Example:
        >>> missing_rows(3.0, "positive outcomes")
        'needs 7 more positive outcomes'
    """
    short = math.ceil(FEWEST_ROWS - rows - 1e-9)
    return f"needs {short} more {kind if short > 1 else kind[:-1]}" if short > 0 else ""


def weighted_share(state: BinaryState, hit: Side, miss: Side) -> Estimate:
    """Return the weighted share of hits, with Wilson's interval for rows that do not all weigh the same.

    Under a share p the variance of its estimate is p(1 - p) * ((1 - p) * u + p * v) / total, with u and v the
    mean weight of a row that hits and of one that misses. The ends are where the estimate is Z of these away:
    Wilson's interval when all rows weigh the same, honest when the rows that could miss are heavy but unseen.

    Example:
        >>> state = BinaryState.from_rows(np.repeat([1, 0], 10))
        >>> weighted_share(state, (10.0, None), (None, 10.0)).value
        0.5
    """
    hits, total = _weight(hit), _weight(hit) + _weight(miss)
    if total <= 0.0:
        return Estimate.unknown("no rows in this window")
    share, u, v = min(hits / total, 1.0), _row_weight(state, hit), _row_weight(state, miss)
    if abs(u - v) <= EQUAL_WEIGHTS * u:
        return wilson(hits, total, total / u)

    def end(outer: float) -> float:
        inner = share
        for _ in range(60):
            p = (inner + outer) / 2.0
            reach = Z * Z * p * (1.0 - p) * ((1.0 - p) * u + p * v) / total
            inner, outer = (p, outer) if (share - p) ** 2 <= reach else (inner, p)
        return outer

    return Estimate(share, 0.0 if share == 0.0 else end(0.0), 1.0 if share == 1.0 else end(1.0))


def _weight(side: Side) -> float:
    """Return the weight of one side of a share."""
    return (side[0] or 0.0) + (side[1] or 0.0)


def _row_weight(state: BinaryState, side: Side) -> float:
    """Return the mean weight of a row of one side, had one more row of each possible outcome been seen."""
    weights = [(side[0], _squares(state, (1.0, 0.0))), (side[1], _squares(state, (0.0, 1.0)))]
    possible = [(weight, row) for weight, row in weights if weight is not None]
    total = sum(weight + row for weight, row in possible)
    return sum((weight + row) * row for weight, row in possible) / total if total > 0.0 else 1.0


def _share_of_enough(state: BinaryState, hit: Side, miss: Side, kind: str) -> Estimate:
    """Return a share, unknown with fewer than 10 rows of its denominator."""
    rows = effective_rows(state, ((hit[0] or 0.0) + (miss[0] or 0.0), (hit[1] or 0.0) + (miss[1] or 0.0)))
    missing = missing_rows(rows, kind)
    return Estimate.unknown(missing) if missing else weighted_share(state, hit, miss)
