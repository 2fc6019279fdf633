"""What changed inside each group of predictions between two windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.answers.answer import Table
from setpoint.answers.feature_changes import COLUMNS, FEWEST, in_brief, is_too_few, ranked, row
from setpoint.answers.sides import Side, Sides, side_of_days, time_before, whole_days
from setpoint.core.metric import number
from setpoint.core.window import Window
from setpoint.inputs.detection import BUDGET, FEWEST_ROWS
from setpoint.inputs.drift import FeatureChange
from setpoint.inputs.profiles import NAMES_OF_REST
from setpoint.stats.multiplicity import benjamini_hochberg
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Group:
    """A group of predictions.

    Attributes:
        name: Its value.
        sides: Its two windows.
        changes: How each feature changed inside it.
    """

    name: str
    sides: Sides
    changes: list[FeatureChange]

    @property
    def changed(self) -> list[FeatureChange]:
        """The changes beyond chance; none where there are too few rows to tell."""
        return [] if is_too_few(self.sides) else [change for change in self.changes if change.is_changed]


def groups(evidence: RowEvidence, reference: Window, current: Window, by: str) -> list[Group]:
    """Return what changed inside each group, the most changed first."""
    history = time_before(evidence, reference)
    windows = {window: evidence.profile_by_day(window, cohort=by) for window in (reference, current, history) if window}
    found: dict[object, Sides] = {}
    for value in _values_of(state for window in (reference, current) for _, state in windows[window]):
        days = {w: [(at, state.only(cohort_value=value)) for at, state in each] for w, each in windows.items()}
        found[value] = Sides(
            side_of_days(evidence, reference, days[reference]),
            side_of_days(evidence, current, days[current]),
            whole_days(evidence, history, days[history]) if history else (),
        )
    return _judged(evidence, found)


def groups_since(evidence: RowEvidence, windows: tuple[RowEvidence, Window | None], by: str) -> list[Group]:
    """Return what changed inside each group since other rows, up to a window of the predictions."""
    rows, current = windows
    states = (rows.profile(None, cohort=by), evidence.profile(current, cohort=by))
    found: dict[object, Sides] = {}
    for value in _values_of(states):
        before, after = (
            Side.of("", state.only(cohort_value=value), definition)
            for state, definition in zip(states, (rows.definition, evidence.definition), strict=True)
        )
        found[value] = Sides(before, after)
    return _judged(evidence, found)


def _values_of(states: Iterable[StateTable]) -> list[object]:
    return list(dict.fromkeys(value for state in states for value in state.key("cohort_value")))


def _judged(evidence: RowEvidence, sides: Mapping[object, Sides]) -> list[Group]:
    """Return the groups in which something changed, after allowing for how many groups there are.

    A group counts when its likeliest feature does among all groups; then a feature inside it when it does by as much
    of the budget as groups were found.

    Source: Benjamini & Bogomolov (2014), JRSS B 76.
    """
    least = {value: min((d.p for d in each.drifts.values()), default=1.0) for value, each in sides.items()}
    adjusted = benjamini_hochberg(np.array(list(least.values())))
    chosen = {value for value, p in zip(least, adjusted, strict=True) if p <= BUDGET}
    found: list[Group] = []
    for value, each in sides.items():
        limit = BUDGET * len(chosen) / len(sides) if value in chosen else 0.0
        drifts = {name: drift.within(limit) for name, drift in each.drifts.items()}
        name = NAMES_OF_REST.get(str(value), str(value))
        found.append(Group(name, each, ranked(evidence, each, drifts)))
    return sorted(found, key=lambda group: (-max((c.impact for c in group.changed), default=-1.0), group.name))


def table_of_groups(by: str, found: Sequence[Group]) -> Table:
    """Return the groups as a table, the most changed first."""
    rows = [(group.name, *row(change)) for group in found for change in group.changes]
    lines = [
        (
            group.name,
            number(group.sides.reference.rows, "rows"),
            number(group.sides.current.rows, "rows"),
            _inside(group),
        )
        for group in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        lines.append((f"… {len(found) - _SHOWN} more", "", "", "see --json"))
    return Table(f"by_{by}", (by, *COLUMNS), rows, (by, "reference rows", "current rows", "changed inside"), lines)


def _inside(group: Group) -> str:
    if is_too_few(group.sides):
        return f"unknown: needs {FEWEST_ROWS} rows in the reference and {FEWEST} in the current window"
    return "; ".join(in_brief(change) for change in group.changed[:2]) or "nothing beyond chance"
