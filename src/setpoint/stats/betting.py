"""Whether something happens far more often than it ever did, asked as often as one likes while its counts grow.

Somebody bets against the claim that the rate is no higher than usual, each time anew from a period on. Whatever else
happens, as long as rates stay below the usual ones the bets win a factor x with a chance of at most 1 / x, however
often one looks. So the wealth is evidence, and one over the budget is the limit.
"""

import math
from collections.abc import Sequence

import numpy as np

from setpoint.stats.special import FloatArray


def log_wealth(
    hits: FloatArray, rows: FloatArray, usual: FloatArray, goals: Sequence[float], starts: int
) -> FloatArray:
    """Return the logarithm of what bets that the rate is higher than usual have won by the end of each period.

    A bet begins with each period, and for each goal. Of a rate that is usually 1 nothing can be won.

    Args:
        hits: Rows of each period in which it happened, shape (..., periods).
        rows: All rows of each period, same shape.
        usual: The largest rate that is usual in each period, above 0, same shape.
        goals: Where the bet puts the rate: how far between the usual one and 1, between 0 and 1.
        starts: As many periods may there be at most; the stake is spread over them.

    Returns:
        Shape (..., periods).

    Example:
        >>> few, many = np.array([2.0, 2.0]), np.array([2.0, 50.0])
        >>> rows, usual = np.array([100.0, 100.0]), np.array([0.05, 0.05])
        >>> [log_wealth(hits, rows, usual, (0.1, 0.5), 24)[-1].round(1).tolist() for hits in (few, many)]
        [-12.1, 79.0]

    Source: Shin, Ramdas & Rinaldo (2024), "E-detectors: a nonparametric framework for sequential change detection",
    New England Journal of Statistics in Data Science 2, for bets that begin anew; Ville (1939) for the limit.
    """
    won = np.array(_won(hits, rows, usual, goals))
    wealth, found = np.full(won.shape[:-1], -np.inf), np.empty_like(won)
    for period in range(won.shape[-1]):
        wealth = np.logaddexp(wealth, -math.log(starts)) + won[..., period]
        found[..., period] = wealth
    return np.asarray(np.logaddexp.reduce(found, axis=0) - math.log(len(goals)))


def likeliest_start(hits: FloatArray, rows: FloatArray, usual: FloatArray, goals: Sequence[float]) -> int:
    """Return the period whose bet has won most by the end of the last one: since when the rate is likely higher.

    Args:
        hits: See `log_wealth`, shape (periods,).
        rows: Same shape.
        usual: Same shape.
        goals: See `log_wealth`.

    Example:
        >>> likeliest_start(np.array([0.0, 9.0, 8.0]), np.full(3, 10.0), np.full(3, 0.1), (0.5,))
        1
    """
    sums = [won[::-1].cumsum()[::-1] for won in _won(hits, rows, usual, goals)]
    best = max(sums, key=lambda each: float(each.max()))
    return int(best.argmax())


def log_rate_factors(rows: int, hits: int, limit: float, rates: Sequence[float]) -> FloatArray:
    """Return the logarithm of what each bet on a rate wins in one batch against the claim that it is the limit.

    Whoever bets on more than the limit wins nothing on average while each row's chance, given all rows before, is at
    most the limit; who bets on less, while it is at least that.

    Args:
        rows: Of the batch.
        hits: Those of them in which it happened.
        limit: Between 0 and 1, both excluded.
        rates: That are bet on, between 0 and 1, both excluded, shape (bets,).

    Example:
        >>> log_rate_factors(100, 30, 0.2, (0.3, 0.1)).round(1).tolist()
        [2.8, -12.5]

    Source: the sequential test of a binomial rate (Wald, 1945).
    """
    bets = np.asarray(rates, dtype=np.float64)
    return np.asarray(hits * np.log(bets / limit) + (rows - hits) * np.log((1.0 - bets) / (1.0 - limit)))


def _won(hits: FloatArray, rows: FloatArray, usual: FloatArray, goals: Sequence[float]) -> list[FloatArray]:
    """Return the logarithm of the factor that each goal's bet wins in each period."""
    room = np.maximum(1.0 - usual, 0.0)
    is_open = room > _CERTAIN
    return [
        np.where(is_open, hits * np.log1p(goal * room / usual) + (rows - hits) * math.log1p(-goal), 0.0)
        for goal in goals
    ]


_CERTAIN = 1e-9
