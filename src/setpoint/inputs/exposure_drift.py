"""Whether what rankings show has drifted: how many different items, how unevenly, and how many new ones.

Each day is measured so that days of any size compare: the different items in as many draws, how likely two exposures
show the same item, and the share of exposures of items that no day of the reference shows. A change counts when it is
more than exposures and the usual difference between days make by chance (`stats.day_noise`). That a ranking shows
several items, and a user sees several rankings, makes days differ by more than exposures alone, and is learned as that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.inputs.detection import FEWEST_DAYS, FEWEST_ROWS, LENGTHS, Answered, Drift, half_width, within_budget
from setpoint.inputs.questions import Question
from setpoint.stats.counts import more_often, stabilised
from setpoint.stats.day_noise import DayNoise
from setpoint.stats.exposure import concentration, distinct_items
from setpoint.stats.special import FloatArray
from setpoint.store.states import StateTable

FEATURES: dict[Question, str] = {
    "coverage": "shown items (coverage)",
    "concentration": "shown items (concentration)",
    "new_items": "shown items (new items)",
}
"""What each question is called where features are listed."""

EXPOSURE_BUDGET = 0.002
"""Chance of any alarm about what is shown on a day without a change, beside the budget of the features."""

_DRAWN = 0.25
"""Draws as a share of a mean day's exposures; a day with fewer is not compared."""

_HALF_AN_ITEM = 0.25
"""Variance of a number of items that nothing is finer than: half an item, squared."""

_NOTHING = 1e-18


