"""The five questions about a feature: is it elsewhere, wider, missing, of another shape, or of values never seen?

Each is asked of sums that add up over days, taken on what the reference looks like: a number is its normal score, the
place it has among the reference's rows, so that no outlier decides and no unit matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from setpoint.inputs.profiles import Profile
from setpoint.stats.special import FloatArray, IntArray, normal_quantile
from setpoint.store.measures import UNSEEN

Question = Literal["location", "spread", "missing", "shape", "unseen", "coverage", "concentration", "new_items"]
"""Five about a feature, and three about what rankings show (`exposure_drift`)."""

QUESTIONS: tuple[Question, ...] = ("location", "spread", "missing", "shape", "unseen")
_GROUPS = (5, 16)
"""How many groups of equal mass a number's rows are put into, at least and at most."""

_DUE = 5.0
"""Rows a day that a group must have in the reference to be looked at by itself: chi-square needs as many."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the questions need of one feature in one day or more; two stretches add.

    Attributes:
        rows: Independent rows that the window is worth.
        present: Those with a value.
        missing: Those without; an infinity is none.
        unseen: Those with a value that the reference does not have; of numbers, beyond its ends.
        scores: Sum of normal scores; 0 for categories.
        within: Sum of squared normal scores about the mean of their day.
        groups: Rows by group of the reference.
    """

    rows: float
    present: float
    missing: float
    unseen: float
    scores: float
    within: float
    groups: FloatArray

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both stretches."""
        return Sums(
            self.rows + other.rows,
            self.present + other.present,
            self.missing + other.missing,
            self.unseen + other.unseen,
            self.scores + other.scores,
            self.within + other.within,
            self.groups + other.groups,
        )


@dataclass(frozen=True)
class Numbers:
    """The rows of a numeric feature in the reference, by bin.

    Attributes:
        index: Bins with rows, sorted.
        counts: Rows in each.
        groups: How many groups of equal mass they are put into; 0 when there are too few rows a day.
    """

    index: IntArray
    counts: FloatArray
    groups: int

    @classmethod
    def of(cls, days: Sequence[Profile]) -> Numbers:
        """Return the days of the reference together."""
        index, table = _table_of(days)
        counts = table.sum(axis=0)
        fewest, most = _GROUPS
        groups = min(int(counts.sum() / len(days) / _DUE), most)
        return cls(index, counts, groups if groups >= fewest else 0)

    @property
    def total(self) -> float:
        """All rows."""
        return float(self.counts.sum())

    def places(self, index: IntArray) -> FloatArray:
        """Return the share of the reference's rows that lie below each bin, half of those in it, in (0, 1)."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)])
        left = below[np.searchsorted(self.index, index, side="left")]
        right = below[np.searchsorted(self.index, index, side="right")]
        return ((left + right) / 2.0 + 0.5) / (self.total + 1.0)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Variance and fourth central moment of the normal scores of the reference's rows."""
        scores = normal_quantile(self.places(self.index)) - self.center
        shares = self.counts / self.total
        return float(shares @ scores**2), float(shares @ scores**4)

    @cached_property
    def center(self) -> float:
        """Mean normal score of the reference's rows."""
        return float(self.counts @ normal_quantile(self.places(self.index)) / self.total)

    def sums(self, days: Sequence[Profile], *, are_reference: bool = False) -> list[Sums]:
        """Return the sums of each day; a day of the reference has unseen values by the other days alone."""
        index, table = _table_of(days)
        places = self.places(index)
        scores = normal_quantile(places) - self.center
        present, total = table.sum(axis=1), table @ scores
        within = table @ scores**2 - np.divide(total**2, present, out=np.zeros(len(days)), where=present > 0.0)
        beyond = (table * self._is_beyond(index, table if are_reference else None)).sum(axis=1)
        group = np.minimum((places * self.groups).astype(np.int64), max(self.groups - 1, 0))
        groups = table @ (group[:, None] == np.arange(self.groups)).astype(np.float64)
        return [
            Sums(
                day.effective_rows,
                float(p),
                (day.missing + day.infinite) * day.certainty,
                float(u),
                float(s),
                float(w),
                g,
            )
            for day, p, u, s, w, g in zip(days, present, beyond, total, within, groups, strict=True)
        ]

    def _is_beyond(self, index: IntArray, days: FloatArray | None) -> FloatArray:
        """Return which bins lie beyond the ends of the reference, for each day without its own rows if it is one."""
        if days is None or not len(index):
            return np.asarray((index < self.index[0]) | (index > self.index[-1]), dtype=np.float64)
        own = days if len(days) > 1 else np.minimum(days, 1.0)  # of a single day each row is held against the others
        rest: FloatArray = self.counts[np.searchsorted(self.index, index)] - own
        left = np.greater(rest, _ROUNDING)
        left = np.logical_or(left, np.logical_not(left.any(axis=1))[:, None])
        last = len(index) - 1 - left[:, ::-1].argmax(axis=1)
        place = np.arange(len(index))
        beyond = (place < left.argmax(axis=1)[:, None]) | (place > last[:, None])
        return np.asarray(beyond, dtype=np.float64)


@dataclass(frozen=True)
class Values:
    """The rows of a category in the reference, by value.

    Attributes:
        counts: Rows of each value.
        told: Values that are looked at one by one; the others are one group, the last.
    """

    counts: dict[str, float]
    told: tuple[str, ...]

    @classmethod
    def of(cls, days: Sequence[Profile]) -> Values:
        """Return the days of the reference together."""
        counts: dict[str, float] = {}
        for day in days:
            for value, count in day.values.items():
                counts[value] = counts.get(value, 0.0) + count * day.certainty
        told = [value for value, count in counts.items() if value != UNSEEN and count >= _DUE * len(days)]
        return cls(counts, tuple(sorted(told, key=lambda value: (-counts[value], value))))

    def sums(self, days: Sequence[Profile], *, are_reference: bool = False) -> list[Sums]:
        """Return the sums of each day; a day of the reference has unseen values by the other days alone."""
        # Of a single day each row is held against the others.
        most = 0.0 if not are_reference else 1.0 if len(days) == 1 else np.inf
        return [self._of_day(day, most) for day in days]

    def _of_day(self, day: Profile, own: float) -> Sums:
        """Return the sums of a day, of which so many rows of a value at most are not counted as its reference."""
        certainty, known = day.certainty, self.counts
        present = sum(day.values.values()) * certainty
        unseen = 0.0
        for value, count in day.values.items():
            if value == UNSEEN or known.get(value, 0.0) - min(count * certainty, own) <= _ROUNDING:
                unseen += count * certainty
        groups = [day.values.get(value, 0.0) * certainty for value in self.told]
        rest = max(present - sum(groups) - unseen, 0.0)
        missing = day.missing * certainty
        return Sums(day.effective_rows, present, missing, unseen, 0.0, 0.0, np.array([*groups, rest]))


def _table_of(days: Sequence[Profile]) -> tuple[IntArray, FloatArray]:
    """Return the bins with rows, sorted, and the independent rows of each day in them, shape (days, bins)."""
    index, place = np.unique(np.concatenate([day.index for day in days]), return_inverse=True)
    day = np.repeat(np.arange(len(days)), [len(day.index) for day in days])
    counts = np.concatenate([day.counts * day.certainty for day in days])
    table = np.bincount(day * len(index) + place, weights=counts, minlength=len(days) * len(index))
    return index, table.reshape(len(days), len(index)).astype(np.float64)


_ROUNDING = 1e-9  # of weights
