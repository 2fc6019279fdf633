"""What the values of each feature are like in a day or more: whether it has any, and whether they are all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.inputs.detection import FEWEST_ROWS
from setpoint.store.states import StateTable


@dataclass(frozen=True, slots=True)
class ColumnValues:
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

    def __or__(self, other: ColumnValues) -> ColumnValues:
        """Return both together."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return ColumnValues(self.present + other.present, self.values | other.values, low, high)

    def holds(self, other: ColumnValues) -> bool:
        """Return whether all values of another column are among those of this one."""
        return other.values <= self.values and other.low >= self.low and other.high <= self.high


Judge = Callable[[ColumnValues, ColumnValues], bool]
"""Says whether something is so of a feature, by its values in the reference and in a day."""


def so_of(reference: Mapping[str, ColumnValues], day: Mapping[str, ColumnValues], is_so: Judge) -> set[str]:
    """Return the features of a day of which something is so."""
    nothing = ColumnValues(0.0, frozenset(), np.inf, -np.inf)
    return {name for name, one in day.items() if is_so(reference.get(name, nothing), one)}


def is_new(before: ColumnValues, day: ColumnValues) -> bool:
    """Return whether a day has values of a feature of which the reference has none."""
    return before.present == 0.0 and day.present > 0.0


def is_varying(before: ColumnValues, day: ColumnValues) -> bool:
    """Return whether a feature is the same in all rows of the reference, and a day has another value."""
    return before.is_constant and before.present >= FEWEST_ROWS and not before.holds(day)


def columns_of(state: StateTable) -> dict[str, ColumnValues]:
    """Return what a day's features are like."""
    names = state.levels[state.kind.keys.index("feature")]
    features = state.codes[:, state.kind.keys.index("feature")]
    order = np.argsort(features, kind="stable")
    ends = np.cumsum(np.bincount(features, minlength=len(names)))
    is_sum = np.array(state.key("part"), dtype=object) == "moments"
    labels, rows, lows, highs = np.array(state.key("bin"), dtype=object), *map(state.column, _MEASURED)
    found: dict[str, ColumnValues] = {}
    for name, mine in zip(map(str, names), np.split(order, ends[:-1]), strict=True):
        sums, counted = mine[is_sum[mine]], mine[~is_sum[mine]]
        low, high = lows[sums].min(initial=np.inf), highs[sums].max(initial=-np.inf)
        values = frozenset(map(str, labels[counted].tolist()))
        found[name] = ColumnValues(float(rows[counted].sum()), values, float(low), float(high))
    return found


_MEASURED = ("rows", "minimum", "maximum")


def together(days: Sequence[Mapping[str, ColumnValues]]) -> dict[str, ColumnValues]:
    """Return the values of all of some days."""
    found: dict[str, ColumnValues] = {}
    for day in days:
        for name, one in day.items():
            known = found.get(name)
            found[name] = one if known is None else known | one
    return found
