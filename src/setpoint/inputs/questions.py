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

Question = Literal["location", "spread", "missing", "shape", "unseen"]
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
        missing: Those without.
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
        index = np.unique(np.concatenate([day.index for day in days]))
        counts = np.zeros(len(index))
        for day in days:
            counts[np.searchsorted(index, day.index)] += day.counts * day.certainty
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

    def sums(self, day: Profile, others: Numbers | None = None) -> Sums:
        """Return the sums of a day; `others` are the reference without that day when it is one of it."""
        counts = day.counts * day.certainty
        places = self.places(day.index)
        scores = normal_quantile(places) - self.center
        present = float(counts.sum())
        total = float(counts @ scores)
        ends = others or self
        beyond = (day.index < ends.index[0]) | (day.index > ends.index[-1])
        group = np.minimum((places * self.groups).astype(np.int64), max(self.groups - 1, 0))
        return Sums(
            day.effective_rows,
            present,
            day.missing * day.certainty,
            float(counts[beyond].sum()),
            total,
            float(counts @ scores**2) - (total**2 / present if present else 0.0),
            np.bincount(group, weights=counts, minlength=self.groups).astype(np.float64),
        )


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

    def sums(self, day: Profile, others: Values | None = None) -> Sums:
        """Return the sums of a day; `others` are the reference without that day when it is one of it."""
        known = others or self
        counts = {value: count * day.certainty for value, count in day.values.items()}
        present = sum(counts.values())
        unseen = sum(count for value, count in counts.items() if value == UNSEEN or known.counts.get(value, 0.0) <= 0.0)
        groups = [counts.get(value, 0.0) for value in self.told]
        return Sums(
            day.effective_rows,
            present,
            day.missing * day.certainty,
            unseen,
            0.0,
            0.0,
            np.array([*groups, max(present - sum(groups) - unseen, 0.0)]),
        )


def without(whole: Numbers | Values, day: Profile) -> Numbers | Values:
    """Return the reference without one of its days."""
    if isinstance(whole, Numbers):
        counts = whole.counts.copy()
        counts[np.searchsorted(whole.index, day.index)] -= day.counts * day.certainty
        left = counts > 1e-9  # noqa: PLR2004 — rounding of weights
        return Numbers(whole.index[left], counts[left], whole.groups) if left.any() else whole
    counts_left = dict(whole.counts)
    for value, count in day.values.items():
        counts_left[value] -= count * day.certainty
    return Values({value: count for value, count in counts_left.items() if count > 1e-9}, whole.told)  # noqa: PLR2004
