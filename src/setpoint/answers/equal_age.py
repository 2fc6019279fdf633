"""Windows and groups compared fairly while outcomes are still coming: at equal outcome age."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.core.clock import DAY, HOUR
from setpoint.core.window import Window
from setpoint.feedback.delay import longest_age
from setpoint.store.evidence import RowEvidence

AGES = (28 * DAY, 7 * DAY, DAY, HOUR)
"""Ages at which outcomes are compared, microseconds, the greatest first."""

UNEQUAL = 0.02
"""Shares of outcomes that have arrived which lie further apart are not compared as they are."""


def equal_age(evidence: RowEvidence, shares: Sequence[float | None], young: Window | None, old: Window) -> int | None:
    """Return how old outcomes may be so that two windows, or all groups of one, are compared alike.

    What has come of young predictions came quickly, and what comes quickly differs: fraud is confirmed late, a
    flight that arrives early is early. So only outcomes count that came within the age, of predictions at least
    that old. The greatest age is taken for which half of the young window is old enough.

    Args:
        evidence: The model's states.
        shares: Share of outcomes that has arrived of each side.
        young: The later window, or the one that all groups lie in.
        old: The window that shows how long outcomes take.

    Returns:
        The age in microseconds; None when the outcomes of the young window are all in, or no age will do.
    """
    known = [share for share in shares if share is not None]
    if young is None or not known or max(known) - min(known) <= UNEQUAL:
        return None
    longest = longest_age(evidence.arrivals(old), evidence.model.final_kind)
    if longest is None or evidence.as_of - young.end >= longest:
        return None
    return next((age for age in AGES if evidence.as_of - age >= (young.start + young.end) // 2), None)


def old_enough(window: Window, age: int, as_of: int) -> Window:
    """Return the part of a window whose predictions are at least so old."""
    return Window(window.start, max(min(window.end, as_of - age), window.start))
