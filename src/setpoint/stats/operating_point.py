"""What a model's scores achieve where they are acted upon: above a threshold, or on the highest share of rows."""

import math
from dataclasses import dataclass

import numpy as np

from setpoint.stats.classification import (
    NO_SCORES,
    BinaryState,
    effective_rows,
    missing_rows,
    weighted_share,
)
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.stats.special import FloatArray

NEIGHBOUR_SHARE = 0.05
"""Share of rows on either side of a cut from which the event rate at the cut is taken."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Acting on all rows that score at least `threshold`.

    Attributes:
        threshold: Score from which on rows are acted upon, 0 to 1.
        acted_share: Share of rows acted upon.
        precision: Share of rows acted upon that are positive.
        recall: Share of positive outcomes that are acted upon.
    """

    threshold: float
    acted_share: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True, slots=True)
class _Cut:
    """Weights above a cut through a bin, and the fewest and most positives that could be above it."""

    threshold: float
    positive: float
    negative: float
    fewest_positive: float
    most_positive: float
    fewest_negative: float
    most_negative: float


def at_threshold(state: BinaryState, threshold: float) -> OperatingPoint:
    """Return precision and recall when all rows that score at least `threshold` are acted upon.

    Of the score bin that holds the threshold rows are taken in proportion, as if even between its lowest and
    highest score. Intervals are Wilson's, widened where needed to hold what is possible inside that bin.

    Args:
        state: Counts of the window, with scores.
        threshold: Between 0 and 1.

    Returns:
        Precision is unknown with fewer than 10 rows at or above the threshold, recall with fewer than 10 positive
        outcomes.

    Raises:
        ValueError: The threshold is not between 0 and 1.

    Example:
        >>> scores = np.repeat([0.2, 0.8], 100)
        >>> state = BinaryState.from_rows(np.arange(200) % 10 < np.repeat([1, 6], 100), scores=scores)
        >>> point = at_threshold(state, 0.5)
        >>> point.precision.value, round(point.recall.value, 3), point.acted_share.value
        (0.6, 0.857, 0.5)

    Source: Wilson (1927), JASA 22.
    """
    if not 0.0 <= threshold <= 1.0:
        msg = f"a threshold is a score between 0 and 1, got `{threshold}`"
        raise ValueError(msg)
    positives, negatives = float(np.sum(state.positives)), float(np.sum(state.negatives))
    if positives + negatives <= 0.0:
        nothing = Estimate.unknown(NO_SCORES)
        return OperatingPoint(threshold, nothing, nothing, nothing)
    cut = _cut_at_score(state, threshold)
    acted = weighted_share(state, (cut.positive, cut.negative), (positives - cut.positive, negatives - cut.negative))
    precision = weighted_share(state, (cut.positive, None), (None, cut.negative))
    recall = weighted_share(state, (cut.positive, None), (positives - cut.positive, None))
    return OperatingPoint(threshold, acted, *_enough(state, cut, precision, recall))


def at_budget(state: BinaryState, share: float) -> OperatingPoint:
    """Return precision and recall when the given share of rows, those with the highest scores, is acted upon.

    The threshold is estimated from the same rows, so a positive row more above the cut pushes another row below
    it. The variance accounts for that by linearisation, with the event rate at the cut from its neighbourhood;
    the interval is Wilson's on the rows that would give this variance, widened where needed to hold what is
    possible inside the bin that is cut. Ties at the cut are broken at random.

    Args:
        state: Counts of the window, with scores.
        share: Share of rows that can be acted upon, above 0, below 1.

    Returns:
        Precision is unknown when the budget is fewer than 10 rows, recall with fewer than 10 positive outcomes.

    Raises:
        ValueError: The share is not between 0 and 1.

    Example:
        >>> scores = np.repeat([0.2, 0.8], [900, 100])
        >>> state = BinaryState.from_rows(np.arange(1000) % 10 < np.repeat([1, 6], [900, 100]), scores=scores)
        >>> point = at_budget(state, 0.1)
        >>> point.precision.value, point.recall.value, round(point.recall.low, 3), round(point.recall.high, 3)
        (0.6, 0.4, 0.341, 0.462)

    Source: linearisation of a quantile by Bahadur (1966), Annals of Mathematical Statistics 37; rows that would
    give a variance: Korn & Graubard (1998), Survey Methodology 24.
    """
    if not 0.0 < share < 1.0:
        msg = f"a budget is a share of rows between 0 and 1, got `{share}`"
        raise ValueError(msg)
    positives, negatives = float(np.sum(state.positives)), float(np.sum(state.negatives))
    if positives + negatives <= 0.0:
        nothing = Estimate.unknown(NO_SCORES)
        return OperatingPoint(1.0, nothing, nothing, nothing)
    cut, rate = _cut_at_share(state, share), _rate_at_cut(state, share)
    total, above = positives + negatives, cut.positive + cut.negative
    recall = cut.positive / positives if positives > 0.0 else 0.0
    # the influence of a row on the estimate, by outcome and side of the cut: (1, above), (1, below), (0, above)
    cells = np.array([cut.positive, positives - cut.positive, cut.negative, negatives - cut.negative])
    of_recall = np.array([1.0 - rate - recall, -recall, -rate, 0.0]) / max(positives / total, 1e-300)
    of_precision = np.array([1.0 - rate, 0.0, -rate, 0.0]) * total / above
    found = (
        _score_interval(state, cells, of_recall, cut.positive, positives),
        _score_interval(state, cells, of_precision, cut.positive, above),
    )
    return OperatingPoint(cut.threshold, Estimate(share, share, share), *_enough(state, cut, found[1], found[0]))


