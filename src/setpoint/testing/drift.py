"""Days of traffic in which nothing changes, or one thing does: what drift alarms are measured on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from setpoint.inputs.detection import Day
from setpoint.inputs.profiles import Profile
from setpoint.stats.special import FloatArray, normal_cdf, normal_quantile
from setpoint.store.measures import Scale

Kind = Literal["alike", "moody", "heavy", "slow", "wave"]
NUMBERS = 14
LEVELS = (10, 10, 20, 50, 100, 200)
"""How many values each category has."""

_BINS = 64
_WANDER = 0.03
_WEEKEND = 0.05
_MISSING = 0.02
_CHANGED = 2  # the category whose values may change


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from some day on.

    Attributes:
        shift: Of the mean of `n0`, in standard deviations.
        ramp: The same once more for each further day.
        width: Standard deviation of `n0`.
        hump: Share of the rows of `n0` that lie one standard deviation higher.
        missing: Share of the rows of `n0` without a value.
        new_value: Share of the rows of `c2` with a value that was never seen.
        swapped: Two values of `c2` that change places, by how frequent they are, from 0.
    """

    shift: float = 0.0
    ramp: float = 0.0
    width: float = 1.0
    hump: float = 0.0
    missing: float = _MISSING
    new_value: float = 0.0
    swapped: tuple[int, int] | None = None


@dataclass
class DriftWorld:
    """Makes profiles of days: 14 numbers `n0` ... and 6 categories `c0` ..., each 2 % missing.

    Counts are drawn exactly, bin by bin, so that a day of a million rows costs no more than one of a hundred.

    Attributes:
        rows: Rows a day.
        kind: `alike`: nothing moves. Else means wander by .03 standard deviations from day to day (`moody`: normal,
            `heavy`: Student with 3 degrees, `slow`: correlated .8, `wave`: a sine of 14 days), weekends lie .05 higher
            in half of the numbers, and the log odds of each value wander by .05.
        together: Whether half of the wander is that of all numbers.
        seed: Of all that is drawn.

    Example:
        >>> day = DriftWorld(1000).days(1)[0]
        >>> len(day.profiles), day.profiles["n0"].rows
        (20, 1000.0)
    """

    rows: int
    kind: Kind = "alike"
    together: bool = False
    seed: int = 0
    _rng: np.random.Generator = field(init=False, repr=False)
    _day: int = field(init=False, default=0)
    _before: FloatArray = field(init=False, repr=False)
    _phase: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Start on a Monday."""
        self._rng = np.random.default_rng(self.seed)
        self._before = self._rng.normal(0.0, _WANDER, NUMBERS + 1)
        self._phase = self._rng.uniform(0.0, 2.0 * np.pi, NUMBERS + 1)

    def days(self, count: int, change: Change | None = None) -> list[Day]:
        """Return the next days, with a change from the first of them on."""
        now = change or Change()
        found: list[Day] = []
        for n in range(count):
            means = self._means()
            means[0] += now.shift + now.ramp * (n + 1)
            profiles: dict[str, Profile] = {}
            for number in range(NUMBERS):
                is_changed = number == 0
                shares = _bins(means[number], now.width if is_changed else 1.0, now.hump if is_changed else 0.0)
                profiles[f"n{number}"] = self._number(shares, now.missing if is_changed else _MISSING)
            for category, levels in enumerate(LEVELS):
                is_changed = category == _CHANGED
                shares = self._values(levels, now if is_changed else Change())
                profiles[f"c{category}"] = self._category(shares)
            named = {name: replace(profile, feature=name) for name, profile in profiles.items()}
            found.append(Day(named, self._day % 7))
            self._day += 1
        return found

    def _means(self) -> FloatArray:
        """Return the mean of each number on the next day."""
        wander = self._wander()
        own = (wander[:-1] + wander[-1]) / np.sqrt(2.0) if self.together else wander[:-1]
        is_weekend = self._day % 7 >= 5 and self.kind != "alike"
        return own + np.where(np.arange(NUMBERS) < NUMBERS // 2, _WEEKEND if is_weekend else 0.0, 0.0)

    def _wander(self) -> FloatArray:
        rng, shape = self._rng, NUMBERS + 1
        match self.kind:
            case "alike":
                return np.zeros(shape)
            case "moody":
                return rng.normal(0.0, _WANDER, shape)
            case "heavy":
                return rng.standard_t(3, shape) * _WANDER / np.sqrt(3.0)
            case "slow":
                self._before = 0.8 * self._before + rng.normal(0.0, 0.6 * _WANDER, shape)
                return self._before
            case "wave":
                return np.sqrt(2.0) * _WANDER * np.sin(2.0 * np.pi * self._day / 14.0 + self._phase)

    def _values(self, levels: int, change: Change) -> FloatArray:
        odds = 1.0 / np.arange(1.0, levels + 1.0)
        if self.kind != "alike":
            odds *= np.exp(self._rng.normal(0.0, 0.05, levels))
        if change.swapped is not None:
            odds[list(change.swapped)] = odds[list(reversed(change.swapped))]
        return np.append(odds / odds.sum() * (1.0 - change.new_value), change.new_value)

    def _number(self, shares: FloatArray, missing: float) -> Profile:
        without = int(self._rng.binomial(self.rows, missing))
        counts = self._rng.multinomial(self.rows - without, shares).astype(np.float64)
        index = np.flatnonzero(counts).astype(np.int64)
        return Profile(
            "", "numeric", float(self.rows), float(self.rows), float(without), 0.0, 0.0, 1.0, -4.0, 4.0,
            index, counts[index], {}, Scale(0.0, 1.0),
        )  # fmt: skip

    def _category(self, shares: FloatArray) -> Profile:
        without = int(self._rng.binomial(self.rows, _MISSING))
        counts = self._rng.multinomial(self.rows - without, shares)
        values = {f"v{n}": float(count) for n, count in enumerate(counts.tolist()) if count}
        return Profile(
            "", "categorical", float(self.rows), float(self.rows), float(without), 0.0, None, None, None, None,
            np.zeros(0, dtype=np.int64), np.zeros(0), values, None,
        )  # fmt: skip


def _bins(mean: float, width: float, hump: float) -> FloatArray:
    """Return the share of a normal number in each of 64 bins that were even once."""
    edges = normal_quantile(np.arange(1, _BINS) / _BINS)
    below = (1.0 - hump) * normal_cdf((edges - mean) / width) + hump * normal_cdf((edges - mean - 1.0) / width)
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return np.asarray(shares / shares.sum(), dtype=np.float64)
