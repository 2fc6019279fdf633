"""How long something takes when part of it is still awaited: outcomes that have not arrived yet, or never will."""

from dataclasses import dataclass

import numpy as np

from setpoint.stats.estimate import Z
from setpoint.stats.special import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalCurve:
    """The share of rows that has arrived by an age, as far as the oldest rows can tell.

    Attributes:
        ages: Ages, rising, shape (steps,): the upper edges of the bins that were observed.
        share: Share arrived by each age, 0 to 1; it need not reach 1.
        low: Lower end of its 95 % interval.
        high: Upper end.
        rows: Rows that were still awaited just before and old enough to tell, weighted.
    """

    ages: FloatArray
    share: FloatArray
    low: FloatArray
    high: FloatArray
    rows: FloatArray

    def at(self, age: float) -> float:
        """Return the share arrived by an age, straight between two steps; beyond the last the last.

        Example:
            >>> curve = arrival_curve(np.array([[5.0, 5.0]]), np.array([20.0]), np.array([2]), np.array([1.0, 2.0]))
            >>> curve.at(1.0), curve.at(1.5), curve.at(9.0)
            (0.25, 0.375, 0.5)
        """
        return float(self.by_ages(np.array([age]))[0])

    def by_ages(self, ages: FloatArray) -> FloatArray:
        """Return the share arrived by each age, shape as given; see `at`."""
        start = np.zeros(1)
        found = np.interp(ages, np.concatenate([start, self.ages]), np.concatenate([start, self.share]))
        return np.asarray(found, dtype=np.float64)

    def age_of(self, part: float) -> tuple[float, float | None, float | None] | None:
        """Return the age by which a part of all that ever arrives has arrived, with its 95 % interval.

        The part is of the last share of the curve. The ends are where the interval of the curve meets it; an end
        that lies beyond what was observed is None.

        Args:
            part: Such as 0.9, more than 0 and less than 1.

        Returns:
            The age, the lower and the upper end; None when nothing arrived.
        """
        if not len(self.share) or self.share[-1] <= 0.0:
            return None
        wanted = part * float(self.share[-1])
        value = _crossing(self.ages, self.share, wanted)
        return value or 0.0, _crossing(self.ages, self.high, wanted), _crossing(self.ages, self.low, wanted)


def arrival_curve(
    arrived: FloatArray, total: FloatArray, observed: IntArray, ages: FloatArray, *, effective_share: float = 1.0
) -> ArrivalCurve:
    """Return the arrival curve of groups of rows that are of different age, such as days.

    Assumes that rows of one age arrive alike whichever group they are of, and that rows of a group are independent.

    Args:
        arrived: Weight that arrived in each bin of age, shape (groups, bins).
        total: Weight of each group, arrived or not, shape (groups,).
        observed: How many of the first bins every row of a group is old enough for, shape (groups,). Later arrivals
            of that group do not count.
        ages: Upper edge of each bin, rising, shape (bins,).
        effective_share: Independent rows that a row of weight 1 is worth, at most 1; see `effective_size`.

    Returns:
        Steps for the bins that some group is old enough for; none without any.

    Example:
        >>> old, young = [4.0, 2.0, 1.0], [5.0, 0.0, 0.0]
        >>> curve = arrival_curve(
        ...     np.array([old, young]), np.array([8.0, 8.0]), np.array([3, 1]), np.array([1.0, 2.0, 3.0])
        ... )
        >>> curve.share.round(4).tolist()
        [0.5625, 0.7812, 0.8906]

    Source: Kaplan & Meier (1958), JASA 53; interval: Greenwood (1926) on log(-log) of what is still awaited,
        Kalbfleisch & Prentice (1980).
    """
    steps = int(observed.max(initial=0))
    before = np.concatenate([np.zeros((len(total), 1)), np.cumsum(arrived, axis=1)[:, :-1]], axis=1)[:, :steps]
    is_old = observed[:, None] > np.arange(steps)
    awaited = np.where(is_old, np.maximum(total[:, None] - before, 0.0), 0.0).sum(axis=0)
    came = np.where(is_old, arrived[:, :steps], 0.0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.cumprod(np.where(awaited > 0.0, 1.0 - came / awaited, 1.0)).astype(np.float64)
        terms = np.where(came > 0.0, came / (awaited * (awaited - came) * effective_share), 0.0)
    low, high = _interval(left, np.cumsum(terms).astype(np.float64))
    return ArrivalCurve(ages[:steps], 1.0 - left, low, high, awaited)


def _interval(left: FloatArray, greenwood: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the interval of the share that has arrived, from the share that is still awaited."""
    low, high = 1.0 - left, 1.0 - left
    inside = (left > 0.0) & (left < 1.0)
    log_left = np.log(left[inside])
    reach = np.exp(Z * np.sqrt(greenwood[inside]) / np.abs(log_left))
    low[inside] = 1.0 - np.exp(log_left / reach)
    high[inside] = 1.0 - np.exp(log_left * reach)
    return low, high


def _crossing(ages: FloatArray, share: FloatArray, wanted: float) -> float | None:
    """Return the first age at which a curve from (0, 0) reaches a share; None when it never does."""
    if not len(share) or share[-1] < wanted - 1e-12:
        return None
    place = int(np.argmax(share >= wanted - 1e-12))
    age_before, share_before = (0.0, 0.0) if place == 0 else (float(ages[place - 1]), float(share[place - 1]))
    rise = float(share[place]) - share_before
    part = 1.0 if rise <= 0.0 else (wanted - share_before) / rise
    return age_before + min(max(part, 0.0), 1.0) * (float(ages[place]) - age_before)
