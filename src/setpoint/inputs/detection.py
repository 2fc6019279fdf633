"""Whether features have drifted: a change that beats chance and the usual difference between days, for all together.

Each day is held against the days of a reference by the five questions of `questions`, and so are the last 2, 4, 8 and
16 days together, in which small changes show. A change counts when it is more than both the rows of the window and the
days of the reference make by chance (`stats.day_noise`), after allowing for all questions, windows and features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from setpoint.core.metric import number
from setpoint.inputs.profiles import Profile
from setpoint.inputs.questions import QUESTIONS, Numbers, Question, Sums, Values, without
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

TESTS = 4.0
"""The questions and windows of a feature overlap: they are worth as many tests that do not (bench/drift.py)."""

_MARGINS = {"location": 0.03, "spread": 0.1, "missing": 0.005, "unseen": 0.005}
"""What does not matter while nobody knows how days differ: standard deviations, share of the variance, shares."""


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
    """

    question: Question
    days: int
    p: float
    effect: float
    low: float
    high: float


def in_words(answer: Answered) -> str:
    """Return what a question came to in words.

    Example:
        >>> in_words(Answered("location", 2, 1e-9, -0.21, -0.28, -0.14))
        'lower by 0.21 sd [0.14, 0.28]'
    """
    size, low, high = abs(answer.effect), *sorted((abs(answer.low), abs(answer.high)))
    share = f"{number(size, 'share')} [{number(low, 'share')}, {number(high, 'share')}]"
    match answer.question:
        case "location":
            return f"{'higher' if answer.effect > 0 else 'lower'} by {size:.2g} sd [{low:.2g}, {high:.2g}]"
        case "spread":
            return f"{'wider' if answer.effect > 0 else 'narrower'}: variance times {math.exp(answer.effect):.3g}"
        case "missing":
            return f"missing in {share} {'more' if answer.effect > 0 else 'fewer'} rows"
        case "shape":
            return f"{number(size, 'share')} of the rows lie elsewhere"
        case "unseen":
            return f"values never seen in {share} of the rows"


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found of one feature at the end of a day.

    Attributes:
        feature: Its name.
        answers: Of every question and window, the least likely first.
        p: Of the first, adjusted for all questions, windows and features.
        alarms: The answers that are within the budget.
    """

    feature: str
    answers: tuple[Answered, ...]
    p: float
    alarms: tuple[Answered, ...]

    @property
    def is_alarm(self) -> bool:
        """Whether it has drifted."""
        return bool(self.alarms)


@dataclass(frozen=True)
class _Known:
    """One feature in the reference.

    Attributes:
        name: Its name.
        whole: Its rows by bin or value.
        days: Its sums of each day.
        all: Those of all days.
        shape: How its groups differ between the reference's days.
    """

    name: str
    whole: Numbers | Values
    days: tuple[Sums, ...]
    all: Sums
    shape: Shape

    @classmethod
    def of(cls, name: str, profiles: Sequence[Profile]) -> _Known:
        whole = (Numbers if profiles[0].kind == "numeric" else Values).of(profiles)
        days = tuple(_sums(whole, profile, is_reference=True) for profile in profiles)
        total = reduce(add, days)
        is_number = isinstance(whole, Numbers)
        return cls(name, whole, days, total, Shape.learn([day.groups for day in days], is_number=is_number))

    def statistic(self, question: Question, sums: Sums) -> float:
        """Return what noise is learned of, in standard deviations of a single row; 0 when it cannot be asked."""
        if question == "missing":
            return float(stabilised(np.array(sums.missing), max(sums.rows, 1.0)))
        if question == "unseen":
            return float(stabilised(np.array(sums.unseen), max(sums.present, 1.0)))
        if not isinstance(self.whole, Numbers) or not sums.present:
            return 0.0
        variance, fourth = self.whole.moments
        if variance <= 0.0:
            return 0.0
        present = math.sqrt(self.all.present / self.all.rows)
        if question == "location":
            return present * sums.scores / sums.present / math.sqrt(variance)
        # Of the deviation, not of its log: a day on which a number is constant is no infinity.
        ratio = math.sqrt(max(sums.within, 0.0) / sums.present / variance)
        return 2.0 * present * ratio / math.sqrt(max(fourth / variance**2 - 1.0, _NOTHING))


class Detector:
    """Knows the days of a reference, and judges later ones.

    Attributes:
        names: The features that it knows, numbers first.
        knows_days: Whether there were days enough to know how they differ; else margins stand in.

    Source: Benjamini & Hochberg (1995), JRSS B 57; `stats.day_noise` for how days differ.
    """

    def __init__(self, days: Sequence[Day]) -> None:
        """Learn what is usual from the days of a reference, oldest first.

        A feature that a day lacks, or that has fewer than `FEWEST_ROWS` values a day, is left out: too little is known
        of it.

        Raises:
            ValueError: There is no day.
        """
        if not days:
            msg = "a reference has at least one day"
            raise ValueError(msg)
        names = [name for name in days[0].profiles if all(name in day.profiles for day in days)]
        found = [
            _Known.of(name, profiles)
            for name, profiles in ((name, [day.profiles[name] for day in days]) for name in names)
            if sum(profile.counts.sum() + sum(profile.values.values()) for profile in profiles)
            >= FEWEST_ROWS * len(days)
        ]
        self._known = sorted(found, key=lambda known: isinstance(known.whole, Values))
        self.names = tuple(known.name for known in self._known)
        self.knows_days = len(days) >= FEWEST_DAYS
        self._noises: dict[Question, DayNoise] = {}
        if self.knows_days and self._known:
            rows = np.array(
                [max(day.rows for day in each) for each in zip(*(k.days for k in self._known), strict=True)]
            )
            weekdays = np.array([day.weekday for day in days], dtype=np.int64)
            for question in _NOISY:
                values = [[known.statistic(question, day) for day in known.days] for known in self._asked(question)]
                if values:
                    self._noises[question] = DayNoise.learn(np.array(values), np.maximum(rows, 1.0), weekdays)

    def judge(self, days: Sequence[Day]) -> list[Drift]:
        """Judge the last of some days, alone and together with those before it.

        Args:
            days: After the reference, oldest first, the last one in question; the last 16 count.

        Returns:
            Every feature of the reference that the days have, the least likely first.
        """
        days = days[-LENGTHS[-1] :]
        known = [one for one in self._known if all(one.name in day.profiles for day in days)]
        sums = [[_sums(one.whole, day.profiles[one.name], is_reference=False) for day in days] for one in known]
        weekdays = np.array([day.weekday for day in days], dtype=np.int64)
        found: dict[str, list[Answered]] = {one.name: [] for one in known}
        for length in (length for length in LENGTHS if length <= len(days)):
            window = {one.name: reduce(add, each[-length:]) for one, each in zip(known, sums, strict=True)}
            rows = np.array([max((each[n].rows for each in sums), default=0.0) for n in range(-length, 0)])
            for question in QUESTIONS:
                for name, answer in self._ask(question, window, rows, weekdays[-length:]):
                    found[name].append(answer)
        least = np.array([min(TESTS * min(one.p for one in answers), 1.0) for answers in found.values()])
        adjusted = benjamini_hochberg(least)
        limit = float(least[adjusted <= BUDGET].max(initial=0.0)) / TESTS
        drifts: list[Drift] = []
        for (name, answers), p in zip(found.items(), adjusted, strict=True):
            ranked = tuple(sorted(answers, key=lambda one: one.p))
            drifts.append(Drift(name, ranked, float(p), tuple(one for one in ranked if p <= BUDGET and one.p <= limit)))
        return sorted(drifts, key=lambda drift: drift.p)

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
            values = [one.statistic(question, window.get(one.name, one.all)) for one in asked]
            p_values = self._noises[question].p_values(np.array(values), np.maximum(rows, 1.0), weekdays)
            usual = dict(zip((one.name for one in asked), p_values.tolist(), strict=True))
        for one in asked:
            if one.name in window:
                total = window[one.name]
                p = max(usual.get(one.name, 0.0), self._by_chance(question, one, total, len(rows)))
                effect = _effect(question, one, total)
                # The interval that agrees with the test: Miettinen (1976), American Journal of Epidemiology 103.
                z = float(-normal_quantile(np.array(max(p, _LEAST) / 2.0)))
                half = Z * abs(effect) / z if z > 0.0 else math.inf
                yield one.name, Answered(question, len(rows), p, effect, effect - half, effect + half)

    def _by_chance(self, question: Question, known: _Known, window: Sums, length: int) -> float:
        """Return how likely as much is when only the rows of the window are chance."""
        if not window.rows or (not window.present and question != "missing"):
            return 1.0
        if question == "shape":
            return known.shape.p_value(window.groups, length, knows_days=self.knows_days)
        if question == "unseen":
            exact = more_often(
                *(np.array(x) for x in (window.unseen, window.present, known.all.unseen, known.all.present))
            )
        elif question == "missing":
            exact = as_often(*(np.array(x) for x in (window.missing, window.rows, known.all.missing, known.all.rows)))
        else:
            exact = np.array(0.0)
        if self.knows_days:
            return float(exact)
        return max(float(exact), _beyond_margin(question, known, window))


def _beyond_margin(question: Question, known: _Known, window: Sums) -> float:
    """Return how likely as much is if the change were as large as what does not matter."""
    before, now = (known.statistic(question, sums) for sums in (known.all, window))
    effect = _effect(question, known, window)
    spread = math.sqrt(1.0 / window.rows + 1.0 / known.all.rows)
    if not effect or not spread:
        return 1.0
    z = abs(now - before) / spread * max(1.0 - _MARGINS[question] / abs(effect), 0.0)
    return float(2.0 * normal_cdf(np.array(-z)))


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


def _sums(whole: Numbers | Values, profile: Profile, *, is_reference: bool) -> Sums:
    others = without(whole, profile) if is_reference else None
    if isinstance(whole, Numbers):
        return whole.sums(profile, others if isinstance(others, Numbers) else None)
    return whole.sums(profile, others if isinstance(others, Values) else None)


_NOISY: tuple[Question, ...] = ("location", "spread", "missing", "unseen")
_NOTHING = 1e-9
_LEAST = 1e-300
