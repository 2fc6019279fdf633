"""Is a gain in correct answers worth what it costs? Two versions' shares of successes and costs, and how sure they are.

Sums of units go in, such as users, each with all its rows: rows of a unit resemble each other, so that a unit is
evidence once. A unit may have rows of one version (it was drawn) or of both (both answered the same requests): what
they have in common then cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from setpoint.stats.estimate import LEVEL, Estimate
from setpoint.stats.intervals import fieller
from setpoint.stats.special import FloatArray, student_t_quantile

GAIN = (1.0, 0.0, -1.0, 0.0)
EXTRA_COST = (0.0, 1.0, 0.0, -1.0)
COST, COST_BEFORE = (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)

Contrast = tuple[float, float, float, float]
"""What each of the four means counts: success and cost of the first version, success and cost of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Mean success and cost a row of two versions.

    Attributes:
        values: Success of the first, its cost, success of the second, its cost; shape (4,).
        covariance: Of those, shape (4, 4).
        degrees: Of freedom: units of the version that has fewer, less one.
    """

    values: FloatArray
    covariance: FloatArray
    degrees: float

    def contrast(self, of: Contrast, level: float = LEVEL) -> Estimate:
        """Return a sum of the means with Student's interval.

        Assumes that units are independent, and enough that their mean is normal: some hundred where costs are skewed.

        Args:
            of: How often each mean counts.
            level: How often the interval holds the truth; higher when several are read together.
        """
        a = np.array(of)
        value = float(a @ self.values)
        half = self._quantile(level) * math.sqrt(max(float(a @ self.covariance @ a), 0.0))
        return Estimate(value, value - half, value + half)

    def ratio(self, above: Contrast, below: Contrast, level: float = LEVEL) -> Estimate:
        """Return the ratio of two sums of the means with Fieller's interval; an end that it has not is None.

        Source: Fieller (1954), JRSS B 16; Willan & O'Brien (1996), Health Economics 5, for cost per success.
        """
        a, b = np.array(above), np.array(below)
        x, y = float(a @ self.values), float(b @ self.values)
        if y == 0.0:
            return Estimate.unknown("the denominator is zero")
        scaled = self._quantile(level) ** 2 * self.covariance
        return fieller((x, y), float(a @ scaled @ a), float(b @ scaled @ b), float(a @ scaled @ b))

    def net_benefit(self, value_usd: float, level: float = LEVEL) -> Estimate:
        """Return what a row of the first version brings more than one of the second, in dollars.

        It is the gain times the value of a success, less the extra cost. The values at which its interval holds 0 are
        those of Fieller's for the cost of an extra success.

        Args:
            value_usd: What one success is worth.
            level: How often the interval holds the truth.

        Source: Stinnett & Mullahy (1998), Medical Decision Making 18.
        """
        return self.contrast((value_usd, -1.0, -value_usd, 1.0), level)

    def _quantile(self, level: float) -> float:
        return student_t_quantile((1.0 + level) / 2.0, self.degrees)


def means(sums: FloatArray) -> Means:
    """Return the mean success and cost of two versions from sums of units.

    The covariance is that of a ratio of totals, by linearisation. As if each version had one unit more that went the
    other way, the variance of its successes is never 0: a hundred rows without an error are no proof of none.

    Args:
        sums: Weight, success and cost of the first version, then of the second, one unit a row, shape (units, 6). A
            unit without rows of a version has 0 there. At least two units have rows of each version.

    Example:
        >>> drawn = np.vstack([np.tile([1, 1, 3, 0, 0, 0], (80, 1)), np.tile([1, 0, 1, 0, 0, 0], (20, 1)),
        ...                    np.tile([0, 0, 0, 1, 1, 1], (70, 1)), np.tile([0, 0, 0, 1, 0, 1], (30, 1))])
        >>> found = means(drawn.astype(float))
        >>> gain = found.contrast(GAIN)
        >>> round(gain.value, 3), round(gain.low, 3), round(gain.high, 3)
        (0.1, -0.025, 0.225)
        >>> round(found.ratio(EXTRA_COST, GAIN).value, 2)  # 1.6 dollars for a tenth of a success
        16.0

    Source: Cochran, Sampling Techniques (1977), sections 6.3 and 9A.2; Agresti & Caffo (2000), The American
    Statistician 54, for the units more.
    """
    weight = sums[:, (0, 0, 3, 3)]
    totals = weight.sum(axis=0)
    values = sums[:, (1, 2, 4, 5)].sum(axis=0) / totals
    away = (sums[:, (1, 2, 4, 5)] - values * weight) / totals
    # A unit's weight may differ: what counts is how many equal ones would carry as much.
    units = totals[[0, 2]] ** 2 / (sums[:, (0, 3)] ** 2).sum(axis=0)
    fewest = float(min(units))
    covariance = away.T @ away * (fewest / (fewest - 1.0))
    covariance[[0, 2], [0, 2]] += 1.0 / units**2
    return Means(values, covariance, fewest - 1.0)