def _enough(state: BinaryState, cut: _Cut, precision: Estimate, recall: Estimate) -> tuple[Estimate, Estimate]:
    """Return precision and recall, unknown on few rows, else widened by what is possible inside the cut bin."""
    positives = float(np.sum(state.positives))
    few_acted = missing_rows(effective_rows(state, (cut.positive, cut.negative)), "positive predictions")
    few_positive = missing_rows(effective_rows(state, (positives, 0.0)), "positive outcomes")
    lowest = cut.fewest_positive / max(cut.fewest_positive + cut.most_negative, 1e-300)
    highest = cut.most_positive / max(cut.most_positive + cut.fewest_negative, 1e-300)
    return (
        Estimate.unknown(few_acted) if few_acted else _widened(precision, lowest, highest),
        Estimate.unknown(few_positive)
        if few_positive
        else _widened(recall, cut.fewest_positive / positives, cut.most_positive / positives),
    )


def _widened(estimate: Estimate, lowest: float, highest: float) -> Estimate:
    """Return an estimate whose interval also holds two numbers."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(estimate.value, min(estimate.low, lowest), max(estimate.high, min(highest, 1.0)))


def _cut_at_score(state: BinaryState, threshold: float) -> _Cut:
    """Return the weights at or above a score."""
    inside = (state.lowest_scores < threshold) & (threshold <= state.highest_scores)
    whole = state.lowest_scores >= threshold
    width = (state.highest_scores - state.lowest_scores)[inside]
    part = float(np.sum((state.highest_scores[inside] - threshold) / width))
    above = [float(np.sum(column[whole])) for column in (state.positives, state.negatives)]
    within = [float(np.sum(column[inside])) for column in (state.positives, state.negatives)]
    return _Cut(
        threshold,
        above[0] + part * within[0],
        above[1] + part * within[1],
        above[0],
        above[0] + within[0],
        above[1],
        above[1] + within[1],
    )


def _cut_at_share(state: BinaryState, share: float) -> _Cut:
    """Return the weights of the highest share of rows."""
    weights = state.positives + state.negatives
    before = np.sum(weights) - np.cumsum(weights)
    wanted = share * float(np.sum(weights))
    at = int(np.argmax((before < wanted) & (weights > 0.0)))
    positive, negative = float(np.sum(state.positives[at + 1 :])), float(np.sum(state.negatives[at + 1 :]))
    inside, p, n = wanted - positive - negative, float(state.positives[at]), float(state.negatives[at])
    part = min(inside / (p + n), 1.0)
    low, high = float(state.lowest_scores[at]), float(state.highest_scores[at])
    tied = low == high
    least = part * p if tied else max(inside - n, 0.0)
    most = part * p if tied else min(p, inside)
    return _Cut(
        high - part * (high - low),
        positive + part * p,
        negative + part * n,
        positive + least,
        positive + most,
        negative + inside - most,
        negative + inside - least,
    )


def _rate_at_cut(state: BinaryState, share: float) -> float:
    """Return the event rate of rows about the cut, with one positive and one negative row added."""
    weights = state.positives + state.negatives
    total = float(np.sum(weights))
    reach = min(NEIGHBOUR_SHARE, share, 1.0 - share) * total
    end = np.cumsum(weights[::-1])[::-1]
    overlap = np.minimum(end, share * total + reach) - np.maximum(end - weights, share * total - reach)
    part = np.divide(np.maximum(overlap, 0.0), weights, out=np.zeros(len(weights)), where=weights > 0.0)
    one = state.weight_of_squares / state.weight
    return (float(part @ state.positives) + one) / (float(part @ weights) + 2.0 * one)


def _score_interval(
    state: BinaryState, cells: FloatArray, influence: FloatArray, hits: float, total: float
) -> Estimate:
    """Return a share with Wilson's interval on the rows that give the variance of its influence by cell."""
    if total <= 0.0:
        return Estimate.unknown("no rows in this window")
    # half a row in every cell: a cell without rows is not one without chance
    one = state.weight_of_squares / state.weight
    positive = state.positive_weight_of_squares / state.positive_weight if state.positive_weight > 0.0 else one
    negative = state.negative_weight_of_squares / state.negative_weight if state.negative_weight > 0.0 else one
    row_weights = np.array([positive, positive, negative, negative])
    filled = cells + 0.5 * row_weights
    weight = float(np.sum(filled))
    middle = float(filled @ influence) / weight
    spread = float((filled * row_weights) @ (influence - middle) ** 2) / weight**2
    smooth = (hits + positive) / (total + 2.0 * positive)
    rows = smooth * (1.0 - smooth) / spread if spread > 0.0 else math.inf
    return wilson(min(hits, total), total, rows)
