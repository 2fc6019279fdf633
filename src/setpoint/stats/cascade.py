"""From which confidence on a cheap answer may be taken, so that little is lost: a promise, and how it is watched.

A pair is a request that both versions answered. Its loss is how much better the expensive answer was, from -1 to 1, and
counts when the cheap one is taken. The promise bounds its mean over all requests, taken or passed on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.stats.estimate import LEVEL
from setpoint.stats.special import FloatArray, IntArray

RISK = 1.0 - LEVEL
_BOLDEST = 0.5
"""The share of its wealth that a bet risks at most on one pair."""
_STAKES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.5)

# Known before any pair is seen: a threshold that is chosen by looking is promised nothing.
THRESHOLDS = tuple(np.unique(np.round(1.0 / (1.0 + np.exp(-np.arange(-6.0, 9.25, 0.05))), 4))[::-1].tolist())
"""Confidences from which a cheap answer may be taken, the safest first: every twentieth of a logit."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Which threshold keeps the promise.

    Attributes:
        at_least: The lowest confidence that is taken; None when no threshold is known to keep it.
        pairs: How many it rests on.
        pairs_needed: About how many would show one; None when there is one, or none is likely to be.
    """

    at_least: float | None
    pairs: int
    pairs_needed: int | None = None


def tuned(confidence: FloatArray, losses: FloatArray, limit: float, units: FloatArray | None = None) -> Tuned:
    """Return the lowest threshold whose mean loss is at most `limit`, with a risk of 5 % that it is more.

    Thresholds are tested from the safest down, each with the whole risk, until one fails. Assumes that units are alike
    and independent, and that none to come has more pairs than the largest here; then the p-value of a test is exact at
    any number of them.

    Args:
        confidence: Of the cheap answer, 0 to 1; nan is never taken. In the order of time, shape (pairs,).
        losses: How much better the expensive answer was, -1 to 1, same shape.
        limit: The mean loss over all requests that is allowed, above 0 and below 1.
        units: A number for each unit, same shape: pairs of one unit may depend on each other as they like, and are one
            bet. None: each pair is of another unit.

    Example:
        >>> sure = np.tile([0.95, 0.6], 2000)
        >>> lost = np.where(sure < 0.9, np.resize([0, 0, 0, 1.0], 4000), 0.0)
        >>> tuned(sure, lost, 0.02).at_least  # 0.6 would lose too much
        0.6106
        >>> tuned(sure[:200], lost[:200], 0.02)
        Tuned(at_least=None, pairs=200, pairs_needed=299)

    Source: Angelopoulos, Bates, Candès, Jordan & Lei (2021), "Learn then Test", arXiv 2110.01052, fixed-sequence
    testing; Waudby-Smith & Ramdas (2024), JRSS B 86, for the betting p-value; `_Units` for the rest.
    """
    whose, passed = _Units.of(units, len(losses)), None
    for threshold in THRESHOLDS:
        if p_value(whose.losses(_taken(confidence, losses, threshold), limit), limit) > RISK:
            break
        passed = threshold
    if passed is not None:
        return Tuned(passed, len(losses))
    return Tuned(None, len(losses), _pairs_needed(confidence, losses, limit, whose))


def broken_by(losses: FloatArray, limit: float, before: Sequence[float] = ()) -> int | None:
    """Return the pair that shows that a running cascade loses more than `limit` on average; None while nothing does.

    Looked at after every pair, a promise is called broken in at most 5 % of histories if at every moment the mean loss
    of all requests so far was at most the limit. That rests on the lot which requests are audited by, and on nothing
    else: requests may depend on each other, and change. For the stakes are fixed; with a share `a` audited and a loss
    `l` at each request, the wealth over the product of its means `1 + a s (l - limit)` is a martingale, and that
    product is at most `exp(a s sum(l - limit))`, so at most 1.

    Args:
        losses: Of audited requests, as drawn from all requests, in the order of time; 0 where the cheap answer was not
            taken.
        limit: What is promised.
        before: What `won_by` says of the pairs before these, which showed nothing.

    Example:
        >>> lost = np.resize([0, 0, 0, 1.0], 4000)
        >>> broken_by(lost, 0.02), broken_by(np.zeros(4000), 0.02)
        (51, None)
        >>> broken_by(lost[40:], 0.02, won_by(lost[:40], 0.02))  # 40 of the 51 were looked at before
        11

    Source: Ville (1939); Waudby-Smith & Ramdas (2024), JRSS B 86, for bets on a bounded mean.
    """
    wealth = _mixed(losses - limit, 1.0 + limit, before)
    crossed = np.flatnonzero(wealth >= -math.log(RISK))
    return int(crossed[0]) if len(crossed) else None


def won_by(losses: FloatArray, limit: float, before: Sequence[float] = ()) -> tuple[float, ...]:
    """Return what each bet that a promise is broken has won by some pairs, as a logarithm, to be carried on.

    Args:
        losses: See `broken_by`.
        limit: What is promised.
        before: The same of the pairs before these.

    Example:
        >>> losses = np.resize([0.0, 0.0, 0.0, 1.0], 40)
        >>> first = won_by(losses[:20], 0.02)
        >>> bool(np.allclose(won_by(losses[20:], 0.02, first), won_by(losses, 0.02)))
        True
    """
    return tuple(float(won[-1]) for won in _each(losses - limit, 1.0 + limit, before)) if len(losses) else (*before,)


def safer(
    confidence: FloatArray, losses: FloatArray, at_least: float, limit: float, units: FloatArray | None = None
) -> float | None:
    """Return the lowest threshold above the one in force that keeps the promise, with a risk of 5 % that it does not.

    Bets of fixed sizes rather than those of `tuned`, for here the pairs end when something showed.

    Args:
        confidence: See `tuned`.
        losses: See `tuned`.
        at_least: The threshold in force.
        limit: What is promised.
        units: See `tuned`.

    Returns:
        The threshold; None when none is known to keep it.

    Example:
        >>> sure = np.tile([0.95, 0.6], 2000)
        >>> lost = np.where(sure < 0.9, np.resize([0, 0, 0, 1.0], 4000), 0.0)
        >>> safer(sure, lost, 0.5, 0.02), safer(sure[:52], lost[:52], 0.5, 0.02)
        (0.6106, None)
    """
    whose, found = _Units.of(units, len(losses)), None
    for threshold in THRESHOLDS:
        if threshold <= at_least:
            break
        taken = whose.losses(_taken(confidence, losses, threshold), limit)
        if _mixed(limit - taken, 1.0 - limit).max() < -math.log(RISK):
            break
        found = threshold
    return found


def p_value(losses: FloatArray, limit: float) -> float:
    """Return a p-value of the claim that the mean loss is above `limit`.

    Each pair is bet on with a stake that rests on the spread of those before it, as large as pays off most when the
    claim is just refuted by so many pairs.

    Args:
        losses: -1 to 1, at least one, shape (pairs,).
        limit: Above 0 and below 1.

    Example:
        >>> round(p_value(np.zeros(1000), 0.01), 4), p_value(np.full(1000, 0.02), 0.01)
        (0.007, 1.0)

    Source: Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B 86,
    section 4: the predictable plug-in, for one side.
    """
    place = np.arange(1.0, len(losses) + 1.0)
    mean = np.cumsum(losses) / (place + 1.0)
    # The range of a loss is twice that of their numbers, so the spread of before any pair is 4 times 1/4.
    spread = (1.0 + np.cumsum((losses - mean) ** 2)) / (place + 1.0)
    before = np.concatenate([[1.0], spread[:-1]])
    stake = np.minimum(np.sqrt(-2.0 * math.log(RISK) / (len(losses) * before)), _BOLDEST / (1.0 - limit))
    wealth = np.cumsum(np.log1p(stake * (limit - losses)))
    return math.exp(-max(float(wealth.max()), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """Whose the pairs are: a unit is one bet.

    A unit's losses are summed, with the whole stake for the unit with the most pairs: one that has fewer is filled up
    with pairs that lose just the limit, on which nobody wins. Then the mean over units is above the limit just when the
    mean over pairs is, and units are what is independent.

    Source: Cochran (1977), Sampling Techniques, section 9A: the mean of clusters of several sizes is a ratio of sums.

    Attributes:
        place: Of each pair's unit, in the order in which units came.
        sizes: Pairs by unit.
    """

    place: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, units: FloatArray | None, pairs: int) -> _Units:
        names = np.arange(pairs) if units is None else units
        _, first, place, sizes = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
        order = np.argsort(first)
        return cls(np.argsort(order)[place], sizes[order])

    @property
    def largest(self) -> int:
        """Pairs of the unit that has the most."""
        return int(self.sizes.max())

    def losses(self, losses: FloatArray, limit: float) -> FloatArray:
        """Return a loss a unit, -1 to 1, from those of pairs."""
        largest = self.largest
        return (np.bincount(self.place, losses) + (largest - self.sizes) * limit) / largest


def _taken(confidence: FloatArray, losses: FloatArray, at_least: float) -> FloatArray:
    return np.where(confidence >= at_least, losses, 0.0)


def _mixed(gains: FloatArray, largest_loss: float, before: Sequence[float] = ()) -> FloatArray:
    """Return the logarithm of what bets of several sizes have won together by each pair."""
    return np.logaddexp.reduce(_each(gains, largest_loss, before), axis=0) - math.log(len(_STAKES))


def _each(gains: FloatArray, largest_loss: float, before: Sequence[float]) -> list[FloatArray]:
    """Return the logarithm of what each bet has won by each pair."""
    start = before or [0.0] * len(_STAKES)
    return [won + np.cumsum(np.log1p(stake / largest_loss * gains)) for stake, won in zip(_STAKES, start, strict=True)]


def _pairs_needed(confidence: FloatArray, losses: FloatArray, limit: float, units: _Units) -> int | None:
    """Return about how many pairs it takes until some threshold passes, should they all be as those there are."""
    evidence = -math.log(RISK)
    fewest = _fewest(limit) * units.largest
    if len(losses) < fewest:
        return fewest
    needed: list[float] = []
    for threshold in THRESHOLDS:
        taken = units.losses(_taken(confidence, losses, threshold), limit)
        room = limit - float(taken.mean())
        if room > 0.0 and bool(np.any(confidence >= threshold)):
            needed.append(2.0 * evidence * float(taken.var()) / room**2 * len(losses) / len(taken))
    return max(math.ceil(min(needed)), 2 * len(losses)) if needed else None


def _fewest(limit: float) -> int:
    """Return how many pairs without any loss refute that the mean loss is above the limit."""
    few, many = 0, 1
    while p_value(np.zeros(many), limit) > RISK:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if p_value(np.zeros(middle), limit) > RISK else (few, middle)
    return many
