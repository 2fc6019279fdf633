"""What a metric would be with the groups of one window and what happened inside them in another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from setpoint.stats.decomposition import Corners, jackknifed
from setpoint.stats.estimate import Estimate
from setpoint.store.states import StateTable, aligned, merge

Finish = Callable[[StateTable], float | None]
"""Returns a metric of a state; None when it is unknown."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Group:
    """One group of two windows.

    Attributes:
        name: Its value of the dimension.
        shares: Its share of the rows in the earlier and the later window, 0 to 1.
        values: The metric inside it in both; None when unknown.
        within: What the change inside it did to the whole.
    """

    name: str
    shares: tuple[float, float]
    values: tuple[float | None, float | None]
    within: float


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a metric between two windows, split by one dimension.

    Attributes:
        dimension: Such as `carrier`.
        total: The whole change.
        mix: The part that came with who came.
        within: The part that happened inside the groups; the two sum to the whole.
        groups: The groups, the strongest first.
    """

    dimension: str
    total: Estimate
    mix: Estimate
    within: Estimate
    groups: tuple[Group, ...]

    @property
    def reversal(self) -> str:
        """Simpson's reversal in words: each group that is large enough moved against the whole; empty when not."""
        if not (_is_certain(self.total) and _is_certain(self.within)):
            return ""
        total, within = self.total.value or 0.0, self.within.value or 0.0
        known = [group for group in self.groups if None not in group.values and min(group.shares) >= _LARGE]
        moved = [(group.values[1] or 0.0) - (group.values[0] or 0.0) for group in known]
        if total * within >= 0.0 or not moved or any(total * one > 0.0 for one in moved):
            return ""
        word = "rose" if total > 0.0 else "fell"
        other = "fell" if total > 0.0 else "rose"
        return f"Simpson's reversal: it {word} as a whole and {other} in every {self.dimension}"


_LARGE = 0.01
_BLOCKS = 10
_CERTAIN = 1.5


def _is_certain(found: Estimate) -> bool:
    """Return whether a change is there some 997 times in 1000: each dimension is looked at, so 95 would name noise."""
    if found.value is None or found.low is None or found.high is None:
        return False
    return abs(found.value) > _CERTAIN * (found.high - found.low) / 2.0


def _of_anybody(table: StateTable) -> StateTable:
    """Return a state without whose rows they are, which no metric asks: the fewer keys, the faster each mix."""
    for name in ("bucket", *_WHOSE):
        table = table.at(name, 0 if name == "bucket" else None)
    return table


_WHOSE = ("version", "endpoint", "cohort_value")


