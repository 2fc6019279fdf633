"""Whether a value is more like those of a version that is worse by a factor than like those of the stable one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from setpoint.stats.special import FloatArray, IntArray

_ROWS_PER_BIN, _MOST_BINS = 50, 64
_ENDS = (0.001, 0.999)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much likelier values are when all are larger by a factor than when they are as before, as a logarithm.

    That is the statistic whose bet grows fastest against such a change (Neyman & Pearson, 1933), whatever the values'
    distribution is. It is made to rise with the value, so that smaller values never count against a version.

    Attributes:
        lowest: Values up to here, above 0, share the first bin.
        step: How wide each bin is, as a logarithm.
        logs: By bin, rising; the last holds all larger values.

    Example:
        >>> like = Likeness.fit(np.random.default_rng(1).lognormal(0.0, 0.5, 50_000), 1.25)
        >>> like.of(np.array([0.5, 1.0, 2.0])).round(1).tolist()  # exact: -0.7, -0.1, 0.5
        [-0.8, -0.1, 0.6]

    Source: pool adjacent violators (Ayer, Brunk, Ewing, Reid & Silverman, 1955) for the rising ratio.
    """

    lowest: float
    step: float
    logs: tuple[float, ...]

    @classmethod
    def fit(cls, history: FloatArray, ratio: float) -> Self:
        """Return it for values like those of the past.

        Args:
            history: Positive or zero, not all zero, shape (rows,).
            ratio: The factor, above 1.
        """
        lowest, highest = (float(one) for one in np.quantile(history[history > 0.0], _ENDS))
        bins = int(np.clip(len(history) // _ROWS_PER_BIN, 2, _MOST_BINS))
        step = math.log(highest * ratio / lowest) / bins
        usual, changed = (
            np.bincount(_bins(one, lowest, step, bins), minlength=bins) for one in (history, ratio * history)
        )
        weights = usual.astype(np.float64) + 0.5
        return cls(lowest, step, tuple(np.log(_rising((changed + 0.5) / weights, weights)).tolist()))

    def of(self, values: FloatArray) -> FloatArray:
        """Return the logarithm for each value."""
        return np.array(self.logs)[_bins(values, self.lowest, self.step, len(self.logs))]


def _bins(values: FloatArray, lowest: float, step: float, bins: int) -> IntArray:
    above = np.log(np.maximum(values, lowest) / lowest)
    return np.minimum((above / step).astype(np.int64), bins - 1)


def _rising(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the closest values that never fall, as a weighted mean of each stretch."""
    stretches: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while stretches and stretches[-1][0] >= mean:
            other, other_total, other_count = stretches.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, count = total + other_total, count + other_count
        stretches.append((mean, total, count))
    return np.repeat([mean for mean, _, _ in stretches], [count for _, _, count in stretches])
