"""Windows and groups compared fairly while outcomes are still coming: at equal outcome age."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.core.clock import DAY, HOUR
from setpoint.core.window import Window
from setpoint.feedback.delay import completeness, delay
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

AGES = (28 * DAY, 7 * DAY, DAY, HOUR)
"""Ages at which outcomes are compared, microseconds, the greatest first."""

UNEQUAL = 0.05
"""Sides whose outcomes are complete to parts that lie further apart are not compared as they are."""

Days = list[tuple[int, StateTable]]
"""The arrivals state of each local day of a side, by its midnight."""


def equal_age(evidence: RowEvidence, sides: Sequence[Days], young: Window | None) -> int | None:
    """Return how old outcomes may be so that two windows, or all groups of one, are compared alike.

    What has come of young predictions came quickly, and what comes quickly differs: fraud is confirmed late, a
    flight that arrives early is early. So only outcomes count that came within the age, of predictions at least
    that old. The greatest age is taken for which half of the young window is old enough. A side whose outcomes
    never come as often is not younger for it.

    Args:
        evidence: The model's states.
        sides: Each side's days.
        young: The later window, or the one that all groups lie in.

    Returns:
        The age in microseconds; None when all sides are as complete, nobody knows, or no age will do.
    """
    kind, zone, as_of = evidence.model.final_kind, evidence.model.timezone, evidence.as_of
    if young is None:
        return None
    found = delay([day for days in sides for day in days], kind, as_of=as_of, zone=zone)
    weights = [[(day, state.only(kind=kind).total("weight")) for day, state in days] for days in sides]
    known = [completeness(found, days, as_of=as_of, zone=zone) for days in weights]
    parts = [part for part in known if part is not None]
    if not parts or max(parts) - min(parts) <= UNEQUAL:
        return None
    return next((age for age in AGES if as_of - age >= (young.start + young.end) // 2), None)


def by_group(days: Days, column: str) -> list[Days]:
    """Return the days of each group of a state that is split by a key column."""
    values = dict.fromkeys(value for _, state in days for value in state.key(column))
    return [[(day, state.only(**{column: value})) for day, state in days] for value in values]


def old_enough(window: Window, age: int, as_of: int) -> Window:
    """Return the part of a window whose predictions are at least so old."""
    return Window(window.start, max(min(window.end, as_of - age), window.start))