class Mixture:
    """Two windows split by day and by group, of which any mix can be made.

    Args:
        days: States of the days of the earlier and of the later window, each split by `key`.
        key: The key column that tells groups apart, such as `cohort_value`.
        finish: The metric.
    """

    def __init__(self, days: tuple[Sequence[StateTable], Sequence[StateTable]], key: str, finish: Finish) -> None:
        self._finish = finish
        named = [table for window in days for table in window]
        self._kind = named[0].kind
        self.names = [*dict.fromkeys(value for table in named for value in table.key(key))]
        place = {name: n for n, name in enumerate(self.names)}
        flat = [_of_anybody(table) for table in named]
        self._keys = merge(self._kind, flat)
        group = np.array([place[value] for table in named for value in table.key(key)], dtype=np.int64)
        counts = [len(table) for table in named]
        window = np.repeat([n for n, one in enumerate(days) for _ in one], counts)
        cell = (window * len(self.names) + group) * len(self._keys) + aligned(self._kind, flat)[2]
        order = np.argsort(cell, kind="stable")
        self._cell, self._window = cell[order], window[order]
        self._sums = np.concatenate([table.values for table in flat])[order, : len(self._kind.sums)]
        self._blocks = (min(len(days[0]), _BLOCKS), min(len(days[1]), _BLOCKS))
        blocks = [n * self._blocks[w] // len(one) for w, one in enumerate(days) for n in range(len(one))]
        self._block = np.repeat(blocks, counts)[order]

    @cached_property
    def _whole(self) -> _Floats:
        """Sums of each window and group, by key, shape (2 * groups, keys, columns)."""
        found = np.zeros((2 * len(self.names) * len(self._keys), len(self._kind.sums)))
        cells, sums = self._added(np.ones(len(self._cell), dtype=bool))
        found[cells] = sums
        return found.reshape(2 * len(self.names), len(self._keys), -1)

    def _without(self, window: int, block: int) -> _Floats:
        """Return the sums without one block of a window."""
        found = self._whole.reshape(-1, len(self._kind.sums)).copy()
        cells, sums = self._added((self._window == window) & (self._block == block))
        left = found[cells] - sums
        left[left[:, self._kind.sums.index("rows")] == 0.0] = 0.0  # of no row nothing is left, not even rounding
        found[cells] = left
        return found.reshape(self._whole.shape)

    def _added(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], _Floats]:
        """Return the cells of some rows, and the sums in each."""
        cells, starts = np.unique(self._cell[chosen], return_index=True)
        return cells, np.add.reduceat(self._sums[chosen], starts) if len(starts) else self._sums[:0]

    def _sizes(self, sums: _Floats) -> _Floats:
        """Return the weight of each group in both windows, shape (2, groups)."""
        return sums[:, :, self._kind.sums.index("weight")].sum(axis=1).reshape(2, -1)

    def _corners(self, sums: _Floats) -> Corners | None:
        """Return the metric under each mix and each behaviour; None where one of them is unknown.

        A group that only one window has is as it was there in both: it is all mix.
        """
        sizes = self._sizes(sums)
        shares = sizes / sizes.sum(axis=1, keepdims=True)
        found = [
            self._value(sums, sizes, shares[mix], self._source(sizes, np.full(len(self.names), within)))
            for mix, within in ((0, 0), (1, 0), (0, 1), (1, 1))
        ]
        before, new_mix, new_within, after = found
        if before is None or new_mix is None or new_within is None or after is None:
            return None
        return Corners(before, new_mix, new_within, after)

    @staticmethod
    def _source(sizes: _Floats, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which window each group's behaviour is taken from: the wanted one, if the group is there."""
        return np.where(sizes[wanted, np.arange(len(wanted))] > 0.0, wanted, 1 - wanted)

    def _value(self, sums: _Floats, sizes: _Floats, share: _Floats, source: NDArray[np.int64]) -> float | None:
        """Return the metric of a mix of groups that each behave as in one of the windows."""
        groups = np.arange(len(self.names))
        size = sizes[source, groups]
        factors = np.divide(share, size, out=np.zeros_like(share), where=size > 0.0) * sizes.sum() / 2.0
        used = np.flatnonzero(factors)
        columns = self._keys.values.copy()
        columns[:, : sums.shape[2]] = np.tensordot(factors[used], sums[(source * len(groups) + groups)[used]], 1)
        return self._finish(StateTable(self._kind, self._keys.levels, self._keys.codes, columns))

    def change(self, dimension: str) -> Change | None:
        """Return the change of the metric, split by this dimension; None when the metric is unknown in a window."""
        corners = self._corners(self._whole)
        if corners is None:
            return None
        left_out = [
            [self._corners(self._without(window, block)) for block in range(self._blocks[window])] for window in (0, 1)
        ]

        def sure(of: Callable[[Corners], float]) -> Estimate:
            parts = [np.array([math.nan if c is None else of(c) for c in window]) for window in left_out]
            return jackknifed(of(corners), (parts[0], parts[1]))

        return Change(
            dimension,
            sure(lambda found: found.after - found.before),
            sure(lambda found: found.mix),
            sure(lambda found: found.within),
            self._groups(corners),
        )

    def _groups(self, corners: Corners) -> tuple[Group, ...]:
        sums, sizes = self._whole, self._sizes(self._whole)
        shares = sizes / sizes.sum(axis=1, keepdims=True)
        found: list[Group] = []
        for n, name in enumerate(self.names):
            alone = np.arange(len(self.names)) == n
            first = self._value(sums, sizes, shares[0], self._source(sizes, alone.astype(np.int64)))
            last = self._value(sums, sizes, shares[1], self._source(sizes, (~alone).astype(np.int64)))
            within = 0.0
            if first is not None and last is not None:
                within = ((first - corners.before) + (corners.after - last)) / 2.0
            one = alone.astype(np.float64)
            values = [self._value(sums, sizes, one, np.full(len(one), w)) if sizes[w, n] else None for w in (0, 1)]
            told = "(none)" if name is None else str(name)
            found.append(Group(told, (float(shares[0, n]), float(shares[1, n])), (values[0], values[1]), within))
        return tuple(sorted(found, key=lambda group: (-abs(group.within), group.name)))
