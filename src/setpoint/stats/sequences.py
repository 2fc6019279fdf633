"""What an experiment says at any moment: how far two means are apart, and whether units are shared out as meant.

Both may be looked at after every batch: the interval holds the truth at all moments at once in 95 of 100 experiments,
and units that are shared out as meant are called a mismatch at most as often as was asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.estimate import LEVEL, Estimate
from setpoint.stats.special import FloatArray, log_gamma

Flags = NDArray[np.bool_]
_MISS = 1.0 - LEVEL
_STAKES, _HALVINGS = 0.5 ** np.arange(1.0, 13.0), 40


@dataclass(slots=True)
class DifferenceSequence:
    """The mean of the candidate's units less that of the stable ones', with an interval that holds at every moment.

    Exact for values within bounds, whatever their distribution and however it changes over time, if each unit was
    assigned by a lot of the share that is given, and enters once. Where shares change, each has its updates.

    Args:
        low: The least value that can be.
        high: The largest.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> sequence = DifferenceSequence(0.0, 1.0)
        >>> for _ in range(20):
        ...     is_candidate = rng.random(1000) < 0.5
        ...     sequence.update(rng.random(1000) < np.where(is_candidate, 0.15, 0.1), is_candidate, 0.5)
        >>> found = sequence.estimate()
        >>> round(found.low, 2), round(found.high, 2)
        (0.04, 0.07)

    Source: theorem 4 (empirical Bernstein) of Howard, Ramdas, McAuliffe & Sekhon (2021), "Time-uniform, nonparametric,
    nonasymptotic confidence sequences", Annals of Statistics 49, as a mixture over a few stakes, on each unit's value
    over the chance of its version, less a mean that was known before (Robins, Rotnitzky & Zhao, 1994).
    """

    low: float
    high: float
    rows: float = 0.0
    sum_of_values: float = 0.0
    sum_of_differences: float = 0.0
    weight: float = 0.0
    weighted: float = 0.0
    spread: float = 0.0

    def update(self, values: FloatArray, is_candidate: Flags, share: float) -> None:
        """Take what units did, in the order in which they came.

        Args:
            values: Of each unit, between `low` and `high`, shape (units,).
            is_candidate: Whether each went to the candidate, same shape.
            share: The chance of that, between 0 and 1, both excluded.

        Raises:
            ValueError: A value beyond the bounds or missing, or lengths that differ.
        """
        if not 0.0 < share < 1.0 or len(values) != len(is_candidate):
            msg = f"a share of {share:g}, {len(values)} values and {len(is_candidate)} assignments"
            raise ValueError(msg)
        if len(values) and not (self.low <= values.min() and values.max() <= self.high):
            msg = f"values from {values.min():g} to {values.max():g}, expected {self.low:g} to {self.high:g}"
            raise ValueError(msg)
        done = 0
        while done < len(values):  # a unit's stake is known before the unit is: the more there were, the more at once
            until = min(len(values), done + max(8, int(self.rows) // 8))
            self._take(values[done:until].astype(np.float64), is_candidate[done:until], share)
            done = until

    def _take(self, values: FloatArray, is_candidate: Flags, share: float) -> None:
        middle = (self.sum_of_values + (self.low + self.high) / 2.0) / (self.rows + 1.0)
        above, below = self.high - middle, middle - self.low
        lowest = -max(below / share, above / (1.0 - share))
        width = max(above / share, below / (1.0 - share)) - lowest
        differences = (values - middle) * np.where(is_candidate, 1.0 / share, -1.0 / (1.0 - share))
        usual = min(max(self.sum_of_differences / (self.rows + 1.0), lowest), lowest + width)
        self.rows += len(values)
        self.sum_of_values += float(values.sum())
        self.sum_of_differences += float(differences.sum())
        self.weight += len(values) / width
        self.weighted += float(differences.sum()) / width
        self.spread += float(np.square((differences - usual) / width).sum())

    def estimate(self) -> Estimate:
        """Return the difference and its interval; unknown without a unit."""
        if not self.weight:
            return Estimate.unknown("no unit yet")
        most = self.high - self.low
        value = min(max(self.weighted / self.weight, -most), most)
        half = self._farthest() / self.weight
        return Estimate(value, max(value - half, -most), min(value + half, most))

    def _farthest(self) -> float:
        """Return how far the weighted sum may be from what it would be without chance."""
        costs = (-np.log1p(-_STAKES) - _STAKES) * self.spread
        near, far = 0.0, float(((costs + math.log(2.0 * len(_STAKES) / _MISS)) / _STAKES).min())  # one bet alone
        for _ in range(_HALVINGS):
            middle = (near + far) / 2.0
            won = float(np.logaddexp.reduce(_STAKES * middle - costs)) - math.log(len(_STAKES))
            near, far = (near, middle) if won >= math.log(2.0 / _MISS) else (middle, far)
        return far

    def merge(self, other: Self) -> None:
        """Add the units of another worker, of the same bounds."""
        for field in fields(self)[2:]:
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def log_mismatch(units: FloatArray, shares: FloatArray, prior_units: float = 1_000.0) -> float:
    """Return the logarithm of the evidence that units are not shared out among versions as meant.

    It reaches the logarithm of x by chance at most once in x, however often one looks. Of a rollout whose shares
    change, the evidence of each step adds up.

    Args:
        units: That went to each version so far, each counted once, shape (versions,).
        shares: That were meant, above 0, sum 1, same shape.
        prior_units: How close to these a mismatch is thought to be: with more, a smaller one is found sooner.

    Example:
        >>> [round(log_mismatch(np.array(units), np.array([0.5, 0.5])), 1) for units in ([5050, 4950], [5300, 4700])]
        [-0.7, 15.2]

    Source: Lindon & Malek (2022), "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 35.
    """
    before = shares * prior_units
    after = before + units
    mixture = log_gamma(after).sum() - log_gamma(after.sum()) - log_gamma(before).sum() + log_gamma(before.sum())
    return float(mixture - (units * np.log(shares)).sum())
