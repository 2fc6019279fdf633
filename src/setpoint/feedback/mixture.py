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
        flat = [table.at("bucket", 0).at(key, None) for table in named]
        self._keys = merge(self._kind, flat)
        self._row_key = aligned(self._kind, flat)[2]
        self._values = np.concatenate([table.values for table in flat])
        self._group = np.array([place[value] for table in named for value in table.key(key)], dtype=np.int64)
        counts = [len(table) for table in named]
        self._window = np.repeat([n for n, window in enumerate(days) for _ in window], counts)
        self._blocks = (min(len(days[0]), _BLOCKS), min(len(days[1]), _BLOCKS))
        blocks = [n * self._blocks[w] // len(window) for w, window in enumerate(days) for n in range(len(window))]
        self._block = np.repeat(blocks, counts)

    @cached_property
    def _weights(self) -> _Floats:
        return self._values[:, self._kind.values.index("weight")]

    def sizes(self, without: tuple[int, int] | None = None) -> _Floats:
        """Return the weight of each group in both windows, shape (2, groups); without one block of a window."""
        used = self._used(without)
        where = self._window[used] * len(self.names) + self._group[used]
        sizes = np.bincount(where, weights=self._weights[used], minlength=2 * len(self.names))
        return sizes.astype(np.float64).reshape(2, -1)

    def corners(self, without: tuple[int, int] | None = None, moved: NDArray[np.bool_] | None = None) -> Corners | None:
        """Return the metric under each mix and each behaviour; None where one of them is unknown.

        A group that only one window has is as it was there in both: it is all mix.

        Args:
            without: A window and a block of its days to leave out.
            moved: Groups whose behaviour may change; all by default, shape (groups,).
        """
        sizes = self.sizes(without)
        shares = sizes / sizes.sum(axis=1, keepdims=True)
        found = [
            self._value(shares[mix], self._source(sizes, within, moved), sizes, without)
            for mix, within in ((0, 0), (1, 0), (0, 1), (1, 1))
        ]
        before, new_mix, new_within, after = found
        if before is None or new_mix is None or new_within is None or after is None:
            return None
        return Corners(before, new_mix, new_within, after)

    def _source(self, sizes: _Floats, within: int, moved: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Return which window each group's behaviour is taken from."""
        wanted = np.full(len(self.names), within)
        if moved is not None:
            wanted[~moved] = 0
        return np.where(sizes[wanted, np.arange(len(self.names))] > 0.0, wanted, 1 - wanted)

    def _value(
        self, share: _Floats, source: NDArray[np.int64], sizes: _Floats, without: tuple[int, int] | None
    ) -> float | None:
        size = sizes[source, np.arange(len(self.names))]
        factors = np.divide(share, size, out=np.zeros_like(share), where=size > 0.0) * sizes.sum() / 2.0
        used = self._used(without) & (source[self._group] == self._window)
        scale = factors[self._group[used]]
        columns = self._keys.values.copy()
        for place in range(len(self._kind.sums)):
            weights = self._values[used, place] * scale
            columns[:, place] = np.bincount(self._row_key[used], weights=weights, minlength=len(columns))
        return self._finish(StateTable(self._kind, self._keys.levels, self._keys.codes, columns))

    def _used(self, without: tuple[int, int] | None) -> NDArray[np.bool_]:
        if without is None:
            return np.ones(len(self._window), dtype=bool)
        window, block = without
        return (self._window != window) | (self._block != block)

    def change(self, dimension: str) -> Change | None:
        """Return the change of the metric, split by this dimension; None when the metric is unknown in a window."""
        corners = self.corners()
        if corners is None:
            return None
        left_out = [[self.corners((window, block)) for block in range(self._blocks[window])] for window in (0, 1)]

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
        sizes = self.sizes()
        shares = sizes / sizes.sum(axis=1, keepdims=True)
        found: list[Group] = []
        for n, name in enumerate(self.names):
            alone = np.arange(len(self.names)) == n
            only, all_but = self.corners(moved=alone), self.corners(moved=~alone)
            within = 0.0
            if only is not None and all_but is not None:
                first, last = only.new_within - corners.before, corners.after - all_but.after
                within = (first + last) / 2.0
            one = alone.astype(np.float64)
            values = [self._value(one, np.full(len(one), w), sizes, None) if sizes[w, n] else None for w in (0, 1)]
            told = "(none)" if name is None else str(name)
            found.append(Group(told, (float(shares[0, n]), float(shares[1, n])), (values[0], values[1]), within))
        return tuple(sorted(found, key=lambda group: (-abs(group.within), group.name)))
