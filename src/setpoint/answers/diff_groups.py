"""What changed inside each group of predictions between two windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from setpoint.answers.answer import Table
from setpoint.answers.feature_changes import COLUMNS, TOO_FEW, in_brief, is_too_few, ranked, row
from setpoint.answers.sides import Side, Sides, side_of_days, time_before, whole_days
from setpoint.core.metric import number
from setpoint.core.window import Window
from setpoint.inputs.detection import of_groups
from setpoint.inputs.drift import FeatureChange
from setpoint.inputs.profiles import NAMES_OF_REST
from setpoint.store.evidence import RowEvidence
from setpoint.store.states import StateTable

_SHOWN, _NAMED = 8, 2


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
        """The changes beyond chance."""
        return [change for change in self.changes if change.is_changed]


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
    """Return the groups, the most changed first; see `of_groups` for how many of them there may be."""
    found: list[Group] = []
    for value, drifts in of_groups({value: list(each.drifts.values()) for value, each in sides.items()}).items():
        name, inside = NAMES_OF_REST.get(str(value), str(value)), {drift.feature: drift for drift in drifts}
        found.append(Group(name, sides[value], ranked(evidence, sides[value], inside)))
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
        return TOO_FEW
    more = f" and {len(group.changed) - _NAMED} more" if len(group.changed) > _NAMED else ""
    return "; ".join(in_brief(change) for change in group.changed[:_NAMED]) + more or "nothing beyond chance"
