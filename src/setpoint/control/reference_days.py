"""The days that checks of drift hold each day against."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence

from setpoint.core.window import Window, local_monday, shift_days
from setpoint.inputs.detection import FEWEST_DAYS, LENGTHS
from setpoint.store.evidence import PREDICTION, SCORE, RowEvidence
from setpoint.store.states import StateTable

REFERENCE_DAYS = 28
"""Whole days that are the reference when none is declared."""

LABELS = {SCORE: "score", PREDICTION: "prediction"}
"""What findings call the features that are no input."""


def whole_days(evidence: RowEvidence, now: int) -> list[tuple[int, StateTable]]:
    """Return the profile states of the days that are over, by midnight.

    Without the first one, which may have begun in its midst.
    """
    span = evidence.span
    if span is None:
        return []
    zone = evidence.model.timezone
    days = evidence.profile_by_day(Window(span.start, max(now, span.start)))
    return [
        (midnight, state) for midnight, state in days if midnight >= span.start and shift_days(midnight, 1, zone) <= now
    ]


def references(evidence: RowEvidence, midnights: Sequence[int]) -> dict[int, range]:
    """Return the places of the days of the reference, by the place of each day that is judged."""
    model, count = evidence.model, len(midnights)
    if model.reference and not model.reference_file:
        windows = [Window.parse(model.reference, now=at, zone=model.timezone) for at in (evidence.as_of, 0)]
        if windows[0] == windows[1]:  # one that goes along with the present is none that a day could be held against
            inside = [n for n, midnight in enumerate(midnights) if windows[0].start <= midnight < windows[0].end]
            known = range(inside[0], inside[-1] + 1) if len(inside) >= FEWEST_DAYS else range(0)
            return dict.fromkeys(range(known.stop, count), known) if known else {}
    found: dict[int, range] = {}
    for n in range(REFERENCE_DAYS, count):
        # It moves once a week, and from the start on stays where it is until sixteen days lie between.
        monday = local_monday(midnights[max(n - LENGTHS[-1], 0)], model.timezone)
        end = max(bisect_left(midnights, monday), REFERENCE_DAYS)
        found[n] = range(end - REFERENCE_DAYS, end)
    return found


def digest(state: StateTable) -> str:
    """Return what tells a state from others."""
    found = hashlib.blake2b(digest_size=12)
    for row in sorted(map(repr, state.rows())):
        found.update(row.encode())
    return found.hexdigest()
