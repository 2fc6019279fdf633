"""Whether features have drifted: a change that beats chance and the usual difference between days, for all together.

Each day is held against the days of a reference by the five questions of `questions`, and so are the last 2, 4, 8 and
16 days together, in which small changes show. A change counts when it is more than both the rows of the window and the
days of the reference make by chance (`stats.day_noise`), after allowing for all questions, windows and features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np

from setpoint.core.metric import number
from setpoint.inputs.profiles import Profile
from setpoint.inputs.questions import QUESTIONS, Numbers, Question, Sums, Values
from setpoint.stats.counts import as_often, more_often, stabilised
from setpoint.stats.day_noise import DayNoise
from setpoint.stats.estimate import Z
from setpoint.stats.multiplicity import benjamini_hochberg
from setpoint.stats.shape import Shape
from setpoint.stats.special import FloatArray, IntArray, normal_cdf, normal_quantile

LENGTHS = (1, 2, 4, 8, 16)
"""Days that are judged together."""

FEWEST_DAYS = 14
"""Reference days from which on the usual difference between days is known."""

FEWEST_ROWS = 50
"""Rows with a value that a day of the reference must have on average: the statistics of fewer are not normal."""

BUDGET = 0.01
"""Chance of any alarm on a day on which nothing has changed."""

TESTS = 5.0
"""The questions and windows of a feature overlap: they are worth as many tests that do not (bench/drift.py)."""

_MARGINS = {"location": 0.03, "spread": 0.1, "missing": 0.005, "unseen": 0.005}
"""What does not matter while nobody knows how days differ: standard deviations, share of the variance, shares."""


Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Day:
    """The profiles of one local day.

    Attributes:
        profiles: By feature.
        weekday: 0 is Monday.
    """

    profiles: Mapping[str, Profile]
    weekday: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What one question came to in one window.

    Attributes:
        question: Which.
        days: Length of the window, in days.
        p: How likely as much is by chance, before other questions, windows and features are allowed for.
        effect: By how much it changed: normal scores (standard deviations), log of the ratio of variances, share of
            rows; of shape the share of rows that moved.
        low: Lower end of its 95 % interval.
        high: Upper end.
        moved: Share of the rows that lie elsewhere, at least, 0 to 1.
    """

    question: Question
    days: int
    p: float
    effect: float
    low: float
    high: float
    moved: float = 0.0


def in_words(answer: Answered) -> str:
    """Return what a question came to in words.

    Example:
        >>> in_words(Answered("location", 2, 1e-9, -0.21, -0.28, -0.14))
        'lower by 0.21 sd [0.14, 0.28]'
    """
    size, low, high = abs(answer.effect), *sorted((abs(answer.low), abs(answer.high)))
    share = f"{number(size, 'share')} [{number(low, 'share')}, {number(min(high, 1.0), 'share')}]"
    match answer.question:
        case "location":
            return f"{'higher' if answer.effect > 0 else 'lower'} by {size:.2g} sd [{low:.2g}, {high:.2g}]"
        case "spread":
            times = math.exp(answer.effect)
            return f"{'wider' if answer.effect > 0 else 'narrower'}: variance of normal scores times {times:.3g}"
        case "missing":
            return f"missing in {share} {'more' if answer.effect > 0 else 'fewer'} rows"
        case "shape":
            return f"{number(size, 'share')} of the rows lie elsewhere"
        case "unseen":
            return f"values never seen in {share} of the rows"
        case "coverage" | "concentration" | "new_items":
            return _of_shown_items(answer)


