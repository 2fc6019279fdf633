"""Skill of a yes-or-no model against a forecast that knows no inputs, so that weather is not mistaken for failure."""

import math
from dataclasses import dataclass

from setpoint.stats.classification import missing_rows
from setpoint.stats.estimate import Estimate, Z
from setpoint.stats.intervals import effective_size


@dataclass(frozen=True, slots=True)
class BrierSums:
    """Sums over scored rows with a known outcome, by outcome: no first, yes second.

    Attributes:
        weights: Sum of weights w.
        squares: Sum of w**2.
        losses: Sum of w * (score - outcome)**2.
        losses_squared: Sum of w * (score - outcome)**4.
    """

    weights: tuple[float, float]
    squares: tuple[float, float]
    losses: tuple[float, float]
    losses_squared: tuple[float, float]


def brier_skill(sums: BrierSums, constant: float | None = None) -> Estimate:
    """Return by how much the Brier score is better than that of one score for all: 1 - model / constant.

    Args:
        sums: Sums of the window.
        constant: The score for all, such as last week's share of yes, 0 to 1; None for the window's own share, which
            no forecast that knows no inputs can beat.

    Returns:
        1 for a perfect model, 0 for one that is no better than the constant, negative for one that is worse. The
        interval is the delta method's; unknown with fewer than 10 rows of either outcome.

    Example:
        >>> sums = BrierSums((60.0, 40.0), (60.0, 40.0), (6.0, 8.0), (1.2, 2.4))
        >>> found = brier_skill(sums)
        >>> round(found.value, 4), round(found.low, 3), round(found.high, 3)
        (0.4167, 0.32, 0.514)

    Source: Brier (1950), Monthly Weather Review 78; Murphy (1988), Monthly Weather Review 116.
    """
    no, yes = sums.weights
    missing = missing_rows(_rows(sums, 1), "positive outcomes") or missing_rows(_rows(sums, 0), "negative outcomes")
    if missing:
        return Estimate.unknown(missing)
    total = no + yes
    p, brier = yes / total, sum(sums.losses) / total
    # Loss of the constant, and how it changes with the share of yes.
    against = p * (1.0 - p) if constant is None else p * (1.0 - constant) ** 2 + (1.0 - p) * constant**2
    slope = 1.0 - 2.0 * p if constant is None else 1.0 - 2.0 * constant
    if against <= 0.0:
        return Estimate.unknown("the constant is never wrong in this window")
    spread = max(sum(sums.losses_squared) / total - brier**2, 0.0)
    with_yes = p * (sums.losses[1] / yes - brier)
    variance = spread - 2.0 * brier / against * slope * with_yes + (brier / against * slope) ** 2 * p * (1.0 - p)
    size = effective_size(total, sum(sums.squares))
    half = Z * math.sqrt(max(variance, 0.0) / size) / against
    value = 1.0 - brier / against
    return Estimate(value, value - half, min(value + half, 1.0) if value <= 1.0 else value)


def _rows(sums: BrierSums, outcome: int) -> float:
    return effective_size(sums.weights[outcome], sums.squares[outcome])
