"""What every statistic returns: a number with its interval, or the reason why there is none."""

import math
from dataclasses import dataclass
from typing import Self

LEVEL = 0.95
"""The confidence level of every interval, two-sided."""

Z = 1.959963984540054
"""The standard normal quantile at (1 + LEVEL) / 2."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval, or words that say what is missing.

    Attributes:
        value: The point estimate; None when it cannot be computed.
        low: Lower end of the interval; None when there is no finite lower bound, or none was asked for.
        high: Upper end of the interval; None when there is no finite upper bound, or none was asked for.
        reason: Why the value, or one of its bounds, is missing. Never empty when `value` is None.

    Raises:
        ValueError: A number is nan or infinite, the interval does not hold the value, or an unknown has no
            reason. These are mistakes of the caller: a nan must never travel on as if it were a number.

    Example:
        >>> Estimate(0.5, 0.4, 0.6).is_known
        True
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse nan, infinities, intervals without their value, and silence about an unknown."""
        for number in (self.value, self.low, self.high):
            if number is not None and not math.isfinite(number):
                msg = f"an estimate holds finite numbers or None, got `{number}`"
                raise ValueError(msg)
        if self.value is None:
            if not self.reason or self.low is not None or self.high is not None:
                msg = "an unknown estimate has a reason and no interval"
                raise ValueError(msg)
            return
        if (self.low is not None and self.low > self.value) or (self.high is not None and self.high < self.value):
            msg = f"`{self.value}` lies outside its interval `[{self.low}, {self.high}]`"
            raise ValueError(msg)

    @classmethod
    def unknown(cls, reason: str) -> Self:
        """Return an estimate that says in words what is missing.

        Args:
            reason: What is missing, for people: "needs 7 more positive outcomes".

        Example:
            >>> Estimate.unknown("needs 7 more positive outcomes").reason
            'needs 7 more positive outcomes'
        """
        return cls(None, None, None, reason)

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None
