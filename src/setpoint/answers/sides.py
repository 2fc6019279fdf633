"""The two windows of a comparison, day by day, and which features drifted from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from setpoint.core.clock import DAY, moment
from setpoint.core.window import Window, shift_days
from setpoint.inputs.detection import FEWEST_DAYS, FEWEST_ROWS, Day, Detector, Drift
from setpoint.inputs.profiles import Profile, profiles
from setpoint.store.evidence import Change, RowEvidence
from setpoint.store.measures import PROFILE, Definition
from setpoint.store.states import StateTable, merge

States = Sequence[tuple[int, StateTable]]

HISTORY_DAYS = 28
"""Days that say how days differ when the reference itself has too few of them."""


@dataclass(frozen=True, slots=True)
class Side:
    """A window of a comparison.

    Attributes:
        named: What it is, in words.
        profiles: Of all its rows.
        days: Of each of its days, oldest first.
    """

    named: str
    profiles: dict[str, Profile]
    days: Sequence[Day]

    @classmethod
    def of(cls, named: str, state: StateTable, definition: Definition) -> Side:
        """Return rows without a time: they count as those of one day."""
        found = profiles(state, definition)
        return cls(named, found, _one_day(found))

    @property
    def rows(self) -> float:
        """All rows, weighted."""
        return max((profile.rows for profile in self.profiles.values()), default=0.0)

    @property
    def effective_rows(self) -> float:
        """The independent rows that they are worth."""
        return max((profile.effective_rows for profile in self.profiles.values()), default=0.0)

    @property
    def is_weighted(self) -> bool:
        """Whether a row stands for more than itself."""
        return any(profile.certainty < 1.0 for profile in self.profiles.values())

    def as_one_day(self) -> Side:
        """Return it with all rows in one day."""
        return replace(self, days=_one_day(self.profiles))


@dataclass(frozen=True)
class Sides:
    """The two windows of a comparison.

    Attributes:
        reference: The earlier window.
        current: The later one.
        before: Days before a short reference that also say how days differ.
        changes: What was changed on purpose in between.
        retyped: Features whose type changed, in words.
        said: What is odd about the rows, in words.
    """

    reference: Side
    current: Side
    before: Sequence[Day] = ()
    changes: tuple[Change, ...] = ()
    retyped: Mapping[str, str] = field(default_factory=dict[str, str])
    said: tuple[str, ...] = ()

    @cached_property
    def drifts(self) -> dict[str, Drift]:
        """What was found of each feature that both windows have, and of which the reference knows enough."""
        if not self.reference.days or not self.current.days:
            return {}
        reference, current, before = self._judged
        found = Detector(reference.days, before).judge(current.days, is_window=True)
        return {drift.feature: drift for drift in found}

    @property
    def days_known(self) -> int:
        """How many days say how days differ; 0 when they are too few, and margins stand in."""
        reference, _, before = self._judged
        count = len(reference.days) + len(before)
        return count if count >= FEWEST_DAYS else 0

    @property
    def _judged(self) -> tuple[Side, Side, Sequence[Day]]:
        """Return both windows as they are judged: days of a few rows say nothing one by one."""
        if self.reference.effective_rows < FEWEST_ROWS * len(self.reference.days):
            return self.reference.as_one_day(), self.current.as_one_day(), ()
        return self.reference, self.current, self.before


def side(evidence: RowEvidence, window: Window) -> Side:
    """Return a window of a model's predictions."""
    return side_of_days(evidence, window, evidence.profile_by_day(window))


def side_of_days(evidence: RowEvidence, window: Window, states: States, definition: Definition | None = None) -> Side:
    """Return a window from the states of its local days, binned as the model's features are unless told otherwise.

    What is left of a day at either end is no day: both ends together are one, such as the evening of the first day
    and the morning of the last.
    """
    named, days = window.text(evidence.model.timezone), window.length // DAY
    states = [(at, state) for at, state in states if len(state)]
    if not states:
        return Side(named, {}, [])
    if len(states) < days:
        named = f"{named}, which has rows on {len(states)} of its {days} days,"
    binned = definition or evidence.definition
    found = [Day(profiles(state, binned), weekday) for state, weekday in days_of(evidence, window, states)]
    return Side(named, profiles(merge(PROFILE, [state for _, state in states]), binned), found)


def days_of(evidence: RowEvidence, window: Window, states: States) -> list[tuple[StateTable, int]]:
    """Return the state and the weekday of each day of a window as `side_of_days` counts them, oldest first."""
    zone = evidence.model.timezone
    found = whole_of(evidence, window, states)
    ends = [state for at, state in states if len(state) and not _is_whole(window, at, zone)]
    if ends:
        found.insert(0, (merge(ends[0].kind, ends), moment(states[0][0], zone).weekday()))
    return found


def whole_of(evidence: RowEvidence, window: Window, states: States) -> list[tuple[StateTable, int]]:
    """Return the state and the weekday of each day that is wholly in a window, oldest first."""
    zone = evidence.model.timezone
    return [(state, moment(at, zone).weekday()) for at, state in states if len(state) and _is_whole(window, at, zone)]


def side_of_states(named: str, states: States, definition: Definition, zone: str) -> Side:
    """Return whole days that are not a model's."""
    days = [Day(profiles(state, definition), moment(at, zone).weekday()) for at, state in states]
    return Side(named, profiles(merge(PROFILE, [state for _, state in states]), definition), days)


def time_before(evidence: RowEvidence, reference: Window) -> Window | None:
    """Return the days before a short reference that say how days differ; None when they are not needed or not there."""
    if evidence.span is None or reference.length >= FEWEST_DAYS * DAY:
        return None
    start = shift_days(reference.end, -HISTORY_DAYS, evidence.model.timezone)
    window = Window(max(start, evidence.span.start), max(reference.start, evidence.span.start))
    return window if window.length + reference.length >= FEWEST_DAYS * DAY else None


def whole_days(evidence: RowEvidence, window: Window, states: States) -> list[Day]:
    """Return the days of a window that are wholly in it."""
    definition = evidence.definition
    return [Day(profiles(state, definition), weekday) for state, weekday in whole_of(evidence, window, states)]


def _is_whole(window: Window, midnight: int, zone: str) -> bool:
    return midnight >= window.start and shift_days(midnight, 1, zone) <= window.end


def _one_day(found: Mapping[str, Profile]) -> list[Day]:
    return [Day(found, 0)] if found else []