def _of_shown_items(answer: Answered) -> str:
    size, low, high = (
        number(end, "share") for end in (abs(answer.effect), *sorted((abs(answer.low), abs(answer.high))))
    )
    share = f"{size} [{low}, {high}]"
    match answer.question:
        case "coverage":
            return f"{share} {'more' if answer.effect > 0 else 'fewer'} different items"
        case "concentration":
            return f"{share} {'more' if answer.effect > 0 else 'less'} concentrated"
        case _:
            return f"new items in {share} more of the exposures"


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found of one feature at the end of a day.

    Attributes:
        feature: Its name.
        answers: Of every question and window, the least likely first.
        p: Of the first, adjusted for all questions, windows and features.
        alarms: The answers that are within the budget.
        limit: The largest p of an answer that is: the more features drifted, the more false ones are allowed for.
    """

    feature: str
    answers: tuple[Answered, ...]
    p: float
    alarms: tuple[Answered, ...]
    limit: float

    @property
    def is_alarm(self) -> bool:
        """Whether it has drifted."""
        return bool(self.alarms)

    def within(self, budget: float) -> Drift:
        """Return the same by a smaller budget: no alarm when it is beyond that."""
        return self if self.p <= budget else replace(self, alarms=())

    @property
    def moved(self) -> float:
        """Share of the rows that lie elsewhere, at least, by the alarm that says most; 0 without one."""
        return max((alarm.moved for alarm in self.alarms), default=0.0)

    @property
    def foremost(self) -> Answered:
        """The answer that says most: the alarm by which most rows moved, else the least likely answer.

        A number that is elsewhere also has values beyond the reference, where it has no width: then its place says
        more.
        """
        ranked = sorted(self.alarms, key=lambda alarm: (alarm.moved, alarm.question == "location"))
        moved = {alarm.question: alarm for alarm in ranked}
        if "location" in moved:
            moved.pop("unseen", None)
            if moved["location"].moved > 0.5:  # noqa: PLR2004 — most rows
                moved.pop("spread", None)
        if not moved:
            return self.answers[0]
        most = max(reversed(moved.values()), key=lambda alarm: alarm.moved)
        if "location" in moved and moved["location"].moved >= _ALIKE * most.moved:
            most = moved["location"]  # says where to, which another shape does not
        # The longest window that shows nearly as much: a few days by themselves are worth a word when they show more.
        alike = [one for one in self.alarms if one.question == most.question and one.moved >= _ALIKE * most.moved]
        return max(alike, key=lambda alarm: alarm.days)


def of_groups(drifts: Mapping[Group, Sequence[Drift]]) -> dict[Group, list[Drift]]:
    """Return what was found inside each group after allowing for how many groups there are.

    A group counts when its likeliest feature does among all groups; then a feature inside it when it does by as much
    of the budget as groups were found.

    Args:
        drifts: By group, as `Detector.judge` returned them.

    Source: Benjamini & Bogomolov (2014), JRSS B 76.
    """
    least = np.array([min((drift.p for drift in each), default=1.0) for each in drifts.values()])
    is_chosen = benjamini_hochberg(least) <= BUDGET
    limit = BUDGET * np.count_nonzero(is_chosen) / max(len(drifts), 1)
    return {
        group: [drift.within(float(limit) if chosen else 0.0) for drift in each]
        for (group, each), chosen in zip(drifts.items(), is_chosen, strict=True)
    }


@dataclass(frozen=True)
class _Known:
    """One feature in the reference.

    Attributes:
        name: Its name.
        whole: Its rows by bin or value.
        days: Its sums of each day, those before the reference too.
        all: Those of all days.
        shape: How its rows lie in groups.
        usual: How its groups differ between days; None when too few days are known.
    """

    name: str
    whole: Numbers | Values
    days: tuple[Sums, ...]
    all: Sums
    shape: Shape
    usual: Shape | None

    @classmethod
    def of(cls, name: str, days: Sequence[Profile], before: Sequence[Profile] = ()) -> _Known:
        whole = (Numbers if days[0].kind == "numeric" else Values).of(days)
        sums = tuple(whole.sums(days, are_reference=True))
        earlier = tuple(whole.sums(before)) if before else ()
        is_number = isinstance(whole, Numbers)
        shape = Shape.learn([day.groups for day in sums], is_number=is_number)
        usual = shape
        if earlier:
            usual = Shape.learn([day.groups for day in (*earlier, *sums)], is_number=is_number)
        knows_days = len(days) + len(before) >= FEWEST_DAYS
        return cls(name, whole, (*earlier, *sums), reduce(add, sums), shape, usual if knows_days else None)

    def statistics(self, question: Question, days: Sequence[Sums]) -> FloatArray:
        """Return what noise is learned of, in standard deviations of a single row; 0 when it cannot be asked.

        Args:
            question: Which.
            days: Sums of each day or window.
        """
        if question == "missing":
            counts = np.array([(day.missing, max(day.rows, 1.0)) for day in days])
            return stabilised(counts[:, 0], counts[:, 1])
        if question == "unseen":
            counts = np.array([(day.unseen, max(day.present, 1.0)) for day in days])
            return stabilised(counts[:, 0], counts[:, 1])
        if not isinstance(self.whole, Numbers) or self.whole.moments[0] <= 0.0:
            return np.zeros(len(days))
        variance, fourth = self.whole.moments
        sums = np.array([(day.scores, max(day.within, 0.0), day.present) for day in days])
        sums[sums[:, 2] == 0.0] = 0.0, 0.0, np.inf
        present = math.sqrt(self.all.present / self.all.rows)
        if question == "location":
            return np.asarray(present * sums[:, 0] / sums[:, 2] / math.sqrt(variance))
        # Of the deviation, not of its log: a day on which a number is constant is no infinity.
        ratio = np.sqrt(sums[:, 1] / sums[:, 2] / variance)
        return np.asarray(2.0 * present * ratio / math.sqrt(max(fourth / variance**2 - 1.0, _NOTHING)))


class Detector:
    """Knows the days of a reference, and judges later ones.

    Attributes:
        names: The features that it knows, numbers first.
        knows_days: Whether there were days enough to know how they differ; else margins stand in.

    Source: Benjamini & Hochberg (1995), JRSS B 57; `stats.day_noise` for how days differ.
    """

    def __init__(self, days: Sequence[Day], before: Sequence[Day] = ()) -> None:
        """Learn what is usual from the days of a reference.

        A feature that a day lacks, or that has fewer than `FEWEST_ROWS` values a day, is left out: too little is known
        of it.

        Args:
            days: The reference, oldest first.
            before: Days before a short reference, oldest first, that also say how days differ.

        Raises:
            ValueError: There is no day.
        """
        if not days:
            msg = "a reference has at least one day"
            raise ValueError(msg)
        names = [name for name in days[0].profiles if all(name in day.profiles for day in (*before, *days))]
        found = [
            _Known.of(name, [day.profiles[name] for day in days], [day.profiles[name] for day in before])
            for name in names
            if _values(name, days) >= FEWEST_ROWS * len(days) and _values(name, before) >= FEWEST_ROWS * len(before)
        ]
        self._known = sorted(found, key=lambda known: isinstance(known.whole, Values))
        self.names = tuple(known.name for known in self._known)
        self.knows_days = len(days) + len(before) >= FEWEST_DAYS
        self._noises: dict[Question, DayNoise] = {}
        if self.knows_days and self._known:
            rows = np.array(
                [max(day.rows for day in each) for each in zip(*(k.days for k in self._known), strict=True)]
            )
            weekdays = np.array([day.weekday for day in (*before, *days)], dtype=np.int64)
            for question in _NOISY:
                values = [known.statistics(question, known.days) for known in self._asked(question)]
                if values:
                    self._noises[question] = DayNoise.learn(
                        np.array(values), np.maximum(rows, 1.0), weekdays, last=len(days)
                    )

    def judge(self, days: Sequence[Day], *, is_window: bool = False) -> list[Drift]:
        """Judge the last of some days, alone and together with those before it.

        Args:
            days: After the reference, oldest first, the last one in question; the last 16 count.
            is_window: Whether all of them together are in question too, however many they are.

        Returns:
            Every feature of the reference that the days have, the least likely first.
        """
        lengths = {length for length in LENGTHS if length <= len(days)}
        if is_window and days:
            lengths.add(len(days))
        days = days[-max(lengths, default=1) :]
        known = [one for one in self._known if all(one.name in day.profiles for day in days)]
        sums = [one.whole.sums([day.profiles[one.name] for day in days]) for one in known]
        weekdays = np.array([day.weekday for day in days], dtype=np.int64)
        found: dict[str, list[Answered]] = {one.name: [] for one in known}
        for length in sorted(lengths):
            window = {one.name: reduce(add, each[-length:]) for one, each in zip(known, sums, strict=True)}
            rows = np.array([max((each[n].rows for each in sums), default=0.0) for n in range(-length, 0)])
            for question in QUESTIONS:
                for name, answer in self._ask(question, window, rows, weekdays[-length:]):
                    found[name].append(answer)
        return within_budget(found)

    def _asked(self, question: Question) -> list[_Known]:
        """Return the features that a question is asked of."""
        is_of_numbers = question in {"location", "spread"}
        return [one for one in self._known if not is_of_numbers or isinstance(one.whole, Numbers)]

    def _ask(
        self, question: Question, window: Mapping[str, Sums], rows: FloatArray, weekdays: IntArray
    ) -> Iterator[tuple[str, Answered]]:
        """Yield what a question comes to for each feature, in a window of days."""
        asked = self._asked(question)
        usual: dict[str, float] = {}
        if question in self._noises and window:
            values = np.array([one.statistics(question, [window.get(one.name, one.all)])[0] for one in asked])
            p_values = self._noises[question].p_values(values, np.maximum(rows, 1.0), weekdays)
            usual = dict(zip((one.name for one in asked), p_values.tolist(), strict=True))
        found = [one for one in asked if one.name in window]
        chances = self._by_chance(question, found, [window[one.name] for one in found], len(rows))
        for one, chance in zip(found, chances, strict=True):
            p = max(usual.get(one.name, 0.0), chance)
            effect = _effect(question, one, window[one.name])
            half = half_width(effect, p)
            moved = _moved(question, max(abs(effect) - half, 0.0))
            if isinstance(one.whole, Numbers) and one.whole.groups and question in {"location", "spread"}:
                moved = min(moved, one.shape.moved(window[one.name].groups))  # rows beyond the ends score too much
            yield one.name, Answered(question, len(rows), p, effect, effect - half, effect + half, moved)

    def _by_chance(
        self, question: Question, known: Sequence[_Known], windows: Sequence[Sums], length: int
    ) -> list[float]:
        """Return how likely as much is of each feature when only the rows of the window are chance."""
        both = list(zip(known, windows, strict=True))
        exact = [0.0] * len(known)
        if question == "shape":
            exact = [one.shape.p_value(now.groups, length, usual=one.usual) for one, now in both]
        elif question == "missing":
            pairs = [(now.missing, now.rows or 1.0, one.all.missing, one.all.rows) for one, now in both]
            exact = as_often(*np.array(pairs).reshape(-1, 4).T).tolist()
        elif question == "unseen":
            pairs = [(now.unseen, now.present or 1.0, one.all.unseen, one.all.present) for one, now in both]
            exact = more_often(*np.array(pairs).reshape(-1, 4).T).tolist()
        found: list[float] = []
        for one, window, p in zip(known, windows, exact, strict=True):
            if not window.rows or (not window.present and question != "missing"):
                found.append(1.0)
            elif question == "shape" or self.knows_days:
                found.append(p)
            else:
                found.append(max(p, _beyond_margin(question, one, window)))
        return found


def within_budget(found: Mapping[str, Sequence[Answered]], budget: float = BUDGET) -> list[Drift]:
    """Return which features drifted when all of their answers share a chance of any false alarm.

    Args:
        found: The answers about each feature, at least one.
        budget: That chance.

    Returns:
        Every feature, the least likely first.

    Example:
        >>> higher, alike = Answered("location", 1, 1e-6, 0.2, 0.1, 0.3), Answered("location", 1, 0.4, 0.0, -0.1, 0.1)
        >>> found = within_budget({"a": [higher], "b": [alike]})
        >>> [(drift.feature, round(drift.p, 6), drift.is_alarm) for drift in found]
        [('a', 1e-05, True), ('b', 1.0, False)]
    """
    least = np.array([min(TESTS * min(one.p for one in answers), 1.0) for answers in found.values()])
    adjusted = benjamini_hochberg(least)
    limit = budget * max(np.count_nonzero(adjusted <= budget), 1) / max(len(least), 1) / TESTS
    drifts: list[Drift] = []
    for (name, answers), p in zip(found.items(), adjusted, strict=True):
        ranked = tuple(sorted(answers, key=lambda one: one.p))
        alarms = tuple(one for one in ranked if p <= budget and one.p <= limit)
        drifts.append(Drift(name, ranked, float(p), alarms, limit))
    return sorted(drifts, key=lambda drift: drift.p)


def half_width(effect: float, p: float) -> float:
    """Return half the width of the 95 % interval of an effect that agrees with its test.

    Args:
        effect: As measured.
        p: How likely as much is by chance, two-sided.

    Example:
        >>> round(half_width(0.3, 0.05), 3)
        0.3

    Source: Miettinen (1976), American Journal of Epidemiology 103.
    """
    z = float(-normal_quantile(np.array(max(p, _LEAST) / 2.0)))
    return Z * abs(effect) / z if z > 0.0 else math.inf


def _beyond_margin(question: Question, known: _Known, window: Sums) -> float:
    """Return how likely as much is if the change were as large as what does not matter."""
    before, now = known.statistics(question, [known.all, window])
    effect = _effect(question, known, window)
    spread = math.sqrt(1.0 / window.rows + 1.0 / known.all.rows)
    if not effect or not spread:
        return 1.0
    z = abs(now - before) / spread * max(1.0 - _MARGINS[question] / abs(effect), 0.0)
    return float(2.0 * normal_cdf(np.array(-z)))


def _moved(question: Question, least: float) -> float:
    """Return the share of rows that lie elsewhere by an effect, 0 to 1.

    Of another place or width that of a normal distribution: the total variation between the two.
    """
    if question == "location":
        return float(2.0 * normal_cdf(np.array(least / 2.0)) - 1.0)
    if question == "spread":
        # Both densities are equal at x, in units of the narrower deviation.
        x = np.sqrt(least / -np.expm1(-least)) if least else 0.0
        return float(2.0 * (normal_cdf(np.array(x)) - normal_cdf(np.array(x * np.exp(-least / 2.0)))))
    return min(least, 1.0)


def _effect(question: Question, known: _Known, window: Sums) -> float:
    """Return by how much a window differs from the reference; see `Answered.effect`."""
    if question == "shape":
        return known.shape.moved(window.groups)
    before = known.all
    if question == "missing":
        return window.missing / max(window.rows, 1.0) - before.missing / before.rows
    if question == "unseen":
        return window.unseen / max(window.present, 1.0) - before.unseen / before.present
    variance = known.whole.moments[0] if isinstance(known.whole, Numbers) else 0.0
    if variance <= 0.0 or not window.present:
        return 0.0
    if question == "location":
        return window.scores / window.present / math.sqrt(variance)
    return math.log(max(window.within / window.present, _NOTHING) / max(before.within / before.present, _NOTHING))


def _values(name: str, days: Sequence[Day]) -> float:
    """Return how many rows of some days have a value."""
    profiles = [day.profiles[name] for day in days]
    return float(sum(profile.counts.sum() + sum(profile.values.values()) for profile in profiles))


_NOISY: tuple[Question, ...] = ("location", "spread", "missing", "unseen")
_ALIKE = 0.8
_NOTHING = 1e-9
_LEAST = 1e-300
