"""Skill of a model against forecasts that know no inputs, or another model: weather is not mistaken for failure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.stats.classification import missing_rows
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import bounded, effective_size, log_ratio


@dataclass(frozen=True, slots=True)
class BrierSums:
    """Sums over rows with a known outcome and a probability of each, by the outcome that came.

    A loss is Brier's own, the squared errors of all classes together: of a yes-or-no score it is twice
    (score - outcome)**2.

    Attributes:
        weights: Sum of weights w, shape (outcomes,).
        squares: Sum of w**2.
        losses: Sum of w * loss.
        losses_squared: Sum of w * loss**2.
    """

    weights: Sequence[float]
    squares: Sequence[float]
    losses: Sequence[float]
    losses_squared: Sequence[float]


def brier_skill(sums: BrierSums, shares: Sequence[float] | None = None) -> Estimate:
    """Return by how much the Brier score is better than that of one forecast for all: 1 - model / constant.

    Args:
        sums: Sums of the window.
        shares: The forecast for all, such as last week's share of each outcome, that sums to 1; None for the
            window's own shares, which no forecast that knows no inputs can beat.

    Returns:
        1 for a perfect model, 0 for one that is no better than the constant, negative for one that is worse. The
        interval is the delta method's; unknown with fewer than 10 rows that are not of the most frequent outcome.

    Example:
        >>> sums = BrierSums((60.0, 40.0), (60.0, 40.0), (12.0, 16.0), (4.8, 9.6))
        >>> found = brier_skill(sums)
        >>> round(found.value, 4), round(found.low, 3), round(found.high, 3)
        (0.4167, 0.32, 0.514)

    Source: Brier (1950), Monthly Weather Review 78; Murphy (1988), Monthly Weather Review 116.
    """
    rows = sorted(effective_size(*pair) for pair in zip(sums.weights, sums.squares, strict=True))
    missing = missing_rows(sum(rows[:-1]), "rarer outcomes")
    if missing:
        return Estimate.unknown(missing)
    total = sum(sums.weights)
    own = [weight / total for weight in sums.weights]
    forecast = own if shares is None else shares
    spread = sum(share**2 for share in forecast)
    # Loss of the constant, by the outcome that came.
    constants = [1.0 - 2.0 * share + spread for share in forecast]
    loss, against = sum(sums.losses) / total, sum(p * c for p, c in zip(own, constants, strict=True))
    if against <= 0.0:
        return Estimate.unknown("the constant is never wrong in this window")
    ratio = loss / against
    # The variance of loss - ratio * constant. That the window's own shares are estimated is second order:
    # they are where the constant's loss is lowest.
    both = sum(lost * c for lost, c in zip(sums.losses, constants, strict=True)) / total
    variance = (
        sum(sums.losses_squared) / total
        - 2.0 * ratio * both
        + ratio**2 * sum(p * c * c for p, c in zip(own, constants, strict=True))
    )
    half = Z * math.sqrt(max(variance, 0.0) / effective_size(total, sum(sums.squares))) / against
    value = 1.0 - ratio
    return Estimate(value, value - half, min(value + half, 1.0) if value <= 1.0 else value)


def skill_over(mine: Estimate, other: Estimate) -> Estimate:
    """Return by how much one model's mean loss is better than another's: 1 - mine / other.

    Args:
        mine: Mean loss of the one with its interval, never negative.
        other: That of the other, of rows of the same time.

    Returns:
        1 for a perfect model, 0 for two that are alike, negative when the other is better. The interval takes the
        two for independent: when both answered the same rows it is too wide, never too narrow.

    Example:
        >>> found = skill_over(Estimate(0.16, 0.15, 0.17), Estimate(0.2, 0.19, 0.21))
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (0.2, 0.134, 0.262)

    Source: Zou & Donner (2008), Statistics in Medicine 27 (MOVER).
    """
    for one in (mine, other):
        if one.value is None:
            return Estimate.unknown(one.reason)
    losses = (mine.value or 0.0, other.value or 0.0)
    if not all(losses):
        return Estimate.unknown("one of them is never wrong in this window")
    ends = tuple((one.low or 0.0, math.inf if one.high is None else one.high) for one in (mine, other))
    low, high = log_ratio(losses, (ends[0], ends[1]), 0.0)
    ratio = losses[0] / losses[1]
    return bounded(1.0 - ratio, 1.0 - ratio * high, 1.0 - ratio * low)
