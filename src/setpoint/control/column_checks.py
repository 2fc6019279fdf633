"""The checks of columns: an input that appears, and one that was the same in every row and now is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.control.declared import declared_beside
from setpoint.control.episode import Episode, stretches
from setpoint.control.reference_days import past_days, references
from setpoint.core.clock import day_text
from setpoint.core.finding import VARYING_CONSTANT
from setpoint.core.window import shift_days
from setpoint.inputs.detection import FEWEST_ROWS
from setpoint.store.evidence import LABELS, RowEvidence
from setpoint.store.states import StateTable


@dataclass(frozen=True, slots=True)
class _Column:
    """The values of a feature in a day or more.

    Attributes:
        present: Rows with a value.
        values: Its bins or categories.
        low: Smallest number; infinite without any.
        high: Largest number.
    """

    present: float
    values: frozenset[str]
    low: float
    high: float

    @property
    def is_constant(self) -> bool:
        """Whether all rows have one value."""
        return len(self.values) == 1 and self.low >= self.high

    def __or__(self, other: _Column) -> _Column:
        """Return both together."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return _Column(self.present + other.present, self.values | other.values, low, high)

    def holds(self, other: _Column) -> bool:
        """Return whether all values of another column are among those of this one."""
        return other.values <= self.values and other.low >= self.low and other.high <= self.high


_Judge = Callable[[_Column, _Column], bool]


def new_inputs(evidence: RowEvidence, now: int) -> list[Episode]:
    """An input that no row of the reference has, from the first day on which one has it until the reference does."""
    return _episodes(evidence, "new_input", _days(evidence, now, _is_new), "appeared: no row of the reference has it")


def varying_constants(evidence: RowEvidence, now: int) -> list[Episode]:
    """An input that is the same in all rows of the reference, and is not on some days."""
    said = "is the same in all rows of the reference, and not any more"
    return _episodes(evidence, VARYING_CONSTANT, varying_days(evidence, now), said)


def varying_days(evidence: RowEvidence, now: int) -> dict[int, set[str]]:
    """Return the inputs that the reference has as constants, and a day has not, by its midnight."""
    return _days(evidence, now, _is_varying)


def _is_new(before: _Column, day: _Column) -> bool:
    return before.present == 0.0 and day.present > 0.0


def _is_varying(before: _Column, day: _Column) -> bool:
    return before.is_constant and before.present >= FEWEST_ROWS and not before.holds(day)


def _days(evidence: RowEvidence, now: int, is_so: _Judge) -> dict[int, set[str]]:
    """Return the features of which something is so, by the midnight of each day that has a reference."""
    past = past_days(evidence, now)
    columns = [_columns(state) for _, state in past.days]
    together: dict[range, Mapping[str, _Column]] = {}
    found: dict[int, set[str]] = {}
    for n, reference in references(evidence, past.midnights).items():
        if reference not in together:
            together[reference] = _together([columns[m] for m in reference])
        known, nothing = together[reference], _Column(0.0, frozenset(), np.inf, -np.inf)
        found[past.midnights[n]] = {name for name, day in columns[n].items() if is_so(known.get(name, nothing), day)}
    return found


def _columns(state: StateTable) -> dict[str, _Column]:
    """Return what a day's features are like."""
    names = state.levels[state.kind.keys.index("feature")]
    features = state.codes[:, state.kind.keys.index("feature")]
    order = np.argsort(features, kind="stable")
    ends = np.cumsum(np.bincount(features, minlength=len(names)))
    is_sum = np.array(state.key("part"), dtype=object) == "moments"
    labels, rows, lows, highs = np.array(state.key("bin"), dtype=object), *map(state.column, _MEASURED)
    found: dict[str, _Column] = {}
    for name, mine in zip(map(str, names), np.split(order, ends[:-1]), strict=True):
        sums, counted = mine[is_sum[mine]], mine[~is_sum[mine]]
        low, high = lows[sums].min(initial=np.inf), highs[sums].max(initial=-np.inf)
        values = frozenset(map(str, labels[counted].tolist()))
        found[name] = _Column(float(rows[counted].sum()), values, float(low), float(high))
    return found


_MEASURED = ("rows", "minimum", "maximum")


def _together(days: Sequence[Mapping[str, _Column]]) -> dict[str, _Column]:
    found: dict[str, _Column] = {}
    for day in days:
        for name, one in day.items():
            known = found.get(name)
            found[name] = one if known is None else known | one
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
