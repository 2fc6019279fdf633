"""The checks of columns: an input that appears, and one that was the same in every row and now is not."""

from __future__ import annotations

from collections.abc import Mapping

from setpoint.control.declared import declared_beside
from setpoint.control.episode import Episode, stretches
from setpoint.control.reference_days import past_days, references
from setpoint.core.clock import day_text
from setpoint.core.finding import VARYING_CONSTANT
from setpoint.core.window import shift_days
from setpoint.inputs.columns import ColumnValues, Judge, columns_of, is_new, is_varying, so_of, together
from setpoint.store.evidence import LABELS, RowEvidence


def new_inputs(evidence: RowEvidence, now: int) -> list[Episode]:
    """An input that no row of the reference has, from the first day on which one has it until the reference does."""
    return _episodes(evidence, "new_input", _days(evidence, now, is_new), "appeared: no row of the reference has it")


def varying_constants(evidence: RowEvidence, now: int) -> list[Episode]:
    """An input that is the same in all rows of the reference, and is not on some days."""
    said = "is the same in all rows of the reference, and not any more"
    return _episodes(evidence, VARYING_CONSTANT, varying_days(evidence, now), said)


def varying_days(evidence: RowEvidence, now: int) -> dict[int, set[str]]:
    """Return the inputs that the reference has as constants, and a day has not, by its midnight."""
    return _days(evidence, now, is_varying)


def _days(evidence: RowEvidence, now: int, is_so: Judge) -> dict[int, set[str]]:
    """Return the features of which something is so, by the midnight of each day that has a reference."""
    past = past_days(evidence, now)
    columns = [columns_of(state) for _, state in past.days]
    known: dict[range, Mapping[str, ColumnValues]] = {}
    found: dict[int, set[str]] = {}
    for n, reference in references(evidence, past.midnights).items():
        if reference not in known:
            known[reference] = together([columns[m] for m in reference])
        found[past.midnights[n]] = so_of(known[reference], columns[n], is_so)
    return found


def _episodes(evidence: RowEvidence, kind: str, days: Mapping[int, set[str]], said: str) -> list[Episode]:
    """Return each stretch of days on which it is so of a feature."""
    zone, episodes = evidence.model.timezone, list[Episode]()
    for feature in sorted({feature for features in days.values() for feature in features}):
        name = LABELS.get(feature, feature)
        mine = ((midnight, name if feature in features else None) for midnight, features in days.items())
        for first, _, ended_at in stretches(mine, zone):
            words = f"{name} {said}: since {day_text(first, zone)}"
            episodes.append(Episode(kind, "", name, shift_days(first, 1, zone), ended_at, "warning", words, {}))
    return declared_beside(evidence, episodes)
