"""A change of a number split into who came and what happened to them, exactly."""

import math
from dataclasses import dataclass

import numpy as np

from setpoint.stats.estimate import LEVEL, Estimate
from setpoint.stats.special import FloatArray, student_t_quantile

FEWEST_BLOCKS = 5
"""Blocks of rows, such as days, that a jackknife needs of each window."""


@dataclass(frozen=True, slots=True)
class Corners:
    """A metric of a population under each mix of groups and each behaviour inside them.

    Attributes:
        before: Mix and behaviour of the earlier window: what was measured then.
        new_mix: Mix of the later window, behaviour of the earlier one.
        new_within: Mix of the earlier window, behaviour of the later one.
        after: Both of the later window: what was measured now.
    """

    before: float
    new_mix: float
    new_within: float
    after: float

    @property
    def mix(self) -> float:
        """The part of the change that came with who came: the mean over both orders of changing one after the other."""
        return ((self.new_mix - self.before) + (self.after - self.new_within)) / 2.0

    @property
    def within(self) -> float:
        """The part of the change that happened inside the groups; with `mix` it sums to the change exactly.

        Example:
            >>> corners = Corners(before=0.70, new_mix=0.66, new_within=0.72, after=0.69)
            >>> round(corners.mix, 3), round(corners.within, 3)
            (-0.035, 0.025)

        Source: Kitagawa (1955), JASA 50, for means; Das Gupta (1978), Demography 15, and Shapley (1953) for the mean
            over orders, which holds for any metric.
        """
        return ((self.new_within - self.before) + (self.after - self.new_mix)) / 2.0


def jackknifed(value: float, without: tuple[FloatArray, FloatArray]) -> Estimate:
    """Return a number of two windows with a Student interval from leaving out one block of rows at a time.

    Assumes that the blocks of a window, such as days, are alike and independent; rows inside one need not be.

    Args:
        value: From all rows.
        without: The number without each block of the earlier and of the later window, shape (blocks,) each.

    Returns:
        The value; without an interval where a window has fewer than 5 blocks, or leaving one out leaves no number.

    Example:
        >>> rows = np.arange(6.0)
        >>> left_out = (rows.sum() - rows) / 5
        >>> found = jackknifed(rows.mean(), (left_out, np.full(6, rows.mean())))
        >>> round(float(found.high - found.low) / 2 / 2.228139, 4)
        0.7638

    Source: Tukey (1958); Efron & Stein (1981), Annals of Statistics 9.
    """
    counts = [len(part) for part in without]
    if min(counts) < FEWEST_BLOCKS:
        return Estimate(value, None, None, f"an interval needs {FEWEST_BLOCKS} blocks of rows in each window")
    if not all(bool(np.all(np.isfinite(part))) for part in without):
        return Estimate(value, None, None, "there would be no number without some of the blocks")
    variance = sum((len(part) - 1) / len(part) * float(np.sum((part - part.mean()) ** 2)) for part in without)
    half = student_t_quantile((1.0 + LEVEL) / 2.0, float(sum(counts) - 2)) * math.sqrt(variance)
    return Estimate(value, value - half, value + half)