@dataclass(frozen=True, slots=True)
class ShownDay:
    """What the rankings of one local day showed.

    Attributes:
        shown: How often each item was, positive.
        weekday: 0 is Monday.
    """

    shown: Mapping[str, float]
    weekday: int

    @classmethod
    def of(cls, state: StateTable, weekday: int) -> ShownDay:
        """Return a day from its exposure state; rows that are a sample count as many as they are.

        Args:
            state: Of all versions and endpoints.
            weekday: 0 is Monday.
        """
        weights = state.column("weight")
        total = float(weights.sum())
        certainty = state.total("rows") / total if total > 0.0 else 0.0
        found: dict[str, float] = {}
        for item, weight in zip(state.key("item"), (weights * certainty).tolist(), strict=True):
            found[str(item)] = found.get(str(item), 0.0) + weight
        return cls({item: count for item, count in found.items() if count > 0.0}, weekday)

    @property
    def exposures(self) -> float:
        """How often any item was shown."""
        return float(sum(self.shown.values()))


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a day came to.

    Attributes:
        exposures: How often any item was shown.
        new: How often one that no other day of the reference shows.
        values: Distinct items, log of the concentration, stabilised share of new items.
        variances: Of each, as far as exposures make it.
    """

    exposures: float
    new: float
    values: FloatArray
    variances: FloatArray


class ExposureDetector:
    """Knows what the rankings of a reference show, and judges later days.

    Attributes:
        draws: Exposures in which different items are counted.
        unknown: Why nothing can be said; empty when something can.
        usual: What each question came to on the days of the reference; empty when nothing can be said.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> odds = 1.0 / np.arange(1, 101)
        >>> def day(n: int, items: int = 100) -> ShownDay:
        ...     counts = rng.multinomial(2000, odds[:items] / odds[:items].sum())
        ...     return ShownDay({f"{item}": float(count) for item, count in enumerate(counts) if count}, n % 7)
        >>> detector = ExposureDetector([day(n) for n in range(28)])
        >>> [[drift.feature for drift in detector.judge([day(0, items)]) if drift.is_alarm] for items in (100, 60)]
        [[], ['shown items (coverage)', 'shown items (concentration)']]
    """

    def __init__(self, days: Sequence[ShownDay], before: Sequence[ShownDay] = ()) -> None:
        """Learn what is usual from the days of a reference.

        Args:
            days: The reference, oldest first.
            before: Days before a short reference, oldest first, that also say how days differ.
        """
        mean = sum(day.exposures for day in days) / max(len(days), 1)
        self.draws = int(_DRAWN * mean)
        self.usual: dict[Question, float] = {}
        self._days_showing: dict[str, int] = {}
        told, earlier = self._told(days), self._told(before)
        for item in (item for day in told for item in day.shown):
            self._days_showing[item] = self._days_showing.get(item, 0) + 1
        self.unknown = _why_unknown(mean, len(told) + len(earlier), len(told))
        if self.unknown:
            return
        self._reference = [self._measured(day, own=1) for day in told]
        learned = [*(self._measured(day) for day in earlier), *self._reference]
        self.usual = _means(self._reference)
        rows = np.array([day.exposures for day in learned])
        variances = np.array([day.variances * day.exposures for day in learned]).mean(axis=0)
        self._unit = np.sqrt(np.maximum(variances, _NOTHING))
        values = np.array([day.values for day in learned]).T / self._unit[:, None]
        weekdays = np.array([day.weekday for day in (*earlier, *told)], dtype=np.int64)
        self._noise = DayNoise.learn(values, rows, weekdays, last=len(told))

    def judge(self, days: Sequence[ShownDay], *, is_window: bool = False) -> list[Drift]:
        """Judge the last of some days, alone and together with those before it.

        Args:
            days: After the reference, oldest first, the last one in question; the last 16 count.
            is_window: Whether all of them together are in question too, however many they are.

        Returns:
            What was found of each question, the least likely first; nothing when nothing can be said.
        """
        lengths = {length for length in LENGTHS if length <= len(days)} | ({len(days)} if is_window else set[int]())
        found: dict[str, list[Answered]] = {}
        for length in sorted(lengths - {0}):
            for answer in self._ask(self._told(days[-length:]), length):
                found.setdefault(FEATURES[answer.question], []).append(answer)
        return within_budget(found, EXPOSURE_BUDGET)

    def measures(self, days: Sequence[ShownDay]) -> dict[Question, float]:
        """Return what each question comes to in some later days; nothing when nothing can be said."""
        return {} if self.unknown else _means([self._measured(day) for day in self._told(days)])

    def _told(self, days: Iterable[ShownDay]) -> list[ShownDay]:
        """Return the days with exposures enough to be compared."""
        return [day for day in days if day.exposures >= max(self.draws + 1.0, 3.0)]

    def _measured(self, day: ShownDay, own: int = 0) -> _Measured:
        """Return what a day comes to; its items are new when at most so many days of the reference show them."""
        counts = np.array(list(day.shown.values()))
        total = float(counts.sum())
        new = sum(count for item, count in day.shown.items() if self._days_showing.get(item, 0) <= own)
        (items, of_items), (alike, of_alike) = distinct_items(counts, self.draws), concentration(counts)
        alike = max(alike, 1.0 / total**2)  # half a pair: none is no infinity
        values = np.array([items, math.log(alike), float(stabilised(np.array(new), total))])
        return _Measured(total, new, values, np.array([of_items + _HALF_AN_ITEM, of_alike / alike**2, 1.0 / total]))

    def _ask(self, days: Sequence[ShownDay], length: int) -> list[Answered]:
        """Return what the questions come to in a window, of which some days can be compared."""
        if self.unknown or not days:
            return []
        now = [self._measured(day) for day in days]
        rows = np.array([day.exposures for day in now])
        mean = rows @ np.array([day.values for day in now]) / rows.sum()
        weekdays = np.array([day.weekday for day in days], dtype=np.int64)
        chances = self._noise.p_values(mean / self._unit, rows, weekdays)
        measured, answers = _means(now), list[Answered]()
        for question, p in zip(FEATURES, chances.tolist(), strict=True):
            before, value = self.usual[question], measured[question]
            is_share = question == "new_items"
            chance = max(p, self._more_new(now)) if is_share else p
            effect = value - before if is_share else value / before - 1.0
            half = half_width(effect, chance)
            moved = max(effect - half, 0.0) if is_share else 0.0
            answers.append(Answered(question, length, chance, effect, effect - half, effect + half, moved))
        return answers

    def _more_new(self, now: Sequence[_Measured]) -> float:
        """Return how likely as many exposures of new items are when only exposures are chance."""
        counts = [np.array([sum(day.new for day in days)]) for days in (now, self._reference)]
        rows = [sum(day.exposures for day in days) for days in (now, self._reference)]
        return float(more_often(counts[0], rows[0], counts[1], rows[1])[0])


def _why_unknown(mean: float, known: int, told: int) -> str:
    """Return why nothing can be said with so many exposures a day, and so many days that can be compared."""
    if mean < FEWEST_ROWS or not told:
        return f"fewer than {FEWEST_ROWS} items a day are shown in the reference"
    return "" if known >= FEWEST_DAYS else f"how days differ is unknown, that takes {FEWEST_DAYS} of them"


def _means(days: Sequence[_Measured]) -> dict[Question, float]:
    """Return what each question came to, a day counting by its exposures; nothing without a day."""
    if not days:
        return {}
    rows = np.array([day.exposures for day in days])
    coverage, concentrated, _ = (rows @ np.array([day.values for day in days]) / rows.sum()).tolist()
    return {
        "coverage": coverage,
        "concentration": math.exp(concentrated),
        "new_items": sum(day.new for day in days) / float(rows.sum()),
    }
